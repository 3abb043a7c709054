"""Saga failure tests: runs real services in memory and virtual time, and hits them everywhere.

Guarantee: the same seed and the same plan of faults give the same run.
"""
