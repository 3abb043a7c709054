"""Rules that give the same thing the same type everywhere."""

import re
from collections.abc import Iterator

from contract_gates.check.lint.breach import Breach
from contract_gates.check.lint.schemas import Schema, properties
from contract_gates.sources import Sources

TIME_NAME = re.compile(r"(^|_)(at|until)$")
MONEY_NAME = re.compile(r"(^|_)(amount|price|cost|total|refunded|minor)$")
ID_NAME = re.compile(r"_id$")


def times_are_named_as_such(sources: Sources) -> Iterator[Breach]:
    """Else `created` is a time here and a person there, and `expires_at` seconds since 1970."""
    for schema in properties(sources):
        is_time = _behind(sources, schema, "format") == "date-time"
        if is_time != bool(TIME_NAME.search(str(schema.name))):
            yield Breach(
                schema.part,
                f"of name and type of {schema.name} only one says that it is a time",
                "Name date-times, and nothing else, <what>_at or <what>_until",
            )


def money_is_common_money(sources: Sources) -> Iterator[Breach]:
    """An amount without its currency is charged in the currency of whoever reads it."""
    for schema in properties(sources):
        number = _behind(sources, schema, "type") in ("integer", "number", "string")
        home = schema.part.document.path.name == "money.json"
        if MONEY_NAME.search(str(schema.name)) and number and not home:
            yield Breach(
                schema.part, f"{schema.name} is a bare number", "Refer to common/money.json"
            )


def ids_are_common_ids(sources: Sources) -> Iterator[Breach]:
    """Else one service writes ids in capitals, and another that compares text finds nothing."""
    for schema in properties(sources):
        if not ID_NAME.search(str(schema.name)):
            continue
        found = sources.followed(schema.part)
        if found is None or not found.document.path.name.endswith("id.json"):
            yield Breach(
                schema.part,
                f"{schema.name} has a type of its own",
                "Refer to common/id.json, or to a common schema of that kind of id",
            )


def _behind(sources: Sources, schema: Schema, keyword: str) -> object:
    found = sources.followed(schema.part)
    return found.data.get(keyword) if found is not None else None
