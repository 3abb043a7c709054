"""Gate `http`: the services' code promises over HTTP what their contracts promise.

One guarantee: for what passes, FastAPI's own document of each Python service has the operations,
parameters, bodies, statuses, headers and schemas of its contract, no more and no less.
"""

from collections.abc import Iterator

from contract_gates.check.context import Context
from contract_gates.findings import Finding
from contract_gates.implementations import Implementation
from contract_gates.sources import Part
from contracts.generate.http import openapi_documents
from contracts.openapi import differences

REMEDY = "Change the code, or the contract if the code is what is meant"


def http(context: Context) -> Iterator[Finding]:
    """Each difference, on the line of the contract's operation."""
    documents = dict(context.sources.openapi())
    for service, implementation in context.implementations().items():
        if implementation.fault is not None:
            yield unasked(context, service, implementation, "http")
            continue
        if service not in documents:
            continue
        contract = openapi_documents(context.folders.contracts, [service])[service]
        for difference in differences(contract, implementation.openapi):
            operation, _, what = difference.partition(": ")
            yield context.sources.finding(
                _operation(documents[service], operation),
                "http/differs",
                f"{operation}: {what} (services/{service} is the implementation)",
                REMEDY,
            )


def unasked(context: Context, service: str, found: Implementation, gate: str) -> Finding:
    """The finding that a service is which cannot be composed."""
    return Finding(
        context.folders.shown(context.folders.services / service / "pyproject.toml"),
        0,
        f"{gate}/unasked",
        f"the service cannot be composed: {found.fault}",
        "Mend it; where it needs a setting, name one in contract_gates/implementations.py",
    )


def _operation(document: Part, operation: str) -> Part:
    method, _, path = operation.partition(" ")
    paths = document.step("paths")
    return paths.at(path, method.lower()) or paths.at(path) or paths
