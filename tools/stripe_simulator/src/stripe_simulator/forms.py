"""Stripe's form encoding: `a[b]=c` and `a[0]=c` to nested parameters, and typed access to them.

Guarantee: a parameter that is malformed, unknown or of the wrong type raises a StripeError that
names it, before anything is executed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

from stripe_simulator.errors import invalid, unsafe_card_number

Params = dict[str, Any]  # Leaves are text; branches are Params again.

MAX_FIELDS = 300
# Stripe's documented limits for metadata.
MAX_METADATA_KEYS = 50
MAX_METADATA_KEY = 40
MAX_METADATA_VALUE = 500
MAX_METADATA_VALUE_TEXT = 5000
# Containers in which an integration could put card details.
_CARD_HOLDERS = ("payment_method_data", "card", "source")


def parse_form(raw: bytes) -> Params:
    """Nested parameters from a form body or a query string.

    Raises StripeError when it is not UTF-8, too long, or carries a card number.
    """
    if not raw:
        return {}
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except UnicodeDecodeError:
        raise invalid("Invalid request: parameters must be URL-encoded UTF-8.") from None
    except ValueError:
        raise invalid(f"Invalid request: at most {MAX_FIELDS} parameters.") from None
    params: Params = {}
    for name, value in pairs:
        if "[" not in name:
            params[name] = value
            continue
        head, _, rest = name.partition("[")
        if not rest.endswith("]"):
            raise invalid(f"Invalid parameter name: {name[:60]}")
        _insert(params, [head, *rest[:-1].split("][")], value)
    for holder in _CARD_HOLDERS:
        if holder in params:
            _refuse_card_details(params[holder])
    return params


def _insert(params: Params, path: list[str], value: str) -> None:
    branch = params
    for part in path[:-1]:
        branch = branch.setdefault(part, {})
        if not isinstance(branch, dict):
            raise invalid(f"Invalid parameter: {path[0]}", param=path[0])
    leaf = path[-1] or str(len(branch))
    branch[leaf] = value


def _refuse_card_details(holder: object) -> None:
    if isinstance(holder, dict) and ("number" in holder or "number" in (holder.get("card") or {})):
        raise unsafe_card_number()


def only(params: Params, allowed: Iterable[str]) -> None:
    """Refuse parameters outside `allowed`, as Stripe does."""
    for name in params:
        if name not in allowed:
            raise invalid(
                f"Received unknown parameter: {name[:60]}", name[:60], "parameter_unknown"
            )


def text(params: Params, name: str) -> str | None:
    """A text parameter, None when absent or empty (Stripe unsets on empty)."""
    value = params.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise invalid(f"Invalid string: {name}", name)
    if len(value) > MAX_METADATA_VALUE_TEXT:
        raise invalid(f"Invalid string: {name} is too long", name)
    return value


def required(params: Params, name: str) -> str:
    value = text(params, name)
    if value is None:
        raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
    return value


def integer(params: Params, name: str) -> int | None:
    value = text(params, name)
    if value is None:
        return None
    if len(value) > 20 or not value.lstrip("-").isascii() or not value.lstrip("-").isdigit():
        raise invalid(f"Invalid integer: {value[:30]}", name, "parameter_invalid_integer")
    return int(value)


def boolean(params: Params, name: str) -> bool:
    value = text(params, name)
    if value in (None, "false"):
        return False
    if value == "true":
        return True
    raise invalid(f"Invalid boolean: {value[:30] if value else ''}", name)


def one_of(params: Params, name: str, choices: tuple[str, ...], default: str) -> str:
    value = text(params, name)
    if value is None:
        return default
    if value not in choices:
        raise invalid(f"Invalid {name}: must be one of {', '.join(choices)}", name)
    return value


def branch(params: Params, name: str) -> Params | None:
    value = params.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, dict):
        raise invalid(f"Invalid object: {name}", name)
    return value


def items(params: Params, name: str) -> list[str]:
    """An array parameter, in either of Stripe's notations."""
    value = branch(params, name)
    if value is None:
        return []
    listed = list(value.values())
    if not all(isinstance(item, str) for item in listed):
        raise invalid(f"Invalid array: {name}", name)
    return listed


def metadata(params: Params) -> dict[str, str]:
    """Checked metadata; a key with an empty value is left out."""
    value = branch(params, "metadata")
    if value is None:
        return {}
    if len(value) > MAX_METADATA_KEYS:
        raise invalid(f"Metadata can have at most {MAX_METADATA_KEYS} keys", "metadata")
    for key, entry in value.items():
        if not isinstance(entry, str):
            raise invalid("Metadata values must be text", f"metadata[{key[:40]}]")
        if len(key) > MAX_METADATA_KEY or len(entry) > MAX_METADATA_VALUE:
            raise invalid(
                f"Metadata keys have at most {MAX_METADATA_KEY} characters,"
                f" values at most {MAX_METADATA_VALUE}",
                f"metadata[{key[:40]}]",
            )
    return {key: entry for key, entry in value.items() if entry != ""}
