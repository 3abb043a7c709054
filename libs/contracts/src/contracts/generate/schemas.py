"""Schemas that stand alone: what a message's schema refers to is carried along in `$defs`.

One guarantee: the result means what the source means. The sources refer to each other by relative
path, which AsyncAPI tools resolve best but which cannot be resolved against their `$id`, a URN.
"""

from pathlib import PurePosixPath
from typing import Any

from contracts.generate.source import Contracts, ContractsError

# Said once in the source; a copy at each use would only be noise.
_UNUSED_IN_COPIES = ("$id", "$schema", "title", "examples")


def bundle(contracts: Contracts) -> dict[str, dict[str, Any]]:
    """Every message's self-contained schema by its `$id`, plus the envelope's."""
    roots = [message.schema for message in contracts.all_messages]
    roots.append(contracts.common["envelope"])
    roots.append(contracts.common["problem"])
    return {root["$id"]: _stand_alone(root, contracts) for root in roots}


def model_inputs(contracts: Contracts) -> dict[str, dict[str, Any]]:
    """One document a module for the model generator: its objects in `$defs`, scalars inlined."""
    modules = {"common": list(contracts.common.values())}
    for service in contracts.services:
        modules[service] = [message.schema for message in contracts.owned_by(service)]
    return {
        module: {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": {
                schema["title"]: _rewrite(
                    schema, contracts, "#/$defs/" if module == "common" else "common.json#/$defs/"
                )
                for schema in schemas
                if schema["type"] == "object"
            },
        }
        for module, schemas in modules.items()
    }


def _stand_alone(root: dict[str, Any], contracts: Contracts) -> dict[str, Any]:
    by_title = {schema["title"]: schema for schema in contracts.common.values()}
    definitions: dict[str, Any] = {}
    body = _rewrite(root, contracts, "#/$defs/")
    waiting = [body]
    while waiting:
        for title in _titles_used(waiting.pop()):
            if title not in definitions:
                definitions[title] = _rewrite(by_title[title], contracts, "#/$defs/")
                waiting.append(definitions[title])
    head = {"$schema": root["$schema"], "$id": root["$id"], "title": root["title"]}
    tail = {"$defs": dict(sorted(definitions.items()))} if definitions else {}
    return head | body | tail


def _titles_used(node: Any) -> list[str]:
    if isinstance(node, list):
        return [title for item in node for title in _titles_used(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"].rpartition("/")[2]] if "$ref" in node else []
    return own + [title for value in node.values() for title in _titles_used(value)]


def _rewrite(schema: Any, contracts: Contracts, prefix: str) -> dict[str, Any]:
    trimmed = {key: value for key, value in schema.items() if key not in _UNUSED_IN_COPIES}
    result: dict[str, Any] = _resolve(trimmed, contracts, prefix)
    return result


def _resolve(node: Any, contracts: Contracts, prefix: str) -> Any:
    if isinstance(node, list):
        return [_resolve(item, contracts, prefix) for item in node]
    if not isinstance(node, dict):
        return node
    resolved = {key: _resolve(value, contracts, prefix) for key, value in node.items()}
    reference = resolved.pop("$ref", None)
    if reference is None:
        return resolved
    target = contracts.common.get(PurePosixPath(reference).stem)
    if target is None:
        raise ContractsError([f"{reference} is not in contracts/common"])
    if target["type"] == "object":
        return {"$ref": prefix + target["title"]} | resolved
    return {key: target[key] for key in target if key not in _UNUSED_IN_COPIES} | resolved
