#!/bin/sh
# The emulator runs this each time it has started: after a restart it knows nothing any more.
# What became of it is in /run/topology, for the health check; both are empty at each start.
set -u
mkdir -p /run/topology
rm -f /run/topology/applied /run/topology/failed

# The region of what is created, and not one that somebody's own AWS settings name.
if AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test PYTHONPATH=/opt/topology/app \
  /opt/topology/bin/python -m messaging.topology apply --wait \
  --endpoint-url "${TOPOLOGY_ENDPOINT_URL:-http://127.0.0.1:4566}" \
  --region "${AWS_REGION:-us-east-1}" > /run/topology/log 2>&1; then
  cat /run/topology/log
  touch /run/topology/applied
else
  code=$?
  mv /run/topology/log /run/topology/failed
  echo "the topology could not be applied:" >&2
  cat /run/topology/failed >&2
  exit "$code"
fi
