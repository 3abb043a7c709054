"""The messages of the bookstore: their models, schemas and routes, all derived from `contracts/`.

What can be looked up here is what the contracts say; nothing in this package is written twice.
"""

from contracts.registry import (
    MESSAGES,
    Kind,
    MessageType,
    UnknownMessageError,
    message_type,
    message_type_of,
)
from contracts.topology import Topology, load_topology
from contracts.upcasters import UPCASTERS, NoUpcasterError, Upcaster, Upcasters, upcast
from contracts.validation import (
    ContractViolationError,
    encode,
    or_missing,
    or_none,
    parse,
    validate,
)

__all__ = [
    "MESSAGES",
    "UPCASTERS",
    "ContractViolationError",
    "Kind",
    "MessageType",
    "NoUpcasterError",
    "Topology",
    "UnknownMessageError",
    "Upcaster",
    "Upcasters",
    "encode",
    "load_topology",
    "message_type",
    "message_type_of",
    "or_missing",
    "or_none",
    "parse",
    "upcast",
    "validate",
]
