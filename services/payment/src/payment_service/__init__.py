"""Payments: holds, takes and gives back money through the gateway; never sees card data."""
