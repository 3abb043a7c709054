"""The demo: real orders through the whole platform, faults included, then the balance sheet."""
