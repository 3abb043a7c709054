"""Rules about what is said for people: descriptions and examples."""

from collections.abc import Iterator

from contract_gates.check.lint.breach import Breach
from contract_gates.check.lint.schemas import operations, parameters, properties
from contract_gates.sources import Part, Sources

DESCRIBE = "Say in one sentence what it is, with its unit and what its absence means"


def properties_are_described(sources: Sources) -> Iterator[Breach]:
    """A bare `weight` is grams to one team and ounces to the other."""
    for schema in properties(sources):
        if not _is_described(sources, schema.part):
            yield Breach(schema.part, f"the property {schema.name} has no description", DESCRIBE)


def messages_are_described(sources: Sources) -> Iterator[Breach]:
    """Who cannot tell what a message means receives it and guesses."""
    for _, document in sources.asyncapi():
        for name, channel in document.each("channels"):
            if "$ref" not in channel.data and not channel.data.get("description"):
                yield Breach(channel, f"the channel {name} has no description", DESCRIBE)
        for name, operation in document.each("operations"):
            if not operation.data.get("summary"):
                remedy = "Say what the service does about it, or why it sends it"
                yield Breach(operation, f"the operation {name} has no summary", remedy)
        for name, message in document.each("components", "messages"):
            if not message.data.get("summary"):
                yield Breach(message, f"the message {name} has no summary", DESCRIBE)
    for part in [*(part for _, part in sources.messages()), *sources.common()]:
        if not part.data.get("description"):
            yield Breach(part, "the schema has no description", DESCRIBE)


def http_is_described(sources: Sources) -> Iterator[Breach]:
    """A header without a word is one that clients leave out until it is missed."""
    for _, document in sources.openapi():
        for _, item, operation in operations(document):
            for parameter in parameters(sources, item, operation):
                if not parameter.data.get("description"):
                    name = parameter.data.get("name")
                    yield Breach(parameter, f"the parameter {name} has no description", DESCRIBE)
            for status, response in operation.each("responses"):
                if not _is_described(sources, response):
                    yield Breach(response, f"the answer {status} has no description", DESCRIBE)
        for name, header in document.each("components", "headers"):
            if not header.data.get("description"):
                yield Breach(header, f"the header {name} has no description", DESCRIBE)


def messages_have_examples(sources: Sources) -> Iterator[Breach]:
    """Who makes up fixtures from the schema alone tests what nobody ever sends."""
    for part in [*(part for _, part in sources.messages()), *sources.common()]:
        if not part.data.get("examples"):
            yield Breach(part, "the schema has no example", "Add one as it is really sent")


def bodies_have_examples(sources: Sources) -> Iterator[Breach]:
    """Else each client's first request is a 422, since nothing shows a body that works."""
    for _, document in sources.openapi():
        for _, _, operation in operations(document):
            bodies = [
                operation.at("requestBody"),
                *(part for _, part in operation.each("responses")),
            ]
            for body in filter(None, bodies):
                for name, media_type in (sources.followed(body) or body).each("content"):
                    if "json" in name and not _has_example(sources, media_type):
                        yield Breach(
                            media_type, "the body has no example", "Add one to it or to its schema"
                        )


def _is_described(sources: Sources, part: Part) -> bool:
    found = sources.followed(part)
    held = [part.data, found.data if found is not None else {}]
    return any(isinstance(each, dict) and each.get("description") for each in held)


def _has_example(sources: Sources, media_type: Part) -> bool:
    schema = media_type.at("schema")
    found = sources.followed(schema) if schema is not None else None
    held = [media_type.data, found.data if found is not None else {}]
    return any(each.get("example") or each.get("examples") for each in held)
