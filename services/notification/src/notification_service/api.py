"""HTTP: what customers want to be told, how they say so from a mail, and figures for operators.

Guarantee: nothing here shows a contact, and following a link changes nothing: mail scanners do.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query
from fastapi.responses import HTMLResponse, Response
from pydantic import MISSING, BaseModel, ConfigDict, StringConstraints

from chassis import BODY_PROBLEMS, INVALID, UNAVAILABLE, Count, Counts, Problem, View
from chassis import problem_responses as problems
from contracts import or_missing, or_none
from notification_service.domain import Kind
from notification_service.languages import accepted
from notification_service.mailbox import Mailbox, NoMailbox
from notification_service.pages import Pages
from notification_service.profiles import Profiles
from notification_service.store import OUT_OF_ORDER, Mails
from notification_service.tokens import Unsubscribing

FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
CustomerId = Annotated[
    str,
    Path(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$", description="The customer."),
]
Token = Annotated[
    str, Query(min_length=1, max_length=200, description="The token of the link in a mail.")
]
Language = Annotated[str, Header(max_length=500, description="Languages that the reader knows.")]
Locale = Annotated[
    str,
    StringConstraints(
        strict=True, min_length=2, max_length=35, pattern="^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$"
    ),
]
# RFC 8058, 3.2: mail programs post this, and so does our page.
_ONE_CLICK = {
    "type": "object",
    "properties": {"List-Unsubscribe": {"type": "string", "maxLength": 100}},
}
_TOKEN_PROBLEMS = {
    **problems(_400="The token is none of ours (invalid_token)."),
    **INVALID,
    **UNAVAILABLE,
}


class Preferences(BaseModel):
    """What a customer wants to be told by mail; problems are what is rejected, cancelled, refunded.

    `locale` wins over the one that comes with the contact.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    order_mails: Literal["all", "problems", "none"]
    locale: Locale | MISSING = MISSING


class MailCensus(View):
    """Mails by kind and state; `out_of_order` counts those sent after a later one of their order
    had begun, which only a worker that stood still for longer than its lease can bring about.
    """

    by_kind: dict[str, Counts]
    out_of_order: Count


def preference_routes(profiles: Profiles) -> APIRouter:
    """What customers want."""
    router = APIRouter(tags=["preferences"])

    @router.get(
        "/customers/{customer_id}/preferences",
        operation_id="get_preferences",
        responses={**INVALID, **UNAVAILABLE},
    )
    async def get_preferences(customer_id: CustomerId) -> Preferences:
        """What the customer wants; all mails, unless they said otherwise."""
        profile = await profiles.get(customer_id)
        return Preferences(
            order_mails=profile.order_mails, locale=or_missing(profile.preferred_locale)
        )

    @router.put(
        "/customers/{customer_id}/preferences",
        operation_id="put_preferences",
        responses={**BODY_PROBLEMS, **UNAVAILABLE},
    )
    async def put_preferences(customer_id: CustomerId, preferences: Preferences) -> Preferences:
        """All of it: what is absent is no longer preferred."""
        await profiles.prefer(customer_id, preferences.order_mails, or_none(preferences.locale))
        return preferences

    return router


def unsubscribe_routes(profiles: Profiles, unsubscribing: Unsubscribing, pages: Pages) -> APIRouter:
    """The link in each mail."""
    router = APIRouter(tags=["preferences"])

    def customer_of(token: str) -> str:
        customer_id = unsubscribing.customer_of(token)
        if customer_id is None:
            detail = "This link is not from one of our mails; copy it again, as a whole."
            raise Problem(400, "invalid_token", detail)
        return customer_id

    @router.get(
        "/unsubscribe",
        operation_id="show_unsubscribe",
        response_class=HTMLResponse,
        responses=_TOKEN_PROBLEMS,
    )
    async def show_unsubscribe(token: Token, accept_language: Language = "") -> Response:
        """A page that asks; it changes nothing."""
        customer_of(token)
        return pages.unsubscribe(accepted(accept_language), done=False)

    @router.post(
        "/unsubscribe",
        operation_id="unsubscribe",
        response_class=HTMLResponse,
        responses={**{s: BODY_PROBLEMS[s] for s in (413, 415)}, **_TOKEN_PROBLEMS},
        openapi_extra={
            "requestBody": {
                "required": False,
                "content": {media_type: {"schema": _ONE_CLICK} for media_type in FORMS},
            }
        },
    )
    async def unsubscribe(token: Token, accept_language: Language = "") -> Response:
        """No more mails about orders (RFC 8058, one click)."""
        await profiles.unsubscribe(customer_of(token))
        return pages.unsubscribe(accepted(accept_language), done=True)

    return router


def operator_routes(mails: Mails) -> APIRouter:
    """The operators' view of the mails."""
    router = APIRouter(tags=["operations"])

    @router.get("/ops/mails", operation_id="get_mail_census", responses=UNAVAILABLE)
    async def get_mail_census() -> MailCensus:
        """Mails by kind and state, for the balance sheet."""
        counts = await mails.census()
        by_kind: dict[str, dict[str, int]] = {kind: {} for kind in Kind}
        for name, count in sorted(counts.items()):
            kind, found, state = name.partition("#")
            if found:
                by_kind[kind][state] = count
        return MailCensus(by_kind=by_kind, out_of_order=counts.get(OUT_OF_ORDER, 0))

    return router


def mailbox_routes(mailbox: Mailbox | None, pages: Pages) -> APIRouter:
    """The emulator's mailbox, for development; without one there is no such page."""
    router = APIRouter()

    @router.get("/mailbox", operation_id="show_mailbox", include_in_schema=False)
    async def show_mailbox() -> Response:
        if mailbox is None:
            detail = "Mails go to their readers here: there is no MAILBOX_URL."
            raise Problem(404, "no_mailbox", detail)
        try:
            return pages.mailbox(await mailbox.mails(), None)
        except NoMailbox as error:
            return pages.mailbox([], f"{error}.")

    return router
