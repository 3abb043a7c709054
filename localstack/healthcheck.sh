#!/bin/sh
# Healthy once the topology stands, and as long as the emulator answers; else says why not.
if [ -e /run/topology/failed ]; then
  echo "the topology could not be applied: $(tail -n 1 /run/topology/failed)"
  exit 1
fi
if [ ! -e /run/topology/applied ]; then
  echo "the topology is not applied yet"
  exit 1
fi
exec /opt/topology/bin/python -I -c '
import urllib.request
urllib.request.urlopen("http://127.0.0.1:4566/_localstack/health", timeout=4)
'
