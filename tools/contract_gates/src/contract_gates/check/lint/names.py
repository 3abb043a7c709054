"""Rules about names: a reader knows from its name what a thing is, and finds it by it."""

import re
from collections.abc import Iterator

from contract_gates.check.lint.breach import Breach
from contract_gates.check.lint.schemas import operations, properties
from contract_gates.sources import Part, Sources

MAJOR = "[1-9][0-9]*"
# A later major version may stand beside the first: ReserveStockV2.
VERSIONED = re.compile(f"(.+)V({MAJOR})")
WORDS = re.compile(r"[A-Z][a-z0-9]*")
SNAKE_CASE = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")
# Participles that a command cannot be mistaken for; and those that may be either.
PARTICIPLES = re.compile(
    "^(.*ed|begun|bought|brought|broken|built|caught|chosen|done|drawn|driven|forgotten|found|frozen|"
    "given|gone|grown|held|hidden|kept|known|left|lost|made|meant|met|paid|seen|sent|shown|sold|spent|"
    "stolen|taken|thrown|told|won|withdrawn|written)$"
)
EITHER = re.compile("^(cut|let|put|read|set)$")
# A reply may say the state that it found instead of what was done: StockUnavailable.
STATES = ("able", "ible")


def command_names_are_imperative(sources: Sources) -> Iterator[Breach]:
    """A command called `StockReserved` is taken for a fact, and nobody feels asked to act."""
    for name, message in _declared(sources):
        if "command" in _tags(message) and any(map(PARTICIPLES.match, _words(name))):
            yield Breach(
                message,
                f"the command {name} reads as something that has happened",
                "Name it as an order, like ReserveStock",
            )


def events_and_replies_are_past_tense(sources: Sources) -> Iterator[Breach]:
    """Of an event called `ReserveStock`, each reader thinks that it is the one to act."""
    for name, message in _declared(sources):
        last = _words(name)[-1]
        says_so = PARTICIPLES.match(last) or EITHER.match(last) or last.endswith(STATES)
        if _tags(message) & {"event", "reply"} and not says_so:
            yield Breach(
                message,
                f"the name {name} does not end in what has happened",
                "End it in a past participle, like StockReserved, or in the state that was found "
                "(an irregular one is added to PARTICIPLES in check/lint/names.py)",
            )


def operation_keys_say_action_and_message(sources: Sources) -> Iterator[Breach]:
    """Under free names, two operations on one message hide that it is received twice."""
    for _, document in sources.asyncapi():
        for key, operation in document.each("operations"):
            channel = str(operation.data.get("channel", {}).get("$ref", "")).rpartition("/")[2]
            wanted = f"{operation.data.get('action')}{channel}"
            if key != wanted:
                yield Breach(operation, f"the operation is called {key}", f"Call it {wanted}")


def operation_ids_are_snake_case(sources: Sources) -> Iterator[Breach]:
    """Generated clients turn each other form into a function's name in another way."""
    for _, document in sources.openapi():
        for _, _, operation in operations(document):
            identifier = str(operation.data.get("operationId", ""))
            if not SNAKE_CASE.match(identifier):
                yield Breach(
                    operation.at("operationId") or operation,
                    f"the operationId is {identifier!r}",
                    "Write it in snake_case, a verb first: list_orders",
                )


def schemas_are_named_after_their_files(sources: Sources) -> Iterator[Breach]:
    """A copied file that keeps its title takes the other's place in the generated models."""
    for owner, part in sources.messages():
        stem = part.document.path.stem
        name, version = _without_version(stem)
        yield from _named(part, stem, f"urn:bookstore:{owner}:{name}", version or "1")
    for part in sources.common():
        stem = part.document.path.stem
        title = "".join(word.capitalize() for word in stem.split("-"))
        yield from _named(part, title, f"urn:bookstore:common:{stem}", MAJOR)


def properties_are_snake_case(sources: Sources) -> Iterator[Breach]:
    """Of `orderId` beside `order_id`, each reader finds one."""
    for schema in properties(sources):
        if not SNAKE_CASE.match(str(schema.name)):
            yield Breach(
                schema.part, f"the property is called {schema.name}", "Write it in snake_case"
            )


def _named(part: Part, title: str, prefix: str, version: str) -> Iterator[Breach]:
    if part.data.get("title") != title:
        yield Breach(part.at("title") or part, "the title is not the file's name", f"Write {title}")
    if not re.fullmatch(f"{re.escape(prefix)}:{version}", str(part.data.get("$id"))):
        wanted = f"{prefix}:{version if version != MAJOR else '<major>'}"
        remedy = f"Write {wanted}; a later major version has a file of its own, <Name>V2.json"
        yield Breach(part.at("$id") or part, "the $id does not go with the file's name", remedy)


def _declared(sources: Sources) -> Iterator[tuple[str, Part]]:
    for _, document in sources.asyncapi():
        yield from document.each("components", "messages")


def _tags(message: Part) -> set[str]:
    return {str(tag.get("name")) for tag in message.data.get("tags", [])}


def _words(name: str) -> list[str]:
    return [word.lower() for word in WORDS.findall(_without_version(name)[0])] or [name]


def _without_version(name: str) -> tuple[str, str | None]:
    """The message's own name, and the version that its file or type is called after, if any."""
    found = VERSIONED.fullmatch(name)
    return (found[1], found[2]) if found else (name, None)
