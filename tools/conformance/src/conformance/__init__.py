"""Checks any service from outside, over bus and HTTP only."""
