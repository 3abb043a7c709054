"""Gate `handlers`: the services' code handles the messages that their contracts receive.

One guarantee: for what passes, each Python service takes exactly the messages of its `receive`
operations; else they would end among the dead letters, or a handler would wait in vain.
"""

from collections.abc import Iterator

from contract_gates.check.context import Context
from contract_gates.check.http import unasked
from contract_gates.findings import Finding


def handlers(context: Context) -> Iterator[Finding]:
    """Each message that is received and not handled, or handled and not received."""
    documents = dict(context.sources.asyncapi())
    for service, implementation in context.implementations().items():
        if implementation.fault is not None:
            yield unasked(context, service, implementation, "handlers")
            continue
        if service not in documents:
            continue
        operations = documents[service].step("operations")
        receives = {
            str(operation.data["channel"]["$ref"]).rpartition("/")[2]: operation
            for _, operation in documents[service].each("operations")
            if operation.data["action"] == "receive"
        }
        handles = set(implementation.handles)
        for name in sorted(receives.keys() - handles):
            yield context.sources.finding(
                receives[name],
                "handlers/missing",
                f"{service} receives {name}, and nothing in its code handles it",
                "Add a Route (without SQL, a Reaction) of its newest version to its handlers.py, "
                "or receive it no longer",
            )
        for name in sorted(handles - receives.keys()):
            yield context.sources.finding(
                operations,
                "handlers/unreceived",
                f"the code of {service} handles {name}, which its contract does not receive",
                f"Add receive{name} to the operations, or remove the handler",
            )
