"""Fills {placeholders}, and reads paths out of documents.

Guarantee: a text that is a placeholder and nothing else becomes the value itself, so that numbers
stay numbers; within a text the value is written out.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


def fill(template: Any, value_of: Callable[[str], Any]) -> Any:
    """The template with each placeholder's value in its place."""
    if isinstance(template, Mapping):
        return {key: fill(each, value_of) for key, each in template.items()}
    if isinstance(template, list):
        return [fill(each, value_of) for each in template]
    if not isinstance(template, str):
        return template
    whole = _PLACEHOLDER.fullmatch(template)
    if whole is not None:
        return value_of(whole[1])
    return _PLACEHOLDER.sub(lambda found: str(value_of(found[1])), template)


def read(document: Any, path: str) -> Any:
    """What stands at `$.a.0.b`; raises LookupError."""
    for part in path.removeprefix("$").strip(".").split("."):
        try:
            document = document[int(part)] if isinstance(document, list) else document[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise LookupError(f"there is no {path}") from None
    return document


def contains(document: Any, part: Any) -> bool:
    """Whether the document has every field of the part; lists have to be of the same length."""
    if isinstance(part, Mapping):
        return isinstance(document, Mapping) and all(
            key in document and contains(document[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return (
            isinstance(document, list)
            and len(document) == len(part)
            and all(map(contains, document, part))
        )
    return bool(document == part)
