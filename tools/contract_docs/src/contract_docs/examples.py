"""Examples of schemas: the contract's own where it has one, put together from its parts elsewhere.

One guarantee: the same schema gives the same example, and an example that a contract gives wins
over anything made up.
"""

from collections.abc import Mapping
from typing import Any

from contract_docs.fields import DEEPEST, Lookup, resolved

# What stands for a string of a format; the name of the field, in capitals, for any other.
_FORMATS = {
    "date-time": "2026-01-15T10:30:30Z",
    "date": "2026-01-15",
    "uuid": "0197a3c2-7b1e-7c44-9d3a-5f0e8c1b2a60",
    "uri": "https://example.com/",
}


def example_of(
    schema: Mapping[str, Any], lookup: Lookup, name: str = "value", depth: int = 0
) -> Any:
    """One value that the schema admits, as far as it has no pattern without an example."""
    whole, _ = resolved(schema, lookup)
    for key in ("examples", "enum"):
        if whole.get(key):
            return whole[key][0]
    for key in ("example", "const", "default"):
        if key in whole:
            return whole[key]
    if "properties" in whole and depth < DEEPEST:
        return {
            field: example_of(each, lookup, field, depth + 1)
            for field, each in whole["properties"].items()
        }
    if whole.get("type") == "array" and "items" in whole and depth < DEEPEST:
        return [example_of(whole["items"], lookup, name, depth + 1)]
    return _scalar(whole, name)


def _scalar(whole: Mapping[str, Any], name: str) -> Any:
    match whole.get("type"):
        case "integer":
            return whole.get("minimum", 0)
        case "number":
            return float(whole.get("minimum", 0))
        case "boolean":
            return True
        case "string":
            placeholder = name.upper().replace("-", "_")[: whole.get("maxLength")]
            return _FORMATS.get(whole.get("format", ""), placeholder)
        case "array":
            return []
        case _:
            return {}
