"""Reads a CSV or JSON Lines file into rows that know their line.

Guarantee: every row of the file comes out once, as values or as a RowError with the line where it
starts; a quote that is never closed or bytes that are not UTF-8 spoil their own row, not the next.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from bookstore.catalog_import.columns import ALIASES, normalized
from bookstore.catalog_import.errors import RowError, UsageError

Format = Literal["csv", "jsonl"]

# A file is held in memory as a whole, since duplicates are looked for over all of it.
MAX_FILE_BYTES = 512 * 1024 * 1024
_DELIMITERS = (",", ";", "\t")
_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row's values by normalized column name: text from CSV, any JSON value from JSON Lines."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A whole file: the normalized columns that occur in it, and its rows in order."""

    columns: tuple[str, ...]
    rows: list[Row | RowError]


def read_table(path: Path, format_: Format | None = None) -> Table:
    """Read the file; the format is known by suffix or content. Raises UsageError."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB; split it")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
    if content.startswith(_UTF16_BOMS):
        raise UsageError(f"{path}: is UTF-16; save it as UTF-8")
    content = content.removeprefix(_UTF8_BOM)
    if not content.strip():
        raise UsageError(f"{path}: is empty; the first line must name the columns")
    if (format_ or _guess_format(path, content)) == "jsonl":
        return _read_jsonl(content)
    return _read_csv(path, content)


def _guess_format(path: Path, content: bytes) -> Format:
    first = content.lstrip()[:1]
    if first == b"[":
        raise UsageError(f"{path}: is one JSON array; write one object a line (JSON Lines)")
    known = _SUFFIXES.get(path.suffix.lower())
    if known is not None:
        return known
    if first == b"{":
        return "jsonl"
    head = content.split(b"\n", 1)[0].decode("utf-8", "replace")
    if b"\0" not in content[:4096] and _names_a_title(_split(head, _sniff_delimiter(head))):
        return "csv"
    raise UsageError(
        f"{path}: neither CSV with a header nor JSON Lines; pass --format csv or --format jsonl"
    )


def _read_jsonl(content: bytes) -> Table:
    rows: list[Row | RowError] = []
    columns: dict[str, None] = {}
    for line, text in enumerate(content.split(b"\n"), start=1):
        if not text.strip():
            continue
        row = _parse_json(line, text)
        if isinstance(row, Row):
            columns.update(dict.fromkeys(row.values))
        rows.append(row)
    if not columns:
        raise UsageError("no line is a JSON object; pass --format csv if the file is CSV")
    return Table(tuple(columns), rows)


def _parse_json(line: int, text: bytes) -> Row | RowError:
    try:
        text.decode()
        value = orjson.loads(text)
    except UnicodeDecodeError as error:
        return RowError(line, f"byte {error.start + 1} of the line is not UTF-8")
    except orjson.JSONDecodeError as error:
        return RowError(line, f"not JSON: {error.msg} at column {error.colno}")
    if not isinstance(value, dict):
        return RowError(line, "not a JSON object")
    return Row(line, {normalized(key): member for key, member in value.items()})


def _read_csv(path: Path, content: bytes) -> Table:
    # A byte that is not UTF-8 becomes a lone surrogate, which its row is then blamed for.
    text = content.decode("utf-8", "surrogateescape")
    lines = list(io.StringIO(text, newline=""))
    first = next(number for number, line in enumerate(lines) if line.strip())
    delimiter = _sniff_delimiter(lines[first])
    records = _records(lines, first, delimiter)
    _, header = next(records, (0, RowError(first + 1, "")))
    if isinstance(header, RowError):
        raise UsageError(f"{path}:{first + 1}: the header is not valid CSV ({header.why})")
    columns = tuple(normalized(name) for name in header)
    rows = [_csv_row(line, record, columns) for line, record in records]
    return Table(tuple(dict.fromkeys(columns)), rows)


def _csv_row(line: int, record: list[str] | RowError, columns: Sequence[str]) -> Row | RowError:
    if isinstance(record, RowError):
        return record
    # Reversed, so that of two columns with one name the left one counts.
    return Row(line, dict(reversed(list(zip(columns, record, strict=False)))))


def _records(
    lines: Sequence[str], start: int, delimiter: str
) -> Iterator[tuple[int, list[str] | RowError]]:
    """Each record with its first line (from 1); the first has as many fields as all must have.

    A record that is malformed or has the wrong number of fields, and spans several lines, most
    likely began with a quote that nobody closed: it is blamed on its first line, and reading
    resumes on the next, so that it swallows no good rows.
    """
    position, width = start, None
    while position < len(lines):
        base = position
        rest = (lines[index] for index in range(base, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        while position < len(lines):
            try:
                record = next(reader)
                fault = None
            except (csv.Error, StopIteration) as error:
                record, fault = [], str(error) or "nothing follows"
            end = base + reader.line_num
            if fault is None and not record:
                position = end
                continue
            if fault is None:
                fault = _width_fault(record, width)
            if fault is None:
                width = len(record) if width is None else width
                yield position + 1, record
                position = end
                continue
            lenient = _split(lines[position], delimiter)
            if width is not None and len(lenient) == width:
                yield position + 1, lenient
            elif end - position > 1:
                yield position + 1, RowError(position + 1, f"{fault}: is a quote left open?")
            else:
                yield position + 1, RowError(position + 1, fault)
            position += 1
            break  # The reader may be ahead of us: begin a new one here.


def _width_fault(record: list[str], width: int | None) -> str | None:
    if width is None or len(record) == width or (not any(record[width:]) and len(record) > width):
        return None
    return f"has {len(record)} fields where the header has {width}"


def _sniff_delimiter(header: str) -> str:
    """The delimiter that splits the header into a known title column, else into the most parts."""
    return max(
        _DELIMITERS,
        key=lambda each: (_names_a_title(_split(header, each)), len(_split(header, each))),
    )


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # A field of more than 128 KiB.
        return []


def _names_a_title(header: Sequence[str]) -> bool:
    return any(normalized(name) in ALIASES["title"] for name in header)
