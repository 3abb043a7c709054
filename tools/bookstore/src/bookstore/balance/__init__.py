"""The balance sheet of a running bookstore: its invariants, each with the numbers it compares.

Guarantee: reads only, and only over public and operators' HTTP endpoints, so that the same sheet
serves the local stack, compose and tests. The numbers of one sheet are of one state at rest.
"""

from bookstore.balance.checks import Check, Evidence, Movements, sheet
from bookstore.balance.endpoints import Endpoints
from bookstore.balance.evidence import UnreachableError, balance_sheet, wait_for_rest

__all__ = [
    "Check",
    "Endpoints",
    "Evidence",
    "Movements",
    "UnreachableError",
    "balance_sheet",
    "sheet",
    "wait_for_rest",
]
