"""Everything that a check works with: the running participant, its bus, its stories.

Guarantee: each check finds the participant running and its queues empty, whatever the one before it
did; and what a burst proves is counted, never guessed from the absence of errors.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from conformance.burst import Burst
from conformance.bus import Bus, Depth, Letter
from conformance.contract import Contract
from conformance.errors import ConformanceError
from conformance.manifest import ExpectStep, Manifest, SendStep, Story
from conformance.messages import Message
from conformance.participant import Instance
from conformance.surroundings import Surroundings
from conformance.tale import Tale
from conformance.verdicts import SHOWN, NotApplicable, document_in, require
from conformance.waiting import eventually

# Beside the time after which a killed worker's messages come back, which may come to pass twice.
SETTLE_SECONDS = 20.0


@dataclass
class Stage:
    """One participant under examination."""

    manifest: Manifest
    contract: Contract
    around: Surroundings
    bus: Bus
    http: httpx.AsyncClient
    instance: Instance
    twin: Instance
    tales: list[Tale] = field(default_factory=list)
    # What one check did and another judges, too: see `checks.kill`.
    shared: dict[str, Any] = field(default_factory=dict)

    async def refresh(self) -> None:
        """The participant running and nothing left in its queues; raises Failed."""
        if not self.instance.is_running:
            await self.bus.clear()
            await self.instance.start()
        await self.bus.take_letters()

    async def census(self) -> Mapping[str, Any]:
        """The participant's own count of its messages; raises Failed."""
        response = await self.http.get(f"{self.instance.url}/ops/messages")
        require(
            response.status_code == 200,
            expected="GET /ops/messages to answer 200",
            seen=f"{response.status_code} {response.text[:SHOWN]}",
        )
        document = document_in(response)
        require(
            _has_counts(document),
            expected="GET /ops/messages to have counts: handled by type, outbox.pending",
            seen=response.text[:SHOWN],
        )
        return dict(document)

    async def handled(self) -> Counter[str]:
        """How many messages of each type it says that it has handled."""
        return Counter((await self.census())["handled"])

    async def settle(self) -> None:
        """Until its queue and its outbox are empty and what it sent has been seen; else Failed."""
        seconds = SETTLE_SECONDS + 2 * self.manifest.comes_back_seconds

        async def look() -> tuple[Depth, int]:
            return await self.bus.depth(), await self.bus.unseen()

        def is_over(now: tuple[Depth, int]) -> bool:
            return now[0].total == 0 or not self.instance.is_running

        depth, _ = await eventually(look, is_over, seconds)
        self.require_alive()
        require(
            depth.total == 0,
            expected=f"its queue to be empty within {seconds:g} s",
            seen=f"{depth.waiting} waiting, {depth.in_flight} in flight; "
            f"{self.instance.last_words()}",
        )
        census = await eventually(self.census, lambda now: _pending(now) == 0, seconds)
        require(
            _pending(census) == 0,
            expected="what it committed to be on the bus",
            seen=f"{_pending(census)} messages pending in its outbox",
        )
        await eventually(look, lambda now: now[1] == 0, seconds)

    def require_alive(self) -> None:
        """Every process lives; raises Failed."""
        require(
            self.instance.is_running,
            expected="every process to live on",
            seen=f"one ended; {self.instance.last_words()}",
        )

    async def no_letters(self) -> None:
        """Nothing has been dead-lettered; raises Failed."""
        letters = await self.bus.take_letters()
        require(not letters, expected="no dead letter", seen=described(letters))

    def tell(self, story: Story) -> Tale:
        """A new telling of a story."""
        tale = Tale(story, self.contract, self.bus, self.http, self.instance.url)
        self.tales.append(tale)
        return tale

    def story_of(self, message: str) -> Story:
        """A story of one message alone, with the manifest's data for it."""
        data = self.manifest.messages.get(message, {})
        # What follows from it is the contracts' business: the story does not say.
        return Story(
            name=f"{message} alone",
            steps=[SendStep(send=message, data=data)],
            may_send=list(self.contract.sends),
        )

    def make(self, message: str) -> Message:
        """A good message by itself, for whoever wants to spoil it."""
        story = self.story_of(message)
        step = story.steps[0]
        assert isinstance(step, SendStep)
        return self.tell(story).compose(step)

    @property
    def load(self) -> Story:
        """What is sent in numbers: the manifest's choice, or else the first message it receives."""
        if self.manifest.load is None:
            if not self.contract.receives:
                raise NotApplicable("its contract receives nothing")
            return self.story_of(self.contract.receives[0])
        story = self.manifest.story(self.manifest.load)
        if not story.sends:
            raise ConformanceError(f"{self.manifest.name}: {story.name!r} sends nothing to load")
        return story

    @property
    def has_outputs(self) -> bool:
        """Whether the load's message makes the participant send something."""
        steps = self.load.steps
        return any(isinstance(step, ExpectStep) for step in steps[self.load.last_send :])

    async def burst(self, count: int) -> Burst:
        """So many tellings of the load's story, each right before its last message."""
        return await Burst.ready(self, [self.tell(self.load) for _ in range(count)])


def described(letters: Sequence[Letter]) -> str:
    """Dead letters in words."""
    reasons = Counter(letter.reason_code or "no reason" for letter in letters)
    why = next((letter.reason for letter in letters if letter.reason), "")
    return f"{len(letters)} dead letters ({dict(reasons)}) {why[:200]}"


def _has_counts(document: Any) -> bool:
    """Whether the census has what the checks count by."""
    try:
        counts = [*document["handled"].values(), document["outbox"]["pending"]]
    except (KeyError, TypeError, AttributeError):
        return False
    return all(isinstance(count, int) for count in counts)


def _pending(census: Mapping[str, Any]) -> int:
    return int(census["outbox"]["pending"])
