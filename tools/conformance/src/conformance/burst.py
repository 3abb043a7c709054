"""A burst: many tellings of the load's story, held right before the message that matters.

Guarantee: `verify` passes only if each message was handled exactly once by the participant's own
count, nothing was dead-lettered, and each telling came to its end with nothing sent beyond it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from conformance.manifest import HttpStep, SendStep, Step
from conformance.messages import Message
from conformance.tale import Tale
from conformance.verdicts import require
from conformance.waiting import eventually, together

if TYPE_CHECKING:
    from conformance.stage import Stage

# An inbox counts before the message is deleted, so by then the count should be there.
COUNT_SECONDS = 3.0


class Burst:
    """Made by `ready`; whoever has it sends `messages`, in whatever cruel way."""

    def __init__(
        self, stage: "Stage", tales: Sequence[Tale], messages: Sequence[Message], before: int
    ) -> None:
        self.messages = messages
        self._stage = stage
        self._tales = tales
        self._before = before
        story = tales[0].story
        self._ending: Sequence[Step] = story.steps[story.last_send + 1 :]

    @classmethod
    async def ready(cls, stage: "Stage", tales: Sequence[Tale]) -> "Burst":
        """Play what comes before the last message."""
        story = tales[0].story
        await together(*(tale.play(story.steps[: story.last_send]) for tale in tales))
        await stage.settle()
        step = story.steps[story.last_send]
        assert isinstance(step, SendStep)
        before = (await stage.handled())[step.send]
        return cls(stage, tales, [tale.compose(step) for tale in tales], before)

    @property
    def name(self) -> str:
        """The message's name."""
        return self.messages[0].detail_type

    @property
    def links(self) -> list[tuple[Message, Message]]:
        """What was sent, and what followed from it."""
        return [link for tale in self._tales for link in tale.links]

    async def handled(self) -> int:
        """How many messages of the burst's type were handled since it was made."""
        return (await self._stage.handled())[self.name] - self._before

    async def verify(self) -> None:
        """All of the guarantee; raises Failed. It may be asked again after more has happened."""
        await self.verify_effects()
        self.verify_nothing_else()

    async def verify_effects(self) -> None:
        """Handled once each, no dead letter, every telling at its end."""
        await self._stage.settle()
        await self._stage.no_letters()
        count = len(self.messages)
        handled = await eventually(self.handled, lambda now: now >= count, COUNT_SECONDS)
        require(
            handled == count,
            expected=f"{count} {self.name} handled once each",
            seen=f"{handled} in its census; {self._stage.instance.last_words()}",
        )
        await together(*(tale.play(self._ending) for tale in self._tales))
        # What was expected has come; what can be looked at can be looked at again.
        self._ending = [step for step in self._ending if isinstance(step, HttpStep)]

    def verify_nothing_else(self) -> None:
        """No telling led to a message that its story does not know."""
        extra = [message for tale in self._tales for message in tale.unexpected()]
        names = sorted({message.detail_type for message in extra})
        require(
            not extra,
            expected="each message to be answered once, with the same ids each time",
            seen=f"{len(extra)} messages beyond that: {', '.join(names)}",
        )

    def copies(self) -> int:
        """How many of the messages that it led to were sent more than once, with the same id."""
        return sum(tale.copies() for tale in self._tales)
