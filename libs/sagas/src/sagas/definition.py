"""A saga as data: its steps, what undoes them, how long to wait, and what to say at the end.

Guarantee: a definition that could not be undone or finished is refused when it is built, not when
an order hangs in it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

Data = TypeVar("Data", bound=BaseModel)
Refusal = Mapping[str, Any]


class InvalidSaga(ValueError):
    """The definition contradicts itself; the text says where."""


@dataclass(frozen=True)
class Request(Generic[Data]):
    """A command to a participant and the replies that answer it."""

    build: Callable[[Data], BaseModel]
    success: type[BaseModel]
    failure: type[BaseModel] | None = None


@dataclass(frozen=True)
class Step(Generic[Data]):
    """One step. `deadline` bounds the wait for each of its replies, resent or not."""

    name: str
    action: Request[Data]
    deadline: timedelta
    compensation: Request[Data] | None = None


@dataclass(frozen=True)
class Saga(Generic[Data]):
    """A saga's whole definition.

    The first step without a compensation is the pivot: a refusal up to there undoes the earlier
    steps in reverse, and after it there is only forward. `on_completed` and `on_compensated` build
    what the world is told. A command whose deadline passes where nothing can be undone is sent
    again up to `max_resends` times; then the instance is parked for a human.
    """

    name: str
    version: int
    data: type[Data]
    steps: Sequence[Step[Data]]
    on_completed: Callable[[Data], BaseModel]
    on_compensated: Callable[[Data, Refusal], BaseModel | None]
    max_resends: int = 5

    def __post_init__(self) -> None:
        if not self.steps:
            raise InvalidSaga(f"{self.name} has no steps")
        names = [step.name for step in self.steps]
        if len(set(names)) != len(names):
            raise InvalidSaga(f"{self.name} has two steps of one name")
        for step in self.steps[self.pivot + 1 :]:
            if step.compensation is not None:
                raise InvalidSaga(
                    f"{self.name}: {step.name} comes after the pivot, yet it is undone"
                )
            if step.action.failure is not None:
                raise InvalidSaga(
                    f"{self.name}: {step.name} comes after the pivot, yet it may fail"
                )
        for step in self.steps:
            if step.compensation is not None and step.compensation.failure is not None:
                raise InvalidSaga(f"{self.name}: the compensation of {step.name} may not fail")
            if step.deadline <= timedelta(0):
                raise InvalidSaga(f"{self.name}: {step.name} has no time")
        answers = [message for step in self.steps for message in _answers(step)]
        if len(set(answers)) != len(answers):
            raise InvalidSaga(f"{self.name}: one reply answers two requests")

    @property
    def pivot(self) -> int:
        """The index of the step after which nothing is undone; the length if all can be."""
        for index, step in enumerate(self.steps):
            if step.compensation is None:
                return index
        return len(self.steps)

    @property
    def replies(self) -> list[type[BaseModel]]:
        """Every message that moves this saga."""
        return [message for step in self.steps for message in _answers(step)]

    def longest_life(self) -> timedelta:
        """A bound on how long an instance can run before it is finished or parked."""
        tries = self.max_resends + 1
        forward = sum((step.deadline * tries for step in self.steps), timedelta())
        undoing = [step.deadline * tries for step in self.steps if step.compensation is not None]
        return forward + sum(undoing, timedelta())


def _answers(step: Step[Any]) -> Iterator[type[BaseModel]]:
    yield step.action.success
    if step.action.failure is not None:
        yield step.action.failure
    if step.compensation is not None:
        yield step.compensation.success
