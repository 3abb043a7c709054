"""The door under /v1: authentication, idempotency, faults, endpoint, commit, answer.

Guarantee: what a request changed is committed before a single byte of its answer, so a crash, a
dropped connection or a 500 after the effect leaves exactly the state that Stripe would leave.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping

from stripe_simulator import errors, forms
from stripe_simulator.calls import Call, expansions
from stripe_simulator.changes import Changes
from stripe_simulator.errors import StripeError
from stripe_simulator.faults import Action, Faults
from stripe_simulator.forms import Params
from stripe_simulator.idempotency import Saved
from stripe_simulator.ids import new_id
from stripe_simulator.routes import ROUTES, Route
from stripe_simulator.store import Store
from stripe_simulator.wire import (
    BodyTooLarge,
    Headers,
    Receive,
    Scope,
    Send,
    cut,
    read_body,
    reply,
)

TEST_KEY_PREFIXES = ("sk_test_", "rk_test_")
FORM = b"application/x-www-form-urlencoded"


class Dispatcher:
    def __init__(self, store: Store, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_id("req_")
        headers: Headers = [(b"request-id", request_id.encode())]
        try:
            status, body = await self._answer(scope, receive, request_id, headers)
        except StripeError as error:
            status, body = error.status, error.body()
        except _Dropped:
            if cut(scope):
                return
            raise  # The server turns it into a 500 and closes.
        await reply(send, status, body, headers)

    async def _answer(
        self, scope: Scope, receive: Receive, request_id: str, headers: Headers
    ) -> tuple[int, bytes]:
        authorization = key_header = content_type = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"idempotency-key":
                key_header = value
            elif name == b"content-type":
                content_type = value
            elif name == b"stripe-version":
                headers.append((b"stripe-version", value))
        self._authenticate(authorization)
        method, path = scope["method"], scope["path"]
        route, identifier = _find_route(method, path)
        try:
            form = await read_body(receive)
        except BodyTooLarge:
            raise errors.invalid("Invalid request: the body is too large.") from None
        if method != "POST":
            params = forms.parse_form(scope["query_string"])
            return await self._run(scope, route, identifier, params, request_id)
        if form and not content_type.startswith(FORM):
            raise errors.invalid(
                "Invalid request (check that your POST content type is"
                " application/x-www-form-urlencoded)."
            )
        params = forms.parse_form(form)
        if not key_header:
            return await self._run(scope, route, identifier, params, request_id)
        key = key_header.decode("latin-1")
        headers.append((b"idempotency-key", key_header))
        keys = self._store.keys
        saved = keys.begin(key, path, form, self._store.clock.now())
        if saved is not None:
            headers.append((b"idempotent-replayed", b"true"))
            headers.append((b"original-request", saved.request_id.encode()))
            return saved.status, saved.response
        record = _Recording(key, path, form)
        try:
            return await self._run(scope, route, identifier, params, request_id, record)
        finally:
            if record.saved is not None:
                keys.finish(record.saved)
            else:
                keys.abandon(key)

    def _authenticate(self, authorization: bytes) -> None:
        scheme, _, credentials = authorization.decode("latin-1").partition(" ")
        if scheme.lower() == "basic":
            try:
                decoded = base64.b64decode(credentials, validate=True).decode("latin-1")
            except binascii.Error:
                decoded = ""
            credentials = decoded.partition(":")[0]
        if not credentials:
            raise errors.bad_api_key(
                "You did not provide an API key. Provide it in the Authorization header, using"
                " Bearer auth (e.g. 'Authorization: Bearer sk_test_...')."
            )
        if not credentials.startswith(TEST_KEY_PREFIXES):
            raise errors.bad_api_key("Invalid API Key provided: the simulator takes test keys only")
        expected = self._store.settings.api_key
        if expected is not None and credentials != expected:
            raise errors.bad_api_key(f"Invalid API Key provided: sk_test_****{credentials[-4:]}")

    async def _run(
        self,
        scope: Scope,
        route: Route,
        identifier: str,
        params: Params,
        request_id: str,
        record: _Recording | None = None,
    ) -> tuple[int, bytes]:
        """Run the endpoint with its faults around it; `record` receives what a key should keep."""
        expanding = expansions(params, route.expandable)
        actions = self._actions(route, identifier, params) if self._faults else []
        refusal = await _meet(actions, "before")
        store = self._store
        if refusal is not None:
            return self._save(refusal, record, request_id)
        changes = Changes(store.clock.now())
        call = Call(store, identifier, params, changes, scope["path"], expanding)
        try:
            answer = route.endpoint(call)
        except StripeError as error:
            if error.saved:
                self._save(error, record, request_id)
            raise
        failing = next(
            (act for act in actions if (act.kind, act.when) == ("status", "after")), None
        )
        if failing is not None:
            answer = failing.status, errors.api_error(failing.status).body()
        if record is not None:
            record.keep(answer, request_id, changes.at)
        if scope["method"] == "POST":
            store.commit(
                changes,
                request_id=request_id,
                key=record.key if record else None,
                saved=record.saved if record else None,
            )
        if actions:
            await _meet(actions, "after")
        return answer

    def _save(
        self, error: StripeError, record: _Recording | None, request_id: str
    ) -> tuple[int, bytes]:
        """Keep a refusal under the key, in the journal too."""
        answer = error.status, error.body()
        if record is not None and error.saved:
            changes = Changes(self._store.clock.now())
            record.keep(answer, request_id, changes.at)
            self._store.commit(changes, saved=record.saved)
        return answer

    def _actions(self, route: Route, identifier: str, params: Params) -> list[Action]:
        payment_method, metadata = params.get("payment_method"), params.get("metadata")
        known: Mapping[str, str] = {}
        intent_id = identifier or params.get("payment_intent")
        intent = self._store.intents.find(intent_id) if isinstance(intent_id, str) else None
        if intent is not None:
            payment_method = payment_method or intent.attempted_method
            known = intent.metadata
        if isinstance(metadata, dict):
            known = {**known, **metadata}
        return self._faults.for_request(
            route.operation, payment_method if isinstance(payment_method, str) else None, known
        )


class _Dropped(Exception):
    """A fault cuts the connection here."""


class _Recording:
    """What to keep under an idempotency key; nothing until `keep`."""

    __slots__ = ("form", "key", "path", "saved")

    def __init__(self, key: str, path: str, form: bytes) -> None:
        self.key = key
        self.path = path
        self.form = form
        self.saved: Saved | None = None

    def keep(self, answer: tuple[int, bytes], request_id: str, at: float) -> None:
        self.saved = Saved(self.key, self.path, self.form, *answer, request_id, at)


async def _meet(actions: list[Action], when: str) -> StripeError | None:
    """Suffer the faults due at this point: stalls first, then a drop, then an error to answer."""
    if not actions:
        return None
    for action in actions:
        if action.kind == "stall" and action.when == when:
            await asyncio.sleep(action.seconds)
    for action in actions:
        if action.kind == "drop" and action.when == when:
            raise _Dropped
    if when == "before":
        for action in actions:
            if action.kind == "rate_limit":
                return errors.rate_limited()
            if action.kind == "status" and action.when == when:
                return errors.api_error(action.status)
    return None


def _find_route(method: str, path: str) -> tuple[Route, str]:
    """The route and the id in the path; a 404 in Stripe's words when there is none."""
    parts = path.split("/")  # "", "v1", resource, id, action
    route, identifier = None, ""
    if len(parts) == 3:
        route = ROUTES.get(f"{method} {parts[2]}")
    elif len(parts) == 4:
        route = ROUTES.get(f"{method} {parts[2]}/{parts[3]}")
        if route is None:
            route, identifier = ROUTES.get(f"{method} {parts[2]}/*"), parts[3]
    elif len(parts) == 5:
        route, identifier = ROUTES.get(f"{method} {parts[2]}/*/{parts[4]}"), parts[3]
    if route is None:
        raise StripeError(
            404,
            "invalid_request_error",
            f"Unrecognized request URL ({method}: {path[:200]}). The simulator speaks the part of"
            " Stripe's API that takes, captures, cancels and refunds card payments.",
        )
    return route, identifier
