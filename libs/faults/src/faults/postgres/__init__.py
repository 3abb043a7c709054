"""A database of the world on a real PostgreSQL: its transactions, locks and prepared statements."""
