"""One static page a service and a map of the messages, from the contracts."""
