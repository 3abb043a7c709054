"""Rules about limits: nothing that comes from outside can be as large as its sender likes."""

from collections.abc import Iterator

from contract_gates.check.lint.breach import Breach
from contract_gates.check.lint.schemas import Schema, schemas
from contract_gates.sources import Sources

STRING_LIMITS = frozenset({"maxLength", "pattern", "format", "enum", "const"})


def strings_are_bounded(sources: Sources) -> Iterator[Breach]:
    """Else a text fits the database, and the message that tells of it no longer fits the bus."""
    for schema in _read(sources, "string"):
        if not STRING_LIMITS & schema.part.data.keys():
            yield Breach(schema.part, "the string has no limit", "Add maxLength, or a pattern")


def integers_are_bounded(sources: Sources) -> Iterator[Breach]:
    """Else 2**63 passes the schema and fails in the database, at each redelivery anew."""
    for schema in _read(sources, "integer"):
        if not schema.part.data.keys() & {"enum", "const"} and not (
            schema.part.data.keys() >= {"minimum", "maximum"}
        ):
            yield Breach(schema.part, "the integer has no limits", "Add minimum and maximum")


def arrays_are_bounded(sources: Sources) -> Iterator[Breach]:
    """Else one order of 40,000 lines holds all row locks of the catalogue for a minute."""
    for schema in _read(sources, "array"):
        if "maxItems" not in schema.part.data:
            yield Breach(schema.part, "the array has no limit", "Add maxItems")


def _read(sources: Sources, kind: str) -> Iterator[Schema]:
    """What a service reads that another made. Responses are its own making: it bounds those."""
    for schema in schemas(sources):
        if schema.use != "response" and schema.own and schema.part.data.get("type") == kind:
            yield schema
