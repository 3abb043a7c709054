"""The messages as TypeScript types, for participants on Node.

One guarantee: the types come from the same schemas as the Python models, and each message's name
leads to its type and to its `dataschema`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from contracts.generate.schemas import model_inputs
from contracts.generate.source import Contracts, ContractsError

NODE_TOOLS = Path(__file__).resolve().parents[5] / "tools" / "node"
BANNER = "// Generated from contracts/ by `python -m contracts.generate`; never edited."


def types(contracts: Contracts) -> str:
    """The text of `messages.ts`; raises ContractsError where the Node tools are not installed."""
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
    node = Path(sys.prefix) / "bin" / "node"
    if not node.exists() or not (NODE_TOOLS / "node_modules").exists():
        raise ContractsError([f"{NODE_TOOLS} is not installed, which makes the types: make setup"])
    done = subprocess.run(  # noqa: S603  (our own interpreter, our own arguments)
        [str(node), "types.mjs"],
        input=json.dumps({"header": BANNER, "schema": schema}),
        cwd=NODE_TOOLS,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ContractsError([f"TypeScript types cannot be made: {done.stderr.strip()}"])
    return done.stdout


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
