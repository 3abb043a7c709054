"""Consumers against what they ask for: their own handlers take each example, and nothing less.

Guarantee: an ask that its consumer does not handle, or that names more than it needs, fails here.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from contracts import load_topology

from .asks import Ask, without_each_part
from .matrix import Matrix
from .participants import ASKS, IN_MEMORY, ON_SERVERS, examples_for
from .server_scene import Servers

PARTICIPANTS = "tests/contracts/participants.py"

Play = Callable[[str, Callable[[Any], Awaitable[Any]]], Awaitable[Any]]

ALL = [
    pytest.param(consumer, ask, id=f"{consumer}-{ask.message}")
    for consumer, asks in sorted(ASKS.items())
    for ask in asks
]


@pytest.fixture
def play(on_servers: Callable[[], Servers], monkeypatch: pytest.MonkeyPatch) -> Play:
    """`await play(consumer, script)`: run a script on a scene of that consumer."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")

    async def run(consumer: str, script: Callable[[Any], Awaitable[Any]]) -> Any:
        examples = examples_for(consumer)
        if consumer in IN_MEMORY:
            return await IN_MEMORY[consumer](script, examples)
        return await ON_SERVERS[consumer](script, examples, on_servers())

    return run


@pytest.mark.parametrize(("consumer", "ask"), ALL)
async def test_consumer_handles_what_it_asks_for(
    play: Play, matrix: Matrix, consumer: str, ask: Ask
) -> None:
    async def script(scene: Any) -> tuple[dict[str, int], list[Any], bool]:
        await scene.prepare(ask.given)
        assert not await _seen(ask, scene), "what the message is to bring about is there already"
        example = scene.fill_in(examples_for(consumer)[ask.message])
        await scene.tell([example])
        return dict(await scene.handled()), list(await scene.refused()), await _seen(ask, scene)

    handled, refused, seen = await play(consumer, script)

    assert refused == []
    assert handled[ask.message] == 1
    assert seen
    matrix.asked(consumer, ask.message)


async def _seen(ask: Ask, scene: Any) -> bool:
    found = ask.shows(scene)
    return bool(await found if inspect.isawaitable(found) else found)


@pytest.mark.parametrize("consumer", sorted(ASKS))
async def test_consumer_asks_for_nothing_that_it_can_do_without(play: Play, consumer: str) -> None:
    lacking = {
        f"{message} without {pointer}": document
        for message, example in examples_for(consumer).items()
        for pointer, document in without_each_part(example)
    }

    async def script(scene: Any) -> list[Any]:
        await scene.tell(list(lacking.values()))
        return list(await scene.refused())

    refused = await play(consumer, script)

    assert [name for name, document in lacking.items() if document not in refused] == []


def test_every_message_that_a_service_receives_is_asked_for() -> None:
    asked = {(consumer, ask.message) for consumer, asks in ASKS.items() for ask in asks}
    received = {
        (consumer, message)
        for consumer, service in load_topology().services.items()
        for message in service.receives
    }
    lacking = [
        f"{consumer} receives {message}: add its ask to {_home_of(consumer)}"
        for consumer, message in sorted(received - asked)
    ]
    assert not lacking, "\n".join(lacking)
    needless = [
        f"{consumer} does not receive {message}: take its ask out of {_home_of(consumer)}, or add "
        f"the operation to contracts/{consumer}/asyncapi.yaml (and run `make generate`)"
        for consumer, message in sorted(asked - received)
    ]
    assert not needless, "\n".join(needless)


def test_every_consumer_asks_once_for_a_message_and_has_a_scene() -> None:
    messages = {consumer: [ask.message for ask in asks] for consumer, asks in ASKS.items()}
    twice = {consumer: each for consumer, each in messages.items() if len(set(each)) < len(each)}
    assert twice == {}, "keep one ask for each message"
    without_scene = sorted(ASKS.keys() - IN_MEMORY.keys() - ON_SERVERS.keys())
    assert without_scene == [], (
        f"add the `play` of these to IN_MEMORY or ON_SERVERS in {PARTICIPANTS}"
    )


def _home_of(consumer: str) -> str:
    """Where its asks stand, or are to stand."""
    file = f"tests/contracts/{consumer}_asks.py"
    return file if consumer in ASKS else f"{file} (a new file), and the service to {PARTICIPANTS}"
