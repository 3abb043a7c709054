"""Which column of a file holds which field of a book.

Guarantee: a header is matched whatever its case, spaces and hyphens; a column named with `--map`
replaces the usual names, and one that is not in the file is refused.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from bookstore.catalog_import.errors import UsageError

# In order: where several are present, a row's first non-empty one counts.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "title": ("title", "book_title", "original_title"),
    "authors": ("authors", "author"),
    "isbn": ("isbn13", "isbn_13", "isbn", "isbn10", "isbn_10"),
    "language": ("language_code", "language", "lang"),
    "year": ("original_publication_year", "publication_year", "year"),
    "subjects": ("subjects", "subject", "genres", "genre", "tags"),
    "price": ("price", "amount"),
    "price_minor": ("price_minor", "amount_minor"),
    "currency": ("currency",),
    "stock": ("initial_stock", "stock", "quantity"),
    "source_id": ("source_id", "book_id", "work_id", "id"),
}
REQUIRED = ("title", "authors")

Columns = Mapping[str, tuple[str, ...]]


def normalized(header: str) -> str:
    """'Original Title ' and 'original-title' are both 'original_title'."""
    return re.sub(r"[\s\-]+", "_", header.strip().lower())


def parse_overrides(pairs: Iterable[str]) -> dict[str, str]:
    """`["title=original_title"]` -> `{"title": "original_title"}`; raises UsageError."""
    overrides = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not equals or field.strip() not in ALIASES or not column.strip():
            raise UsageError(
                f"--map {pair}: write --map FIELD=COLUMN, FIELD one of {', '.join(ALIASES)}"
            )
        overrides[field.strip()] = normalized(column)
    return overrides


def match_columns(headers: Sequence[str], overrides: Mapping[str, str]) -> Columns:
    """The columns of each field, the preferred first; `headers` are normalized already."""
    for field, column in overrides.items():
        if column not in headers:
            raise UsageError(
                f"--map {field}={column}: there is no such column; the file has {_listed(headers)}"
            )
    columns = {
        field: (overrides[field],)
        if field in overrides
        else tuple(alias for alias in aliases if alias in headers)
        for field, aliases in ALIASES.items()
    }
    for field in REQUIRED:
        if not columns[field]:
            raise UsageError(
                f"no column for {field}: name one of the file's with --map {field}=COLUMN; "
                f"it has {_listed(headers)}"
            )
    return {field: names for field, names in columns.items() if names}


def _listed(headers: Sequence[str]) -> str:
    return ", ".join(headers[:40]) + (", …" if len(headers) > 40 else "")
