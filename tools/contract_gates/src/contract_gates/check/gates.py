"""The gates by name, and a run of some of them.

One guarantee: a gate that cannot judge broken contracts says so in a finding; it neither passes nor
ends in a traceback.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from contract_gates.check.context import Context, Gate
from contract_gates.check.derived import derived
from contract_gates.check.examples import examples
from contract_gates.check.handlers import handlers
from contract_gates.check.http import http
from contract_gates.check.lint import lint
from contract_gates.check.topology import topology
from contract_gates.check.validity import validity
from contract_gates.findings import OTHER_SHAPE, Finding, met
from contract_gates.sources import Folders, Sources


@dataclass(frozen=True, slots=True)
class NamedGate:
    """A gate, and what it asks, on a line for people."""

    asks: str
    run: Gate


# In the order in which their findings are worth reading.
GATES = {
    "validity": NamedGate(
        "valid AsyncAPI, OpenAPI and JSON Schema, every $ref leading on?", validity
    ),
    "lint": NamedGate("do names, descriptions, limits and layout follow the house rules?", lint),
    "examples": NamedGate("is every example valid against its schema?", examples),
    "topology": NamedGate("is all that is received sent, by those who may?", topology),
    "derived": NamedGate(
        "are models, types, topology and pages what the contracts imply?", derived
    ),
    "http": NamedGate("does each Python service's HTTP API equal its contract?", http),
    "handlers": NamedGate("does each Python service handle what it receives?", handlers),
}


def check(folders: Folders, names: Iterable[str]) -> list[Finding]:
    """What the named gates find, in the order of `names`; one gate's are sorted by place.

    If a document does not parse, that is all that is found.
    """
    sources = Sources(folders)
    if sources.unreadable:
        return sources.unreadable
    context = Context(sources)
    names = list(names)
    # Half of the gates wait for processes of their own: Node, the model generator, the services.
    with ThreadPoolExecutor(max_workers=max(len(names), 1)) as pool:
        found = list(pool.map(lambda name: _asked(name, context), names))
    return [finding for findings in found for finding in findings]


def _asked(name: str, context: Context) -> Sequence[Finding]:
    try:
        return sorted(set(GATES[name].run(context)))
    except OTHER_SHAPE as error:
        return [
            Finding(
                context.folders.shown(context.folders.contracts),
                0,
                f"{name}/unanswered",
                f"the gate cannot judge these contracts: {met(error)}",
                "Mend what the gate validity finds first; if it finds nothing, mend the gate",
            )
        ]
