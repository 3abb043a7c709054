"""The benchmark: load, accounting of what an order costs, report; and the same work on a peer.

Guarantee: whatever the stack spends on an order is in the figures, also what it spends after the
order is confirmed; what the load generator spends is shown, and never added to them.
"""
