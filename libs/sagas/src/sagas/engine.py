"""The saga engine: a pure function from an instance and a signal to the next instance.

Guarantee: no I/O, no clock, no randomness; the same instance and signal always give the same next
instance and the same messages, and a signal that comes late or twice changes nothing.

    RUNNING --all steps done--> COMPLETED
       | refusal, or a deadline before the pivot
       v
    COMPENSATING --all undone--> COMPENSATED
       (both) deadline where nothing can be undone: send again, bounded --> PARKED
    PARKED --the awaited reply after all--> where it was
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from contracts import encode, message_type_of
from sagas.definition import Request, Saga, Step


class Status(enum.StrEnum):
    """Where an instance stands; COMPLETED and COMPENSATED are final."""

    RUNNING = "running"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    PARKED = "parked"

    @property
    def is_final(self) -> bool:
        """Nothing moves the instance any more."""
        return self in (Status.COMPLETED, Status.COMPENSATED)


@dataclass(frozen=True, slots=True)
class Reply:
    """A participant's answer. `sent_at` is the participant's clock, for the timeline only."""

    payload: BaseModel
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The wait for the answer to one command is over; `turn` names that command."""

    turn: int


@dataclass(frozen=True, slots=True)
class Instance:
    """One saga instance. `turn` counts commands sent; `deadline_seconds` guards the last one."""

    saga: str
    id: str
    version: int
    data: Mapping[str, Any]
    revision: int = 0
    status: Status = Status.RUNNING
    step: int = 0
    undoing: bool = False
    turn: int = 0
    resends: int = 0
    refusal: Mapping[str, Any] | None = None
    deadline_seconds: float | None = None
    history: tuple[Mapping[str, Any], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send; `cause` makes its id stable."""

    payload: BaseModel
    cause: str


@dataclass(frozen=True, slots=True)
class Advance:
    """The outcome of a signal."""

    instance: Instance
    outgoing: tuple[Outgoing, ...] = ()


def begin(saga: Saga[Any], instance_id: str, data: BaseModel, now: datetime) -> Advance:
    """A new instance with its first command."""
    instance = Instance(
        saga=saga.name,
        id=instance_id,
        version=saga.version,
        data=data.model_dump(mode="json"),
    )
    return _send(saga, instance, now)


def advance(
    saga: Saga[Any], instance: Instance, signal: Reply | DeadlinePassed, now: datetime
) -> Advance:
    """The next instance and what to send; the same instance when the signal is stale."""
    if instance.status.is_final:
        return Advance(instance)
    if isinstance(signal, DeadlinePassed):
        return _on_deadline(saga, instance, signal, now)
    return _on_reply(saga, instance, signal, now)


def _on_reply(saga: Saga[Any], instance: Instance, reply: Reply, now: datetime) -> Advance:
    step, request = _awaited(saga, instance)
    kind = type(reply.payload)
    if kind not in (request.success, request.failure):
        return Advance(instance)  # An answer to an earlier command: already decided otherwise.
    entry: dict[str, Any] = {
        "at": now.isoformat(),
        "event": "received",
        "message": kind.__name__,
        "service": message_type_of(kind).owner,
        "step": step.name,
    }
    if reply.sent_at is not None:
        entry["sent_at"] = reply.sent_at.isoformat()
    instance = replace(instance, history=(*instance.history, entry), resends=0)
    if kind is request.failure:
        refusal = {"message": kind.__name__, **encode(reply.payload)}
        return _undo(saga, replace(instance, refusal=refusal), instance.step - 1, now)
    if instance.undoing:
        return _undo(saga, instance, instance.step - 1, now)
    if instance.step + 1 < len(saga.steps):
        forward = replace(instance, status=Status.RUNNING, step=instance.step + 1)
        return _send(saga, forward, now)
    return _finish(saga, instance, Status.COMPLETED, now)


def _on_deadline(
    saga: Saga[Any], instance: Instance, deadline: DeadlinePassed, now: datetime
) -> Advance:
    if deadline.turn != instance.turn or instance.status is Status.PARKED:
        return Advance(instance)  # It guarded a command that has been answered since.
    step, _ = _awaited(saga, instance)
    entry = {"at": now.isoformat(), "event": "deadline_passed", "step": step.name}
    instance = replace(instance, history=(*instance.history, entry))
    if not instance.undoing and instance.step < saga.pivot:
        # Whether the step took effect is unknown, so it is undone too.
        refusal = {"message": "DeadlinePassed", "reason": f"{step.name}_timeout"}
        return _undo(saga, replace(instance, refusal=refusal, resends=0), instance.step, now)
    if instance.resends < saga.max_resends:
        return _send(saga, replace(instance, resends=instance.resends + 1), now)
    parked = {"at": now.isoformat(), "event": "parked", "step": step.name}
    return Advance(
        replace(
            instance,
            status=Status.PARKED,
            deadline_seconds=None,
            history=(*instance.history, parked),
        )
    )


def _undo(saga: Saga[Any], instance: Instance, step: int, now: datetime) -> Advance:
    """Compensate from `step` downwards."""
    while step >= 0 and saga.steps[step].compensation is None:
        step -= 1
    if step < 0:
        return _finish(saga, instance, Status.COMPENSATED, now)
    undoing = replace(instance, status=Status.COMPENSATING, undoing=True, step=step)
    return _send(saga, undoing, now)


def _send(saga: Saga[Any], instance: Instance, now: datetime) -> Advance:
    """Send the command that the instance now stands at, under a new turn and deadline."""
    step, request = _awaited(saga, instance)
    command = request.build(saga.data.model_validate(instance.data))
    turn = instance.turn + 1
    entry = {
        "at": now.isoformat(),
        "event": "sent" if instance.resends == 0 else "sent_again",
        "message": type(command).__name__,
        "service": message_type_of(command).owner,
        "step": step.name,
    }
    instance = replace(
        instance,
        turn=turn,
        deadline_seconds=step.deadline.total_seconds(),
        history=(*instance.history, entry),
    )
    return Advance(instance, (Outgoing(command, _cause(instance)),))


def _finish(saga: Saga[Any], instance: Instance, status: Status, now: datetime) -> Advance:
    data = saga.data.model_validate(instance.data)
    if status is Status.COMPLETED:
        said: BaseModel | None = saga.on_completed(data)
    else:
        said = saga.on_compensated(data, instance.refusal or {})
    entry: dict[str, Any] = {"at": now.isoformat(), "event": str(status)}
    if said is not None:
        entry |= {"message": type(said).__name__, "service": message_type_of(said).owner}
    instance = replace(
        instance,
        status=status,
        turn=instance.turn + 1,
        deadline_seconds=None,
        history=(*instance.history, entry),
    )
    return Advance(instance, (Outgoing(said, _cause(instance)),) if said is not None else ())


def _awaited(saga: Saga[Any], instance: Instance) -> tuple[Step[Any], Request[Any]]:
    """The step and the request whose answer the instance waits for."""
    step = saga.steps[instance.step]
    if not instance.undoing:
        return step, step.action
    if step.compensation is None:
        raise RuntimeError(f"{instance.saga} {instance.id} undoes {step.name}, which has no way")
    return step, step.compensation


def _cause(instance: Instance) -> str:
    return f"{instance.saga}/{instance.id}/{instance.turn}"
