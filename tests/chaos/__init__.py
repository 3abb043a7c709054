"""The bookstore under load and real faults, for minutes; `make chaos` runs it."""
