"""Brings a file of books, CSV or JSON Lines, into the catalog through its public API.

Guarantee: no good row is lost, each bad one is reported with its line, and a second run changes
nothing. In reading order: rows, columns, values, books, client, importer, command.
"""

from bookstore.catalog_import.errors import (
    CatalogImportError,
    CatalogUnavailableError,
    RowError,
    UsageError,
)
from bookstore.catalog_import.importer import ImportReport, Options, import_books, read_books

__all__ = [
    "CatalogImportError",
    "CatalogUnavailableError",
    "ImportReport",
    "Options",
    "RowError",
    "UsageError",
    "import_books",
    "read_books",
]
