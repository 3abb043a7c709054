"""The catalogue that a new shop starts with: classics in the public domain.

Guarantee: true books only. Titles are the customary English ones or, where it is better known, the
original; `language` is the language the work was written in, `year` that of its first publication
(or an accepted estimate; negative before the common era). Prices and stock are made up.
"""

from pathlib import Path

CLASSICS = Path(__file__).with_name("classics.jsonl")
