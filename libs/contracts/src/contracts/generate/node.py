"""The tools in `tools/node`, which read the contracts with libraries that there are for Node alone.

One guarantee: a tool that is not installed, or that gives up, is a ContractsError that says so.
"""

import subprocess
import sys
from pathlib import Path

from contracts.generate.source import ContractsError

NODE_TOOLS = Path(__file__).resolve().parents[5] / "tools" / "node"


def run_node_tool(script: str, *arguments: str, given: str = "") -> str:
    """What a script of the folder prints; `given` is its standard input. Raises ContractsError."""
    node = Path(sys.prefix) / "bin" / "node"
    if not node.exists() or not (NODE_TOOLS / "node_modules").exists():
        raise ContractsError([f"tools/node is not installed, which has {script}: make setup"])
    done = subprocess.run(  # noqa: S603  (our own interpreter, our own arguments)
        [str(node), script, *arguments],
        input=given,
        cwd=NODE_TOOLS,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ContractsError([f"tools/node/{script} gave up: {done.stderr.strip()}"])
    return done.stdout
