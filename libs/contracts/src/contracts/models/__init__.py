"""Generated from contracts/ by `python -m contracts.generate`; never edited."""
