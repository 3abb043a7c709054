"""Measures the embedded search index on a file of books: what it finds, and how fast.

Guarantee: the same file, seed and sample ask the same questions. In reading order: questions,
measure, report, command.
"""
