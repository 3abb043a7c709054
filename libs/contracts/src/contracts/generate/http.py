"""OpenAPI documents that stand alone: what they refer to outside themselves is written in.

One guarantee: the result means what `contracts/<service>/openapi.yaml` means, and every `$ref` left
in it leads to its own components, so that any OpenAPI tool can read it.
"""

import json
from pathlib import Path
from typing import Any

import yaml

from contracts.generate.source import ContractsError

# What says where a schema file stands, and is meaningless once it stands elsewhere.
_OF_THE_FILE = frozenset({"$schema", "$id"})


def openapi_documents(root: Path, services: list[str]) -> dict[str, dict[str, Any]]:
    """Every service's document by its name; raises ContractsError for a `$ref` to nowhere."""
    return {
        service: _inlined(
            yaml.safe_load((root / service / "openapi.yaml").read_text(encoding="utf-8")),
            root / service / "openapi.yaml",
        )
        for service in services
    }


def _inlined(node: Any, file: Path) -> Any:
    if isinstance(node, list):
        return [_inlined(each, file) for each in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        name, _, pointer = reference.partition("#")
        target = (file.parent / name).resolve()
        found = _at(target, pointer, file)
        # A description beside the `$ref` is about this use, and wins.
        return _inlined({**found, **{k: v for k, v in node.items() if k != "$ref"}}, target)
    return {key: _inlined(value, file) for key, value in node.items() if key not in _OF_THE_FILE}


def _at(target: Path, pointer: str, file: Path) -> dict[str, Any]:
    try:
        found = json.loads(target.read_text(encoding="utf-8"))
        for part in pointer.strip("/").split("/") if pointer.strip("/") else []:
            found = found[part]
    except (OSError, KeyError):
        fault = f"{file}: the $ref to {target.name}{pointer} leads nowhere"
        raise ContractsError([fault]) from None
    return dict(found)
