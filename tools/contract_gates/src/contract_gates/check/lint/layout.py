"""Rules about how a file is laid out: a change shows as a change of what it changes."""

from collections.abc import Iterator

from contract_gates.check.lint.breach import Breach
from contract_gates.check.lint.schemas import schemas
from contract_gates.sources import Part, Sources

HEAD = ("$schema", "$id", "title", "description", "type")
TAIL = ("required", "properties", "examples")


def keys_have_an_order(sources: Sources) -> Iterator[Breach]:
    """In a file that some tool sorts anew, reviewers overlook the one line that matters."""
    for schema in schemas(sources):
        if schema.use not in ("message", "common"):
            continue
        keys = list(schema.part.data)
        wanted = _ordered(keys) if schema.root else _description_last(keys)
        if keys != wanted:
            yield Breach(schema.part, "the keys are in another order", f"Write {', '.join(wanted)}")


def keys_stand_once(sources: Sources) -> Iterator[Breach]:
    """Of a key that stands twice, parsers silently take one, and not all of them the same."""
    for document in sources.documents:
        for pointer in document.repeated_keys():
            part = Part(document, pointer, None)
            yield Breach(part, f"the key {pointer[-1]} stands twice", "Remove one of the two")


def _ordered(keys: list[str]) -> list[str]:
    head = [key for key in HEAD if key in keys]
    tail = [key for key in TAIL if key in keys]
    return [*head, *(key for key in keys if key not in (*head, *tail)), *tail]


def _description_last(keys: list[str]) -> list[str]:
    return sorted(keys, key=lambda key: key == "description")
