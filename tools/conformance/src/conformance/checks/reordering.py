"""Messages in an order that nobody meant come to a sound end."""

from collections import Counter

from conformance.burst import COUNT_SECONDS
from conformance.manifest import SendStep, Story
from conformance.stage import Stage
from conformance.verdicts import Check, require
from conformance.waiting import eventually, together


async def run(stage: Stage) -> str:
    told = [story for story in stage.manifest.stories if story.proves == "reordering"]
    stories = told or [_backwards(stage)]
    before = await stage.handled()
    tales = [stage.tell(story) for story in stories]
    await together(*(tale.play(tale.story.steps) for tale in tales))
    await stage.settle()
    await stage.no_letters()
    wanted = before + Counter(name for story in stories for name in story.sends)
    after = await eventually(stage.handled, lambda now: now >= wanted, COUNT_SECONDS)
    missing = dict(wanted - after)
    require(not missing, expected="all of them handled in the end", seen=f"missing: {missing}")
    extra = [message.detail_type for tale in tales for message in tale.unexpected()]
    require(not extra, expected="nothing beyond the story", seen=", ".join(extra))
    if not told:
        return f"its {len(stage.contract.receives)} messages about one subject, the last one first"
    return "; ".join(story.name for story in told)


def _backwards(stage: Stage) -> Story:
    """Every message once, about the same things, in the contract's order reversed."""
    steps = [
        SendStep(send=name, data=stage.manifest.messages.get(name, {}))
        for name in reversed(stage.contract.receives)
    ]
    return Story(name="backwards", steps=steps, may_send=list(stage.contract.sends))


CHECK = Check(
    name="reordering",
    proves="a newer message before an older, or a compensation before its action, ends well",
    why="nothing on the bus keeps an order: a late reservation must not hold stock for ever",
    read="docs/adr/0001-orchestrated-sagas.md; its manifest's stories with `proves: reordering`",
    run=run,
)
