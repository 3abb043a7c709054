"""The same saga work on DBOS Transact: `saga.py` runs in an environment of its own.

Guarantee: nothing here is imported by the platform; `saga.py` imports nothing of it either.
"""
