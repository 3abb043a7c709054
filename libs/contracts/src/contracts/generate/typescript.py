"""The messages as TypeScript types, for participants on Node.

One guarantee: the types come from the same schemas as the Python models, and each message's name
leads to its type and to its `dataschema`.
"""

import json
from typing import Any

from contracts.generate.node import run_node_tool
from contracts.generate.schemas import model_inputs
from contracts.generate.source import Contracts

BANNER = "// Generated from contracts/ by `python -m contracts.generate`; never edited."


def types(contracts: Contracts) -> str:
    """The text of `messages.ts`; raises ContractsError where the Node tools cannot make it."""
    return _compiled(_all_definitions(contracts)) + _by_name(contracts)


def _all_definitions(contracts: Contracts) -> dict[str, Any]:
    """One schema that holds every message and what they share, in `$defs` by title."""
    modules = model_inputs(contracts).values()
    text = json.dumps(
        {title: each for module in modules for title, each in module["$defs"].items()}
    )
    definitions = json.loads(text.replace("common.json#/$defs/", "#/$defs/"))
    return {"title": "Contracts", "type": "object", "$defs": dict(sorted(definitions.items()))}


def _compiled(schema: dict[str, Any]) -> str:
    given = json.dumps({"header": BANNER, "schema": schema})
    return run_node_tool("types.mjs", given=given)


def _by_name(contracts: Contracts) -> str:
    by_model = {message.model: message for message in contracts.all_messages}
    names = sorted(by_model)
    lines = [
        "",
        "/** Every message by its name. */",
        "export interface Messages {",
        *(f"  {name}: {name};" for name in names),
        "}",
        "",
        "/** The `dataschema` of every message, which is the `$id` of its schema. */",
        "export const DATASCHEMAS = {",
        *(f'  {name}: "{by_model[name].schema["$id"]}",' for name in names),
        "} as const satisfies Record<keyof Messages, string>;",
    ]
    return "\n".join(lines) + "\n"
