"""What keeps a whole file from being imported, each said in one line that tells what to do.

Guarantee: a fault of the user or of the network arrives as one of these, never as a traceback.
What is wrong with a single row is a `RowError`, which is data, not an exception.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "duplicate", "warning"]


class CatalogImportError(Exception):
    """Nothing, or nothing more, of the file can be imported."""

    code = "import_error"


class UsageError(CatalogImportError):
    """The file or an option cannot be used as it is."""

    code = "usage"


class CatalogUnavailableError(CatalogImportError):
    """The catalog did not answer, or not as a catalog would, despite the retries."""

    code = "catalog_unavailable"


@dataclass(frozen=True, slots=True)
class RowError:
    """One row and what is wrong with it.

    `error` and `duplicate` rows are not imported; a `warning` row is, without the faulty value.
    `line` is where the row starts in the file, counted from 1.
    """

    line: int
    why: str
    severity: Severity = "error"
