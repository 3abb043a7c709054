"""The door under /_simulator: faults, ledger, clock, keys, webhook endpoints, reset.

Guarantee: bad input changes nothing and gets a 400 that names the field and what it may be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson

from stripe_simulator import ledger
from stripe_simulator.calls import Call
from stripe_simulator.changes import Changes
from stripe_simulator.errors import StripeError
from stripe_simulator.faults import FaultError, Faults
from stripe_simulator.payments import authenticate_intent
from stripe_simulator.settings import DEFAULT_WEBHOOK_EVENTS
from stripe_simulator.store import Store
from stripe_simulator.webhooks import Endpoint, Webhooks
from stripe_simulator.wire import BodyTooLarge, Receive, Scope, Send, read_body, reply

MAX_ADVANCE_SECONDS = 400 * 24 * 3600
MAX_MOVES = 10_000
Query = dict[str, str]


class BadRequest(Exception):
    """What is wrong with an administrative call."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Admin:
    def __init__(self, store: Store, faults: Faults, webhooks: Webhooks) -> None:
        self._store = store
        self._faults = faults
        self._webhooks = webhooks
        self._routes: dict[str, Callable[[str, Query, Any], Any]] = {
            "GET faults": self._list_faults,
            "POST faults": self._add_fault,
            "DELETE faults": self._clear_faults,
            "DELETE faults/*": self._remove_fault,
            "GET ledger": self._moves,
            "GET ledger/balances": self._balances,
            "POST reset": self._reset,
            "GET clock": self._clock,
            "POST clock": self._advance,
            "POST forget": self._forget,
            "GET webhooks": self._list_webhooks,
            "POST webhooks": self._add_webhook,
            "DELETE webhooks": self._clear_webhooks,
            "POST resend/*": self._resend,
            "POST authenticate/*": self._authenticate,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope, receive)
        except StripeError as error:
            await reply(send, error.status, error.body())
        except (BadRequest, FaultError) as error:
            status = error.status if isinstance(error, BadRequest) else 400
            await reply(send, status, orjson.dumps({"error": {"message": str(error)}}))
        else:
            await reply(send, 200, orjson.dumps(answer))

    async def _answer(self, scope: Scope, receive: Receive) -> Any:
        method, path = scope["method"], scope["path"].removeprefix("/_simulator/")
        route, identifier = self._routes.get(f"{method} {path}"), ""
        if route is None:
            head, _, identifier = path.partition("/")
            route = self._routes.get(f"{method} {head}/*")
        if route is None:
            raise BadRequest(f"no such call; there are {', '.join(self._routes)}", 404)
        try:
            body = await read_body(receive)
            document = orjson.loads(body) if body else {}
            query = dict(parse_qsl(scope["query_string"].decode("ascii"), errors="strict"))
        except BodyTooLarge:
            raise BadRequest("the body is too large") from None
        except (orjson.JSONDecodeError, UnicodeDecodeError):
            raise BadRequest("the body must be JSON in UTF-8") from None
        if not isinstance(document, dict):
            raise BadRequest("the body must be a JSON object")
        return route(identifier, query, document)

    def _list_faults(self, _id: str, _query: Query, _document: Any) -> Any:
        return {"faults": self._faults.documents()}

    def _add_fault(self, _id: str, _query: Query, document: Any) -> Any:
        return self._faults.add(document).document()

    def _clear_faults(self, _id: str, _query: Query, _document: Any) -> Any:
        return {"cleared": self._faults.clear()}

    def _remove_fault(self, identifier: str, _query: Query, _document: Any) -> Any:
        if not self._faults.remove(identifier):
            raise BadRequest(f"no fault {identifier!r}", 404)
        return {"cleared": 1}

    def _moves(self, _id: str, query: Query, _document: Any) -> Any:
        moves = self._matching(query, {"limit"})
        limit = _whole(query.get("limit", str(MAX_MOVES)), "limit", 1, MAX_MOVES)
        return {
            "moves": moves[:limit],
            "has_more": len(moves) > limit,
            "totals": ledger.totals(moves),
        }

    def _balances(self, _id: str, query: Query, _document: Any) -> Any:
        by = query.get("by", "payment_intent")
        return {"by": by, "balances": ledger.balances(self._matching(query, {"by"}), by)}

    def _matching(self, query: Query, others: set[str]) -> list[ledger.Move]:
        metadata = {
            name[len("metadata[") : -1]: value
            for name, value in query.items()
            if name.startswith("metadata[") and name.endswith("]")
        }
        for name in query:
            if name not in {"payment_intent", "kind", "after_seq", *others} and not (
                name.startswith("metadata[") and name.endswith("]")
            ):
                raise BadRequest(f"unknown parameter {name[:40]!r}; use metadata[key], kind, ...")
        kind = query.get("kind")
        if kind is not None and kind not in ledger.KINDS:
            raise BadRequest(f"kind must be one of {', '.join(ledger.KINDS)}")
        return self._store.ledger.matching(
            metadata,
            payment_intent=query.get("payment_intent"),
            kind=kind,
            after_seq=_whole(query.get("after_seq", "0"), "after_seq", 0, 1 << 62),
        )

    def _reset(self, _id: str, _query: Query, _document: Any) -> Any:
        """Forget objects, ledger, keys, faults and pending webhooks; endpoints stay."""
        self._faults.clear()
        self._webhooks.drop_pending()
        self._store.reset()
        return {"reset": True}

    def _clock(self, _id: str, _query: Query, _document: Any) -> Any:
        clock = self._store.clock
        return {"now": clock.now(), "offset_seconds": clock.offset_seconds}

    def _advance(self, _id: str, query: Query, document: Any) -> Any:
        seconds = document.get("advance_seconds")
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or not 0 <= seconds <= MAX_ADVANCE_SECONDS
        ):
            raise BadRequest(f"advance_seconds must be a number from 0 to {MAX_ADVANCE_SECONDS}")
        self._store.clock.advance(seconds)
        self._store.agenda.run_due()
        return self._clock("", query, document)

    def _forget(self, _id: str, _query: Query, document: Any) -> Any:
        """Forget one idempotency key, or all of them."""
        key = document.get("key")
        if key is not None and not isinstance(key, str):
            raise BadRequest("key must be text; leave it out to forget all keys")
        return {"forgotten": self._store.keys.forget(key)}

    def _list_webhooks(self, _id: str, _query: Query, _document: Any) -> Any:
        return {
            "endpoints": [endpoint.document() for endpoint in self._webhooks.endpoints],
            "deliveries": self._webhooks.statistics(),
        }

    def _add_webhook(self, _id: str, _query: Query, document: Any) -> Any:
        url, secret = document.get("url"), document.get("secret")
        enabled = document.get("enabled_events")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise BadRequest("url must be an http(s) address")
        if secret is not None and (not isinstance(secret, str) or not secret):
            raise BadRequest("secret must be text, or left out")
        if enabled is not None and not (
            isinstance(enabled, list) and all(isinstance(name, str) for name in enabled)
        ):
            raise BadRequest("enabled_events must be a list of event types, ['*'] for all")
        events = DEFAULT_WEBHOOK_EVENTS if enabled is None else frozenset(enabled)
        endpoint = Endpoint(url, secret or self._store.settings.webhook_secret, events)
        self._webhooks.endpoints.append(endpoint)
        return endpoint.document()

    def _clear_webhooks(self, _id: str, _query: Query, _document: Any) -> Any:
        cleared = len(self._webhooks.endpoints)
        self._webhooks.endpoints.clear()
        return {"cleared": cleared}

    def _resend(self, identifier: str, _query: Query, _document: Any) -> Any:
        self._webhooks.publish(self._store.events.get(identifier))
        return {"resent": identifier}

    def _authenticate(self, identifier: str, _query: Query, document: Any) -> Any:
        """Play the customer before 3-D Secure."""
        succeed = document.get("succeed", True)
        if not isinstance(succeed, bool):
            raise BadRequest("succeed must be true or false")
        changes = Changes(self._store.clock.now())
        call = Call(self._store, identifier, {}, changes, "")
        _, body = authenticate_intent(call, succeed=succeed)
        self._store.commit(changes)
        return orjson.Fragment(body)


def _whole(text: str, name: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text[:20]) <= most:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}")
    return int(text)
