"""What may stay as it is although a rule of the house speaks against it, and why.

One guarantee: an exemption that exempts nothing any more is a finding, so the list only holds what
is needed.
"""

# By rule: file and pointer, and the reason.
EXEMPTIONS: dict[str, dict[str, str]] = {}
