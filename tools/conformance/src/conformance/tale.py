"""A story being told to the participant, once: with ids, captures and expectations of its own.

Guarantee: every message that the participant sends about the tale's ids is either expected, allowed
by the story, or a fault; copies with the same id are one message.
"""

import uuid
from collections.abc import Sequence
from typing import Any

import httpx

from conformance.bus import Bus
from conformance.contract import Contract
from conformance.manifest import ExpectStep, HttpStep, SendStep, Step, Story
from conformance.messages import Message, ids_in, make_message, with_fresh_ids
from conformance.templates import contains, fill, read
from conformance.verdicts import Failed, require
from conformance.waiting import eventually

ANSWER_SECONDS = 10.0
SHOWN = 300


class Tale:
    """What one telling knows. `links` pairs what was sent with what was expected to follow it."""

    def __init__(
        self, story: Story, contract: Contract, bus: Bus, http: httpx.AsyncClient, base_url: str
    ) -> None:
        self.story = story
        self.links: list[tuple[Message, Message]] = []
        self._contract = contract
        self._bus = bus
        self._http = http
        self._base_url = base_url
        self._values: dict[str, Any] = {}
        self._example_ids: dict[str, str] = {}
        self._ids: set[str] = set()
        self._correlations = {str(uuid.uuid4())}
        self._correlation = next(iter(self._correlations))
        self._cause: Message | None = None
        self._sent: Message | None = None
        self._claimed: set[str] = set()
        self._from = len(bus.seen)

    async def play(self, steps: Sequence[Step]) -> None:
        """Take the steps; raises Failed at the first that does not hold."""
        for step in steps:
            if isinstance(step, SendStep):
                await self._bus.publish([self.compose(step)])
            elif isinstance(step, ExpectStep):
                await self._expect(step)
            else:
                await self._request(step)

    def compose(self, step: SendStep) -> Message:
        """The step's message, which whoever asks for it has to send."""
        data = with_fresh_ids(self._contract.example(step.send), self._example_ids)
        data |= fill(step.data, self._value_of)
        self._know(data)
        self._sent = make_message(
            self._contract,
            step.send,
            data,
            correlation_id=self._correlation,
            causation_id=None if self._cause is None else self._cause.id,
        )
        return self._sent

    def about_it(self) -> list[Message]:
        """What the participant has sent about the tale's ids; each id once."""
        first: dict[str, Message] = {}
        for message in self._bus.seen[self._from :]:
            if message.correlation_id in self._correlations or message.subject in self._ids:
                first.setdefault(message.id, message)
        return list(first.values())

    def copies(self) -> int:
        """How often the participant sent a message about it that it had sent before."""
        seen = [message.id for message in self._bus.seen[self._from :]]
        return sum(seen.count(message.id) - 1 for message in self.about_it())

    def unexpected(self) -> list[Message]:
        """What nothing in the story accounts for."""
        return [
            message
            for message in self.about_it()
            if message.id not in self._claimed and message.detail_type not in self.story.may_send
        ]

    async def _expect(self, step: ExpectStep) -> None:
        wanted = fill(step.data, self._value_of)

        async def look() -> list[Message]:
            return [
                message
                for message in self.unexpected()
                if message.detail_type == step.expect and contains(message.data, wanted)
            ]

        found = await eventually(look, bool, ANSWER_SECONDS, poll_seconds=0.02)
        if not found:
            after = f" after {self._sent.detail_type}" if self._sent else ""
            sent = [message.detail_type for message in self.about_it()]
            raise Failed(
                f"{step.expect} {wanted or ''}{after} ({self.story.name})",
                f"in {ANSWER_SECONDS:g} s {', '.join(sent) or 'nothing'} about it",
            )
        message = found[0]
        self._claimed.add(message.id)
        if self._sent is not None:
            self.links.append((self._sent, message))
        self._cause = message
        self._correlation = message.correlation_id
        self._correlations.add(message.correlation_id)
        self._capture(step.capture, message.data, step.expect)

    async def _request(self, step: HttpStep) -> None:
        method, _, path = step.http.partition(" ")
        url = f"{self._base_url}{fill(path, self._value_of)}"
        body = fill(step.body, self._value_of)
        wanted = fill(step.answer, self._value_of)

        async def look() -> httpx.Response:
            return await self._http.request(method, url, json=body)

        def holds(response: httpx.Response) -> bool:
            right = response.is_success if step.status is None else _is(response, step.status)
            return right and (wanted is None or contains(_json(response), wanted))

        if method != "GET":
            self._sent = None  # What comes next follows from the request.
        response = await eventually(look, holds, ANSWER_SECONDS if method == "GET" else 0)
        require(
            holds(response),
            expected=f"{step.http} to answer {step.status or 'success'} {wanted or ''} "
            f"({self.story.name})",
            seen=f"{response.status_code} {response.text[:SHOWN]}",
        )
        self._know(body)
        self._capture(step.capture, _json(response), step.http)

    def _capture(self, names: dict[str, str], document: Any, where: str) -> None:
        for name, path in names.items():
            try:
                self._values[name] = read(document, path)
            except LookupError as error:
                raise Failed(f"{path} in {where} ({self.story.name})", str(error)) from None
            self._know(self._values[name])

    def _value_of(self, name: str) -> Any:
        return self._values.setdefault(name, str(uuid.uuid4()))

    def _know(self, data: Any) -> None:
        self._ids |= ids_in(data)
        self._ids |= ids_in(self._values)


def _is(response: httpx.Response, status: int) -> bool:
    return response.status_code == status


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
