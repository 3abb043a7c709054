"""Messages checked against their raw schema, and turned into models and back.

One guarantee: what `encode` returns holds no null, since an absent optional field written as null
breaks its schema.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import jsonschema_rs
from pydantic import MISSING, BaseModel

from contracts.registry import message_type

T = TypeVar("T")

# More reasons than this do not help the person who reads a dead letter.
MAX_REASONS = 5


class ContractViolationError(ValueError):
    """Data that breaks its message's schema. `reasons` are 'JSON pointer: why', at most five."""

    code = "contract_violation"

    def __init__(self, name: str, version: int, reasons: list[str]) -> None:
        super().__init__(f"{name} version {version} breaks its contract: {'; '.join(reasons)}")
        self.name = name
        self.version = version
        self.reasons = reasons


def validate(name: str, version: int, data: Any) -> None:
    """Check parsed JSON against the message's raw schema, formats included.

    Raises ContractViolationError, or UnknownMessageError if there is no such message.
    """
    validator = _validator(name, version)
    if validator.is_valid(data):  # An order of magnitude cheaper than collecting errors.
        return
    reasons: list[str] = []
    for error in validator.iter_errors(data):
        if len(reasons) == MAX_REASONS:
            break
        reasons.append(f"{_pointer(error.instance_path)}: {error.message}")
    raise ContractViolationError(name, version, reasons)


def parse(name: str, version: int, data: Any) -> BaseModel:
    """The message's model from parsed JSON, checked against the raw schema first.

    Both checks, since Pydantic alone is laxer: it would take a number for a date-time. Raises
    ContractViolationError, or UnknownMessageError if there is no such message.
    """
    validate(name, version, data)
    return message_type(name, version).model.model_validate(data)


def encode(model: BaseModel) -> dict[str, Any]:
    """The model as JSON-ready data. Optional fields that were not given are absent, not null."""
    return model.model_dump(mode="json")


def or_none(value: T | MISSING) -> T | None:
    """An optional field's value, with None in place of absence; for code that stores it."""
    return None if value is MISSING else value


def or_missing(value: T | None) -> T | MISSING:
    """The reverse of `or_none`: None becomes an absent optional field."""
    return MISSING if value is None else value


@cache
def _validator(name: str, version: int) -> jsonschema_rs.Draft202012Validator:
    schema: Mapping[str, Any] = message_type(name, version).schema
    # Masked: a refused value may be what must not be logged, such as a card number.
    return jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True, mask="the value")


def _pointer(path: Any) -> str:
    """JSON Pointer (RFC 6901) of a path into the data; '/' names the data itself."""
    return "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in path)
