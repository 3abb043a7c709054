"""How values are stored: what a column's or parameter's type does to them on the way in and out.

Guarantee: what is stored shares nothing with what was passed in or is handed out: JSON is kept as
its text; a value that the real driver would not take for the type is refused.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.types import (
    BigInteger,
    Boolean,
    DateTime,
    Float,
    Integer,
    Interval,
    NullType,
    Numeric,
    String,
    TypeEngine,
)

from faults.memory import errors

Convert = Callable[[Any], Any]


@lru_cache(maxsize=1 << 16)
def _canonical(text: str) -> str:
    return str(uuid.UUID(text))


def _uuid(value: Any) -> Any:
    return None if value is None else _canonical(str(value))


def _text(value: Any) -> Any:
    if value is None or value.__class__ is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    raise errors.unfit(f"expected str, got {type(value).__name__}")


def _integer(limit: int) -> Convert:
    def convert(value: Any) -> Any:
        if value is None or (value.__class__ is int and -limit <= value < limit):
            return value
        if isinstance(value, int) and -limit <= value < limit:
            return int(value)
        raise errors.unfit(f"{value!r} is no integer of the column's size")

    return convert


def _float(value: Any) -> Any:
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return float(value)
    raise errors.unfit(f"a float is required, got {type(value).__name__}")


def _only(kind: type) -> Convert:
    def convert(value: Any) -> Any:
        if value is None or isinstance(value, kind):
            return value
        raise errors.unfit(f"expected {kind.__name__}, got {type(value).__name__}")

    return convert


def _moment(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise errors.unfit(f"expected a datetime, got {type(value).__name__}")
    if value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise NotImplementedError("a datetime without a time zone")
    return value.astimezone(UTC)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _as_it_is(value: Any) -> Any:
    return value


def converter(declared: TypeEngine[Any]) -> Convert | None:
    """What brings a Python value into the stored form; None where it is that already."""
    if isinstance(declared, ARRAY):
        return _array(declared.item_type)
    if isinstance(declared, UUID):
        if declared.as_uuid:
            raise NotImplementedError("UUID(as_uuid=True)")
        return _uuid
    if isinstance(declared, DateTime):
        if not declared.timezone:
            raise NotImplementedError("DateTime without a time zone")
        return _moment
    if isinstance(declared, Numeric) and not isinstance(declared, Float):
        raise NotImplementedError(f"the type {declared!r}")
    if isinstance(declared, NullType):
        return None
    for kind, convert in _CONVERTERS:
        if isinstance(declared, kind):
            return convert
    raise NotImplementedError(f"the type {declared!r}")


_CONVERTERS: list[tuple[type[TypeEngine[Any]], Convert]] = [
    (JSONB, _json),
    (String, _text),
    (BigInteger, _integer(1 << 63)),
    (Integer, _integer(1 << 31)),
    (Float, _float),
    (Boolean, _only(bool)),
    (Interval, _only(timedelta)),
]


def _array(item_type: TypeEngine[Any]) -> Convert:
    convert = converter(item_type) or _as_it_is

    def convert_all(values: Any) -> Any:
        return None if values is None else [convert(value) for value in values]

    return convert_all


def read(value: Any) -> Any:
    """A stored JSON document as a fresh Python value."""
    return None if value is None else orjson.loads(value)


def is_json(declared: TypeEngine[Any]) -> bool:
    """Whether `read` has to bring values of this type out."""
    return isinstance(declared, JSONB)
