"""It handles every message that its contract says it receives."""

from collections import Counter

from conformance.burst import COUNT_SECONDS
from conformance.stage import Stage
from conformance.verdicts import Check, require
from conformance.waiting import eventually, together


async def run(stage: Stage) -> str:
    receives = stage.contract.receives
    told = [story for story in stage.manifest.stories if story.proves == "handling"]
    in_stories = {name for story in told for name in story.sends}
    alone = [stage.story_of(name) for name in receives if name not in in_stories]
    sent = Counter(name for story in (*told, *alone) for name in story.sends)
    before = await stage.handled()
    tales = [stage.tell(story) for story in (*told, *alone)]
    await together(*(tale.play(tale.story.steps) for tale in tales))
    await stage.settle()
    wanted = before + sent
    after = await eventually(stage.handled, lambda now: now >= wanted, COUNT_SECONDS)
    missing = dict(wanted - after)
    letters = await stage.bus.take_letters()
    reasons = {f"{letter.reason_code}: {letter.reason}" for letter in letters}
    require(
        not missing and not letters,
        expected=f"all {len(receives)} messages of its contract handled",
        seen=f"not counted as handled: {missing}; dead letters: {reasons or 'none'}",
    )
    extra = [message.detail_type for tale in tales for message in tale.unexpected()]
    require(not extra, expected="what its stories tell and no more", seen=", ".join(extra))
    return f"{sum(sent.values())} messages of {len(receives)} types; stories told: {len(told)}"


CHECK = Check(
    name="handles",
    proves="every message that it declares to receive is handled, counted, and never dead-lettered",
    why="a declared message gets a rule: what nobody handles piles up in a queue that nobody reads",
    read="its asyncapi.yaml, the operations with `action: receive`",
    run=run,
)
