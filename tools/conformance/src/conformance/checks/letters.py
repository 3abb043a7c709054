"""What several checks ask of dead letters: there, with a reason, and word for word."""

from collections.abc import Mapping

from conformance.bus import Letter
from conformance.stage import Stage
from conformance.verdicts import require
from conformance.waiting import eventually

LETTER_SECONDS = 15.0


async def lettered(stage: Stage, bodies: Mapping[str, str]) -> list[str]:
    """Wait until each text is a dead letter with a reason; the reasons' codes, or Failed."""
    found: list[Letter] = []

    async def look() -> int:
        # In this order: a letter is written before its message is deleted, never after.
        depth = await stage.bus.depth()
        found.extend(await stage.bus.take_letters())
        return depth.total

    await eventually(look, lambda total: total == 0, LETTER_SECONDS)
    by_body = {letter.body: letter for letter in found}
    missing = [what for what, body in bodies.items() if body not in by_body]
    depth = await stage.bus.depth()
    require(
        not missing,
        expected=f"{len(bodies)} dead letters within {LETTER_SECONDS:g} s",
        seen=f"none of {', '.join(missing)} ({depth.total} messages left in its queue); "
        f"{stage.instance.last_words()}",
    )
    bare = [
        what
        for what, body in bodies.items()
        if not (by_body[body].reason_code and by_body[body].reason)
    ]
    require(
        not bare,
        expected="each dead letter with the attributes reason_code and reason",
        seen=f"none on {', '.join(bare)}",
    )
    require(
        len(found) == len(bodies),
        expected=f"{len(bodies)} dead letters, each once",
        seen=f"{len(found)}",
    )
    return sorted({str(letter.reason_code) for letter in found})
