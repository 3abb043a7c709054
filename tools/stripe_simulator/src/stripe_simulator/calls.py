"""One request on its way through the API, and the shapes of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from stripe_simulator import forms
from stripe_simulator.changes import Changes
from stripe_simulator.charges import Charge
from stripe_simulator.encoding import compact_json
from stripe_simulator.errors import invalid
from stripe_simulator.forms import Params
from stripe_simulator.intents import Intent
from stripe_simulator.store import Store

Answer = tuple[int, bytes]


@dataclass(slots=True)
class Call:
    """One request on its way through: what came in, and what it has changed."""

    store: Store
    identifier: str
    params: Params
    changes: Changes
    path: str
    expanding: frozenset[str] = frozenset()


def expansions(params: Params, expandable: frozenset[str]) -> frozenset[str]:
    """What the caller wants enclosed; raises StripeError when that cannot be."""
    if "expand" not in params:
        return frozenset()
    wanted = frozenset(forms.items(params, "expand"))
    for name in wanted - expandable:
        raise invalid(f"This property cannot be expanded ({name[:60]}).", "expand")
    return wanted


def intent_body(call: Call, intent: Intent, charge: Charge | None = None) -> bytes:
    """The intent, with the charge enclosed when asked for; `charge` when it is not stored yet."""
    if not call.expanding:
        return intent.body
    charge = charge or call.store.charge_of(intent)
    if charge is None:
        return intent.body
    return compact_json({**intent.document(), "latest_charge": orjson.Fragment(charge.body)})


def list_answer(call: Call, bodies: Sequence[bytes], more: bool) -> Answer:
    return 200, orjson.dumps(
        {
            "object": "list",
            "url": call.path,
            "has_more": more,
            "data": [orjson.Fragment(body) for body in bodies],
        }
    )
