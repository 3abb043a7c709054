"""Why the kit could not judge at all.

Guarantee: the text is one for a person, and says what to do; it never blames the participant.
"""


class ConformanceError(Exception):
    """A manifest, a contract or a server of the kit's own that stands in the way; exit code 2."""
