"""Drives a whole bookstore from outside, whatever runs it: by HTTP, AWS calls and crashes."""
