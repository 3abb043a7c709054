"""How values and prose of the contracts become HTML.

One guarantee: everything from a contract is escaped; only the tags that are added here are markup.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

_CODE = re.compile(r"`([^`]+)`")
_KEY = re.compile(r'^(\s*)("(?:[^"\\]|\\.)*")(:)', re.MULTILINE)
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
# Up to here a JSON value stays on one line.
_LINE = 76


def prose(text: str) -> Markup:
    """A description: what stands in backticks becomes code."""
    parts = _CODE.split(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def highlighted(value: Any) -> Markup:
    """JSON, indented where it is long, with its keys marked."""
    # Quotes need no escape in text, and examples are full of them.
    escaped = _pretty(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markup(_KEY.sub(r"\1<b>\2</b>\3", escaped))  # noqa: S704  (escaped in the line above)


def duration(seconds: int) -> str:
    """Such as '4 days' or '30 seconds', in the largest unit that leaves no rest."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    count = seconds // size
    return f"{count:,} {unit}" if count == 1 else f"{count:,} {unit}s"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Such as '1 message' or '3 replies'."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


FILTERS: dict[str, Callable[..., Any]] = {
    "prose": prose,
    "highlighted": highlighted,
    "duration": duration,
    "counted": counted,
}


def _pretty(value: Any, indent: str = "") -> str:
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return line
    if len(indent) + len(line) <= _LINE and (isinstance(value, list) or indent):
        return line
    deeper = indent + "  "
    if isinstance(value, list):
        entries = [deeper + _pretty(each, deeper) for each in value]
        return "[\n" + ",\n".join(entries) + f"\n{indent}]"
    entries = [
        f"{deeper}{json.dumps(key, ensure_ascii=False)}: {_pretty(each, deeper)}"
        for key, each in value.items()
    ]
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
