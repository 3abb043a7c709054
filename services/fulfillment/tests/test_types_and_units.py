"""The service's own gates, so that one command passes all: strict types and the tests in Node."""

import asyncio
from pathlib import Path

from stack import find_node

FOLDER = Path(__file__).parents[1]
NODE = find_node()
COMPILER = FOLDER.parents[1] / "tools" / "node" / "node_modules" / "typescript" / "bin" / "tsc"


async def run(*arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(NODE), *arguments, cwd=FOLDER, env={"PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_types_are_strict_and_right() -> None:
    code, output = await run(str(COMPILER), "--project", ".")
    assert code == 0, output


async def test_units_hold_what_they_claim() -> None:
    code, output = await run("--test", "--test-reporter", "tap", "tests/*.test.ts")
    assert code == 0, output
    assert "\n# tests 0\n" not in output, "no test was found"


async def test_composition_root_needs_no_environment() -> None:
    code, output = await run("--eval", "await import('./src/app.ts'); console.log('imported')")
    assert (code, output.strip()) == (0, "imported")
