"""Faults of the payment gateway itself; its simulator performs them.

Guarantee: each is taken back from the simulator, also when it is cut off itself.
"""

import asyncio
import random
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from chaos.fault import Fault
from chaos.stage import Stage

# As often as they are asked for, or about so.
OPERATIONS = (*("authorize",) * 4, *("capture",) * 3, *("refund",) * 2, "cancel", *("any",) * 3)
WHEN = ("before", "after")


async def _performed(
    stage: Stage, match: dict[str, Any], action: dict[str, Any], seconds: float
) -> str:
    """Give the simulator the fault for a while; how often it hit."""
    url = f"{stage.stack.endpoints['stripe']}/_simulator/faults"
    answer = await stage.http.post(url, json={"match": match, "action": action})
    answer.raise_for_status()
    identifier = answer.json()["id"]
    hits = 0
    try:
        await asyncio.sleep(seconds)
        found = (await stage.http.get(url)).json()["faults"]
        hits = sum(fault["fired"] for fault in found if fault["id"] == identifier)
    finally:
        await stage.http.delete(f"{url}/{identifier}")
    return f"{hits} hits"


class GatewayFault(Fault):
    """Hits the first `times` requests for one operation, for so many seconds."""

    operation: str
    times: int
    seconds: float

    @property
    @abstractmethod
    def action(self) -> dict[str, Any]:
        """What the simulator has to do."""

    async def inflict(self, stage: Stage) -> str:
        match = {"operation": self.operation, "times": self.times}
        return await _performed(stage, match, self.action, self.seconds)


@dataclass(frozen=True)
class GatewayStalls(GatewayFault):
    weight: ClassVar[int] = 5
    about: ClassVar[str] = "the gateway answers late, some beyond our time limit of 10 s"

    operation: str
    when: str
    stall_seconds: float
    times: int
    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        stall = round(chance.uniform(0.5, 14), 1)
        return cls(
            "gateway", chance.choice(OPERATIONS), chance.choice(WHEN), stall,
            chance.randint(1, 8), round(chance.uniform(4, 10), 1),
        )  # fmt: skip

    @property
    def action(self) -> dict[str, Any]:
        return {"kind": "stall", "when": self.when, "seconds": self.stall_seconds}


@dataclass(frozen=True)
class GatewayDrops(GatewayFault):
    weight: ClassVar[int] = 5
    about: ClassVar[str] = "the gateway hangs up, before it has done what was asked or after"

    operation: str
    when: str
    times: int
    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        when = "after" if chance.random() < 0.75 else "before"
        return cls(
            "gateway", chance.choice(OPERATIONS), when, chance.randint(1, 12),
            round(chance.uniform(4, 10), 1),
        )  # fmt: skip

    @property
    def action(self) -> dict[str, Any]:
        return {"kind": "drop", "when": self.when}


@dataclass(frozen=True)
class GatewayErrors(GatewayFault):
    weight: ClassVar[int] = 5
    about: ClassVar[str] = "the gateway answers 5xx, before it has done what was asked or after"

    operation: str
    when: str
    status: int
    times: int
    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        when = "after" if chance.random() < 0.75 else "before"
        return cls(
            "gateway", chance.choice(OPERATIONS), when, chance.choice((500, 502, 503)),
            chance.randint(1, 12), round(chance.uniform(4, 10), 1),
        )  # fmt: skip

    @property
    def action(self) -> dict[str, Any]:
        return {"kind": "status", "when": self.when, "status": self.status}


@dataclass(frozen=True)
class WebhookDisorder(Fault):
    weight: ClassVar[int] = 5
    about: ClassVar[str] = "webhooks come twice, out of order, late or never"

    disorder: str
    seconds: float

    @classmethod
    def drawn(cls, chance: random.Random) -> Self:
        disorder = chance.choice(("duplicate", "reorder", "lose", "delay"))
        return cls("webhooks", disorder, round(chance.uniform(8, 20), 1))

    async def inflict(self, stage: Stage) -> str:
        action: dict[str, Any] = {"kind": self.disorder}
        if self.disorder == "delay":
            action["seconds"] = 8.0
        if self.disorder == "duplicate":
            action["copies"] = 3
        return await _performed(stage, {"operation": "webhook"}, action, self.seconds)
