"""The documents that an HTTP API answers with.

Guarantee: a field that has no value is absent, and the schema says so; nothing is ever null.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

# Narrower than JSON Schema's format: lower case, as ids are written and compared everywhere here.
UUID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Count = Annotated[int, Field(ge=0)]
Counts = dict[str, Count]


def _absent_not_null(schema: dict[str, Any]) -> None:
    for name, declared in schema.get("properties", {}).items():
        choices = [each for each in declared.get("anyOf", ()) if each != {"type": "null"}]
        if len(choices) == 1:
            rest = {k: v for k, v in declared.items() if k not in ("anyOf", "default")}
            schema["properties"][name] = {**choices[0], **rest}


class View(BaseModel):
    """A document; answer it with `response_model_exclude_none` or `exclude_none`."""

    model_config = ConfigDict(json_schema_extra=_absent_not_null)


class Health(View):
    """Whether a process lives, or can do its work."""

    status: Literal["live", "ready"]


class OutboxCensus(View):
    """What an outbox still holds."""

    pending: Count = Field(description="Committed and not yet on the bus.")
    parked: Count = Field(description="Refused by the bus again and again.")


class MessageCensus(View):
    """A service's messages, by type where they are counted by type."""

    service: str
    sent: Counts
    outbox: OutboxCensus
    handled: Counts
    dead_lettered: Count
