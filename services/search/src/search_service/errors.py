"""What can go wrong with a search index, whichever stands behind it.

Guarantee: each error has a code, and a text that says what to do.
"""


class SearchIndexError(Exception):
    """The index cannot be used as it was asked to."""

    code = "search_index_unusable"


class ReadOnlyError(SearchIndexError):
    """A reader was asked to write."""

    code = "read_only"


class NoRebuildError(SearchIndexError):
    """There is no rebuild to go on with, or it failed on the way."""

    code = "no_rebuild"


class SecondWriterError(SearchIndexError):
    """Another process writes to this folder."""

    code = "second_writer"


class OtherLayoutError(SearchIndexError):
    """The folder was written by another release, whose index this one cannot read."""

    code = "other_layout"


class NotWrittenError(SearchIndexError, OSError):
    """The folder's disk does not take the index: full, or broken. It is an OSError, so callers take
    it for the outage that it is.
    """

    code = "not_written"
