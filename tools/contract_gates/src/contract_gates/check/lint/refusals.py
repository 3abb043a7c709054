"""Rules about HTTP refusals: a client can tell them apart without reading prose."""

from collections.abc import Iterator

from contract_gates.check.lint.breach import Breach
from contract_gates.check.lint.schemas import operations, parameters
from contract_gates.sources import Part, Sources

PROBLEM = "application/problem+json"
# It answers as long as the process runs, and asks nobody: there is nothing to refuse.
ASKS_NOBODY = "/health/live"


def refusals_are_problems(sources: Sources) -> Iterator[Breach]:
    """Else a client shows its customers a framework's HTML page as the reason."""
    for _, document in sources.openapi():
        for _, _, operation in operations(document):
            for status, response in operation.each("responses"):
                content = (sources.followed(response) or response).data.get("content", {})
                if status[0] in "45" and list(content) != [PROBLEM]:
                    yield Breach(
                        response,
                        f"the refusal {status} is not a problem document",
                        f"Give it one content, {PROBLEM}, with common/problem.json as its schema",
                    )


def refusals_are_foreseen(sources: Sources) -> Iterator[Breach]:
    """A client that knows of no 415 takes it for an outage and tries again for a day."""
    for _, document in sources.openapi():
        for path, item, operation in operations(document):
            given = operation.data.get("responses", {}).keys()
            for wanted in _foreseeable(sources, path, item, operation):
                if not given & wanted:
                    yield Breach(
                        operation,
                        f"the operation does not say that it answers {' or '.join(sorted(wanted))}",
                        "Add the response",
                    )


def _foreseeable(sources: Sources, path: str, item: Part, operation: Part) -> list[set[str]]:
    wanted = []
    if parameters(sources, item, operation):
        wanted.append({"422", "400"})
    if "requestBody" in operation.data:
        wanted += [{"400"}, {"413"}, {"415"}]
    if path != ASKS_NOBODY:
        wanted.append({"503"})
    return wanted
