"""The endpoints that only read: retrieve, list, search."""

from __future__ import annotations

import re

import orjson

from stripe_simulator import forms
from stripe_simulator.calls import Answer, Call, intent_body, list_answer
from stripe_simulator.errors import invalid
from stripe_simulator.events import Event, matches
from stripe_simulator.pages import PAGE_PARAMETERS, Page
from stripe_simulator.refunds import Refund


def get_intent(call: Call) -> Answer:
    forms.only(call.params, ("client_secret", "expand"))
    return 200, intent_body(call, call.store.intents.get(call.identifier, "intent"))


def list_intents(call: Call) -> Answer:
    forms.only(call.params, PAGE_PARAMETERS | {"customer"})
    customer = forms.text(call.params, "customer")
    keep = None if customer is None else lambda intent: intent.customer == customer
    found, more = call.store.intents.page(Page.parse(call.params), keep)
    return list_answer(call, [intent_body(call, intent) for intent in found], more)


_CLAUSE = re.compile(r"""\s*(status|metadata\[["']([^"']+)["']\])\s*:\s*["']([^"']*)["']\s*""")


def search_intents(call: Call) -> Answer:
    """`metadata["k"]:"v"` and `status:"s"` clauses joined by AND.

    Stripe's own index lags by up to a minute; this one does not.
    """
    forms.only(call.params, ("query", "limit", "page", "expand"))
    wanted: dict[str, str] = {}
    status: str | None = None
    for clause in re.split(r"\s+AND\s+", forms.required(call.params, "query")):
        parsed = _CLAUSE.fullmatch(clause)
        if parsed is None:
            raise invalid(
                "The simulator searches by metadata['key']:'value' and status:'value', joined by"
                " AND.",
                "query",
            )
        if parsed[2] is None:
            status = parsed[3]
        else:
            wanted[parsed[2]] = parsed[3]
    found, more = call.store.intents.page(
        Page.parse({"limit": call.params.get("limit", "")}),
        lambda intent: (
            (status is None or intent.status == status)
            and all(intent.metadata.get(key) == value for key, value in wanted.items())
        ),
    )
    bodies = [intent.body for intent in found]
    document = {"object": "search_result", "url": call.path, "has_more": more, "next_page": None}
    return 200, orjson.dumps({**document, "data": [orjson.Fragment(body) for body in bodies]})


def get_refund(call: Call) -> Answer:
    forms.only(call.params, ("expand",))
    return 200, call.store.refunds.get(call.identifier).body


def list_refunds(call: Call) -> Answer:
    forms.only(call.params, PAGE_PARAMETERS | {"payment_intent", "charge"})
    intent, charge = (
        forms.text(call.params, "payment_intent"),
        forms.text(call.params, "charge"),
    )

    def keep(made: Refund) -> bool:
        return (intent is None or made.payment_intent == intent) and (
            charge is None or made.charge == charge
        )

    found, more = call.store.refunds.page(Page.parse(call.params), keep)
    return list_answer(call, [made.body for made in found], more)


def get_charge(call: Call) -> Answer:
    forms.only(call.params, ("expand",))
    return 200, call.store.charges.get(call.identifier).body


def list_charges(call: Call) -> Answer:
    forms.only(call.params, PAGE_PARAMETERS | {"payment_intent"})
    intent = forms.text(call.params, "payment_intent")
    found, more = call.store.charges.page(
        Page.parse(call.params), lambda charge: intent is None or charge.payment_intent == intent
    )
    return list_answer(call, [charge.body for charge in found], more)


def get_event(call: Call) -> Answer:
    forms.only(call.params, ("expand",))
    return 200, call.store.events.get(call.identifier).body


def list_events(call: Call) -> Answer:
    forms.only(call.params, PAGE_PARAMETERS | {"type", "types", "delivery_success"})
    types = frozenset(forms.items(call.params, "types"))
    single = forms.text(call.params, "type")
    if single is not None and types:
        raise invalid("You may only specify one of these parameters: type, types.")
    if single is not None:
        types = frozenset((single,))

    def keep(event: Event) -> bool:
        return not types or matches(event, types)

    found, more = call.store.events.page(Page.parse(call.params), keep)
    return list_answer(call, [event.body for event in found], more)
