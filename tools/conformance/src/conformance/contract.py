"""What the contracts say of one participant: messages with examples, topology, HTTP API.

Guarantee: read from the documents themselves, with their raw schemas; no model of any language
stands between the contract and the verdict.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from conformance.errors import ConformanceError
from conformance.manifest import ExpectStep, Manifest, SendStep
from contracts.generate.http import openapi_documents
from contracts.generate.routes import topology as topology_document
from contracts.generate.schemas import bundle
from contracts.generate.source import Contracts, ContractsError, read_contracts
from contracts.topology import Topology, parse_topology

ENVELOPE = "urn:bookstore:common:envelope:1"
PROBLEM = "urn:bookstore:common:problem:1"


@dataclass(frozen=True)
class Contract:
    """One participant's part. `schemas` are self-contained, by `$id`."""

    name: str
    topology: Topology
    documents: Contracts
    schemas: Mapping[str, Mapping[str, Any]]
    openapi: Mapping[str, Any] | None

    @property
    def source(self) -> str:
        """What it writes as the source of its messages."""
        return self.topology.services[self.name].source

    @property
    def receives(self) -> tuple[str, ...]:
        return self.documents.receives[self.name]

    @property
    def sends(self) -> tuple[str, ...]:
        return self.documents.sends[self.name]

    def dataschema(self, message: str) -> str:
        """The `$id` of the message's schema."""
        return str(self.documents.messages[message].schema["$id"])

    def sender(self, message: str) -> str:
        """The source of one who may send it."""
        return self.documents.messages[message].sources[0]

    def example(self, message: str) -> dict[str, Any]:
        """The first example of the message's data; raises ConformanceError where there is none."""
        examples = self.documents.messages[message].schema.get("examples", [])
        if not examples:
            raise ConformanceError(
                f"the schema of {message} has no example: add one, or data to the manifest's "
                "`messages`"
            )
        return dict(examples[0])

    def required_field(self, message: str) -> str:
        """A field without which the message's data are nothing."""
        return str(self.documents.messages[message].schema["required"][0])

    def optional_field(self, message: str) -> str | None:
        """A field that may be absent, if there is one."""
        schema = self.documents.messages[message].schema
        return next((name for name in schema["properties"] if name not in schema["required"]), None)

    def faults_of(self, schema: str, document: Any) -> list[str]:
        """How a document breaks a schema, a line each, formats included."""
        validator = self._validators.get(schema)
        if validator is None:
            validator = _validator(self.schemas[schema])
            self._validators[schema] = validator
        return [
            f"/{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in validator.iter_errors(document)
        ]

    def faults_of_answer(self, path: str, status: int, document: Any) -> list[str]:
        """How a GET's JSON answer breaks the HTTP contract."""
        if self.openapi is None:
            return []
        operation = self.openapi["paths"].get(path, {}).get("get")
        if operation is None:
            return [f"the contract has no GET {path}"]
        response = operation["responses"].get(str(status))
        if response is None:
            return [f"the contract knows no {status} of GET {path}"]
        response = _resolved(response, self.openapi)
        for content in response.get("content", {}).values():
            whole = {**content["schema"], "components": self.openapi.get("components", {})}
            return [error.message for error in _validator(whole).iter_errors(document)]
        return []

    @cached_property
    def _validators(self) -> dict[str, jsonschema_rs.Draft202012Validator]:
        return {}


def load_contract(manifest: Manifest) -> Contract:
    """The participant's contract; raises ConformanceError."""
    root = _folder(manifest)
    try:
        documents = read_contracts(root)
        if manifest.name not in documents.sends:
            raise ConformanceError(f"{root} has no {manifest.name}/asyncapi.yaml")
        topology = parse_topology(topology_document(documents)).only([manifest.name])
        has_api = (root / manifest.name / "openapi.yaml").exists()
        openapi = openapi_documents(root, [manifest.name])[manifest.name] if has_api else None
        contract = Contract(manifest.name, topology, documents, bundle(documents), openapi)
    except ContractsError as error:
        raise ConformanceError(f"the contracts in {root} contradict themselves: {error}") from None
    except (OSError, yaml.YAMLError) as error:
        raise ConformanceError(f"the contracts in {root} cannot be read: {error}") from None
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # A document of another shape: the gates say of which, and in which line.
        raise ConformanceError(
            f"the contracts in {root} cannot be read: {type(error).__name__}: {error}; "
            f"python -m contract_gates check --contracts {root} says what is wrong with them"
        ) from None
    if faults := mismatches(manifest, contract):
        raise ConformanceError(
            f"{manifest.name}: manifest and contract differ: {'; '.join(faults)}"
        )
    return contract


def mismatches(manifest: Manifest, contract: Contract) -> list[str]:
    """Where the manifest's stories speak of messages that the contract does not have."""
    faults = [
        f"messages: {name} is nothing that it receives"
        for name in manifest.messages
        if name not in contract.receives
    ]
    for story in manifest.stories:
        for step in story.steps:
            if isinstance(step, SendStep) and step.send not in contract.receives:
                faults.append(f"{story.name}: {step.send} is nothing that it receives")
            if isinstance(step, ExpectStep) and step.expect not in contract.sends:
                faults.append(f"{story.name}: {step.expect} is nothing that it sends")
        for name in story.may_send:
            if name not in contract.sends:
                faults.append(f"{story.name}: {name} is nothing that it sends")
    if manifest.load is not None and manifest.load not in {each.name for each in manifest.stories}:
        faults.append(f"load: there is no story {manifest.load!r}")
    return faults


def _folder(manifest: Manifest) -> Path:
    """The manifest's own, or the nearest `contracts` above it that knows the participant."""
    if manifest.contracts is not None:
        return (manifest.folder / manifest.contracts).resolve()
    for parent in (manifest.folder, *manifest.folder.parents):
        if (parent / "contracts" / manifest.name / "asyncapi.yaml").exists():
            return parent / "contracts"
    raise ConformanceError(
        f"{manifest.name}: no contracts/{manifest.name}/asyncapi.yaml above {manifest.folder}: "
        "write it, or name the folder in the manifest (`contracts:`)"
    )


def _validator(schema: Mapping[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(dict(schema), validate_formats=True)


def _resolved(node: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node
