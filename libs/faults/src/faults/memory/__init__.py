"""What services talk to, kept in memory: database, bus, queues and tables."""
