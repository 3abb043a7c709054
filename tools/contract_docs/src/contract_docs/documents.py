"""Everything that the pages tell, read from `contracts/` once.

One guarantee: what is here comes from the documents alone; a service without an HTTP API is a
service without operations, not an error.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from contract_docs.flow import Role, Route, receivers, roles, routes, senders
from contracts.generate.http import openapi_documents
from contracts.generate.routes import topology
from contracts.generate.source import Contracts, Message, read_contracts

COMMON_PAGE = "schemas.html"
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Documents:
    """All contracts. `roles` has the services in the order of the flow."""

    contracts: Contracts
    asyncapi: dict[str, dict[str, Any]]
    openapi: dict[str, dict[str, Any]]
    topology: dict[str, Any]
    roles: dict[str, Role]

    @property
    def services(self) -> list[str]:
        return list(self.roles)

    @cached_property
    def routes(self) -> list[Route]:
        return routes(self.contracts, self.services)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every sender with each of its receivers."""
        return list(dict.fromkeys((route.sender, route.receiver) for route in self.routes))

    @cached_property
    def messages(self) -> list[Message]:
        """Every message: by its owner, in the order of the flow, then as its document has them."""
        place = {service: index for index, service in enumerate(self.services)}
        return sorted(self.contracts.messages.values(), key=lambda message: place[message.owner])

    def senders(self, message: str) -> list[str]:
        return self._in_flow(senders(self.contracts, message))

    def receivers(self, message: str) -> list[str]:
        return self._in_flow(receivers(self.contracts, message))

    def owned_only(self, service: str) -> list[str]:
        """What the service declares though it neither sends nor receives it."""
        used = {*self.contracts.sends[service], *self.contracts.receives[service]}
        owned = [message.name for message in self.messages if message.owner == service]
        return [name for name in owned if name not in used]

    def href(self, message: str) -> str:
        """Where the message is described: on its owner's page."""
        return f"{self.contracts.messages[message].owner}.html#{message}"

    def title(self, service: str) -> str:
        return str(self.asyncapi[service]["info"]["title"])

    def purpose(self, service: str) -> str:
        """The service's own sentences: what all documents say alike is left out."""
        own = _sentences(self.asyncapi[service])
        if len(self.asyncapi) == 1:
            return " ".join(own)
        alike = set.intersection(*(set(_sentences(each)) for each in self.asyncapi.values()))
        return " ".join(sentence for sentence in own if sentence not in alike)

    def why(self, service: str, action: str, message: str) -> str:
        """What the service's operation says about its sending or receiving the message."""
        for operation in self.asyncapi[service]["operations"].values():
            channel = operation["channel"]["$ref"].rpartition("/")[2]
            if operation["action"] == action and channel == message:
                return str(operation.get("summary", ""))
        return ""

    def _in_flow(self, services: list[str]) -> list[str]:
        return [service for service in self.services if service in services]


def read_documents(root: Path) -> Documents:
    """Read the folder `contracts/`; raises ContractsError if it contradicts itself."""
    contracts = read_contracts(root)
    with_http = [
        service for service in contracts.services if (root / service / "openapi.yaml").exists()
    ]
    return Documents(
        contracts=contracts,
        asyncapi={
            service: yaml.safe_load((root / service / "asyncapi.yaml").read_text(encoding="utf-8"))
            for service in contracts.services
        },
        openapi=openapi_documents(root, with_http),
        topology=topology(contracts),
        roles=roles(contracts),
    )


def _sentences(document: dict[str, Any]) -> list[str]:
    return _SENTENCE.split(str(document["info"].get("description", "")).strip())
