"""Stands in memory for what the services have outside: the database, the bus, the queues."""
