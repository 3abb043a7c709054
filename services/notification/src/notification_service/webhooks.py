"""What SES tells about mails that did not arrive, as Amazon SNS posts it.

Guarantee: nothing is believed without the password, and nothing is fetched: an address in a post
may lead anywhere. A hard bounce or a complaint ends mails to that address for good.
"""

import base64
import binascii
import hmac
import logging
import re
from collections.abc import Iterator, Mapping
from email.utils import parseaddr
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import SecretStr

from chassis import BODY_PROBLEMS, UNAVAILABLE, Problem
from chassis import problem_responses as problems
from notification_service.profiles import Profiles

log = logging.getLogger(__name__)

# SNS posts JSON and calls it text (Amazon SNS Developer Guide, "HTTP/HTTPS headers").
MEDIA_TYPES = ("text/plain", "application/json")
# SES takes 50 recipients a mail (SES quotas), and ours have one.
MAX_RECIPIENTS = 50
_CONFIRMATION = re.compile(r"https://sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/[!-~]{1,1000}")
_ENVELOPE = {
    "type": "object",
    "required": ["Type"],
    "properties": {
        "Type": {"type": "string", "minLength": 1, "maxLength": 100},
        "Message": {"type": "string", "description": "What SES says, as JSON."},
    },
}


def ses_webhook(profiles: Profiles, secret: SecretStr | None) -> APIRouter:
    """The webhook; without a secret it is closed."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        "/webhooks/ses",
        operation_id="receive_ses_notification",
        status_code=204,
        responses={
            **{status: BODY_PROBLEMS[status] for status in (413, 415)},
            **problems(
                _400="The body is no notification (invalid_notification).",
                _401="The password is missing or wrong (unauthorized).",
                _404="The webhook is closed (webhook_closed).",
            ),
            **UNAVAILABLE,
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {media_type: {"schema": _ENVELOPE} for media_type in MEDIA_TYPES},
            },
        },
    )
    async def receive_ses_notification(request: Request) -> Response:
        """A bounce or a complaint; the answer only says that it need not come again."""
        if secret is None:
            detail = "This service takes no notifications of SES: it has no SES_WEBHOOK_SECRET."
            raise Problem(404, "webhook_closed", detail)
        if not _is_authorized(request.headers.get("authorization", ""), secret):
            # SNS sends the password only after it was asked for it.
            raise Problem(
                401,
                "unauthorized",
                "Send the secret as the password of HTTP basic authentication.",
                headers={"WWW-Authenticate": 'Basic realm="ses", charset="UTF-8"'},
            )
        await _take(_object(await request.body()), profiles)
        return Response(status_code=204)

    return router


async def _take(envelope: Mapping[str, Any], profiles: Profiles) -> None:
    kind = envelope.get("Type")
    if kind == "SubscriptionConfirmation":
        url = str(envelope.get("SubscribeURL", ""))
        shown = url if _CONFIRMATION.fullmatch(url) else "(an address that is not Amazon's)"
        log.warning("SNS asks an operator to confirm the subscription by opening %s", shown)
    elif kind == "Notification":
        said = envelope.get("Message", "")
        if not isinstance(said, str):
            raise _invalid()
        message = _object(said.encode("utf-8", "replace"))
        reason, addresses = unwelcome(message)
        for address in addresses:
            await profiles.suppress(address, reason)
        if addresses:
            log.info("%d address(es) suppressed: %s", len(addresses), reason)
    elif kind != "UnsubscribeConfirmation":
        raise _invalid()


def unwelcome(message: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Why, and to which addresses, no more mails may go; mostly to none.

    Transient bounces (a full mailbox) pass, and of undetermined ones nobody knows.
    """
    kind = message.get("notificationType", message.get("eventType"))
    if kind == "Bounce":
        bounce = _part(message, "bounce")
        if bounce.get("bounceType") == "Permanent":
            return "bounce", list(_addresses(bounce.get("bouncedRecipients")))
    elif kind == "Complaint":
        complaint = _part(message, "complaint")
        # A recipient may also say that a mail is not spam, and that comes as a complaint.
        if complaint.get("complaintFeedbackType") != "not-spam":
            return "complaint", list(_addresses(complaint.get("complainedRecipients")))
    return "", []


def _addresses(recipients: Any) -> Iterator[str]:
    for recipient in recipients[:MAX_RECIPIENTS] if isinstance(recipients, list) else ():
        told = recipient.get("emailAddress") if isinstance(recipient, dict) else None
        address = parseaddr(told)[1] if isinstance(told, str) else ""
        if "@" in address:
            yield address


def _part(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = message.get(name)
    if not isinstance(part, dict):
        raise _invalid()
    return part


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _invalid() from None
    if not isinstance(document, dict):
        raise _invalid()
    return document


def _invalid() -> Problem:
    return Problem(400, "invalid_notification", "The body is no notification of SES's by SNS.")


def _is_authorized(header: str, secret: SecretStr) -> bool:
    scheme, _, credentials = header.partition(" ")
    try:
        given = base64.b64decode(credentials.strip(), validate=True)
    except (ValueError, binascii.Error):
        return False
    _, _, password = given.partition(b":")
    matches = hmac.compare_digest(password, secret.get_secret_value().encode())
    return scheme.lower() == "basic" and matches
