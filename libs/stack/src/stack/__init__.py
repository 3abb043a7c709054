"""Runs a local stack of processes and the servers that it embeds; knows no service."""
