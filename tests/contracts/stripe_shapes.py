"""Stripe's documents held against the classes of its official SDK, which Stripe derives from its
own OpenAPI document.

Guarantee: whatever the SDK publishes about a document counts: a field that no class has, a value
that is none of the published ones, null where nothing is optional, and a field that is missing
though it always is there, all of these are differences.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, ClassVar, ForwardRef, Literal, Union, get_args, get_origin

import stripe
from stripe._stripe_object import StripeObject, UntypedStripeObject

# What we are answered with, by the name that each document carries.
CLASSES: Mapping[str, type[StripeObject]] = {
    each.OBJECT_NAME: each
    for each in (
        stripe.Charge,
        stripe.Event,
        stripe.ListObject,
        stripe.PaymentIntent,
        stripe.PaymentMethod,
        stripe.Refund,
        stripe.SearchResultObject,
    )
}
# Where the SDK's class says less than Stripe's API reference, which the simulator follows.
BESIDE_THE_CLASS: Mapping[tuple[type, str], str] = {
    (stripe.SearchResultObject, "url"): "every search answers it; the class leaves it out",
    (stripe.SearchResultObject, "next_page"): "null on the last page; the class says text",
}
# As the SDK imports it under another name.
_ALIASES = {"CardResource": "Card"}


def differences(document: Any, path: str = "$") -> list[str]:
    """What is wrong with an answer: a document that names its class, or an error."""
    if not isinstance(document, dict):
        return [f"{path}: {document!r} is no document"]
    if document.keys() == {"error"}:
        return list(_error_differences(document["error"], f"{path}.error"))
    name = str(document.get("object"))
    if name not in CLASSES:
        return [f"{path}.object: {name!r} is none of {', '.join(CLASSES)}"]
    return list(_differences(document, CLASSES[name], path))


def _error_differences(error: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from _differences(error, stripe.ErrorObject, path)
    if error.get("code") is not None:
        # The class of errors leaves codes open; intents publish what they may be.
        last_error = fields_of(stripe.PaymentIntent.LastPaymentError)
        yield from _value(error["code"], last_error["code"], f"{path}.code")
        yield from _value(error["type"], last_error["type"], f"{path}.type")


@cache
def fields_of(kind: type) -> Mapping[str, Any]:
    """The published fields of a class with their annotations."""
    return {
        name: annotation
        for each in reversed(kind.__mro__)
        if issubclass(each, StripeObject) and each is not StripeObject
        for name, annotation in vars(each).get("__annotations__", {}).items()
        if get_origin(annotation) is not ClassVar and not name.startswith("_")
    }


def _differences(document: Mapping[str, Any], kind: type, path: str) -> Iterator[str]:
    fields = fields_of(kind)
    for name, value in document.items():
        if (kind, name) in BESIDE_THE_CLASS:
            continue
        if name == "object":
            if value != getattr(kind, "OBJECT_NAME", value):
                yield f"{path}.object: {value!r} is not {kind.OBJECT_NAME!r}"  # type: ignore[attr-defined]
        elif name not in fields:
            yield f"{path}.{name}: {kind.__qualname__} has no such field"
        else:
            yield from _value(value, fields[name], f"{path}.{name}")
    if kind is stripe.Event:  # The class says nothing of what has happened to which object.
        yield from differences(document["data"]["object"], f"{path}.data.object")
    if kind in (stripe.ListObject, stripe.SearchResultObject):
        for number, each in enumerate(document["data"]):
            yield from differences(each, f"{path}.data[{number}]")
    for name, annotation in fields.items():
        if name not in document and not _takes_none(annotation):
            yield f"{path}.{name}: is missing, and {kind.__qualname__} always has it"


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, UnionType):
        return tuple(a for each in get_args(annotation) for a in _alternatives(each))
    return (_resolved(annotation),)


def _resolved(annotation: Any) -> Any:
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        return getattr(stripe, _ALIASES.get(annotation, annotation))
    return annotation


def _takes_none(annotation: Any) -> bool:
    return NoneType in _alternatives(annotation)


def _value(value: Any, annotation: Any, path: str) -> Iterator[str]:
    alternatives = _alternatives(annotation)
    if Any in alternatives:
        return
    if value is None:
        if NoneType not in alternatives:
            yield f"{path}: is null, and never is at Stripe"
        return
    published = [v for each in alternatives if get_origin(each) is Literal for v in get_args(each)]
    if published and isinstance(value, str):
        # A text beside the literals only says that Stripe may publish more of them.
        if value not in published:
            yield f"{path}: {value!r} is none of the published values"
        return
    found = [list(_of_one(value, each, path)) for each in alternatives if _may_be(value, each)]
    if not found:
        yield f"{path}: {value!r} is nothing that stands there at Stripe"
    elif all(found):
        yield from min(found, key=len)


def _may_be(value: Any, annotation: Any) -> bool:
    """Whether it is worth comparing: an object's id with text, the object itself with its class."""
    if not isinstance(value, dict):
        return annotation is not NoneType
    named = getattr(annotation, "OBJECT_NAME", None)
    is_scalar = annotation in (int, str, bool, float, NoneType)
    return not is_scalar and named in (None, value.get("object"))


def _of_one(value: Any, annotation: Any, path: str) -> Iterator[str]:
    """What keeps a value from being of one type, which is no union."""
    origin = get_origin(annotation) or annotation
    arguments = get_args(annotation)
    if origin in (int, str, bool):
        if type(value) is not origin:
            yield f"{path}: {value!r} is no {origin.__name__}"
    elif origin is float:
        if type(value) not in (int, float):
            yield f"{path}: {value!r} is no number"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path}: {value!r} is no list"
            return
        for number, each in enumerate(value):
            yield from _value(each, arguments[0], f"{path}[{number}]")
    elif not isinstance(value, dict):
        yield f"{path}: {value!r} is no {getattr(origin, '__qualname__', origin)}"
    elif origin in (dict, UntypedStripeObject):
        for name, each in value.items():
            yield from _value(each, arguments[-1], f"{path}.{name}")
    elif isinstance(origin, type):
        yield from _differences(value, origin, path)
