"""Static pages from the contracts: a map of who sends what to whom and one page a service."""

from contract_docs.pages import render

__all__ = ["render"]
