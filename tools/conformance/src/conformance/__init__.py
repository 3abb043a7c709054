"""The conformance kit: holds any participant to the house's rules, from outside.

One guarantee: it knows a participant by three things alone: its manifest (how to start it), its
contracts, and what it does over the bus and HTTP. So the language that it is written in makes no
difference.
"""
