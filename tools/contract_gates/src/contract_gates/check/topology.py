"""Gate `topology`: whatever is sent arrives, and whatever is awaited is sent.

One guarantee: for what passes there is one set of rules on the bus, in which every receiver has a
sender that is allowed to send. What is sent and read by nobody is a warning.
"""

from collections.abc import Iterator

from contract_gates.check.context import Context
from contract_gates.findings import Finding
from contracts.generate.routes import topology as derived_topology
from contracts.generate.routes import unread
from contracts.generate.source import ContractsError, Fault, read_contracts


def topology(context: Context) -> Iterator[Finding]:
    """The contradictions of the documents, and of the routes that they imply."""
    try:
        contracts = read_contracts(context.folders.contracts)
        derived_topology(contracts)
    except ContractsError as error:
        for fault in error.faults:
            yield of_fault(context, "topology/unsound", fault)
        return
    for fault in unread(contracts):
        file, line = context.sources.place(fault.file, fault.pointer)
        yield Finding(file, line, "topology/unread", fault.what, _sentence(fault.remedy), "warning")


def of_fault(context: Context, rule: str, fault: Fault) -> Finding:
    """The finding that a fault of the contracts is."""
    file, line = context.sources.place(fault.file, fault.pointer)
    what = fault.what.removeprefix(f"{file}: ")  # The finding begins with it already.
    remedy = _sentence(fault.remedy) or "Let the documents agree"
    return Finding(file, line, rule, what, remedy)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
