"""What the AWS emulator says was sent: a mailbox for development.

Guarantee: MiniStack's and LocalStack's answers come out alike, newest mail first. On AWS itself
there is no such thing; what was sent is in the customers' mailboxes.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import orjson

from chassis import HttpConnections
from notification_service.mails import MAIL_HEADER

PATHS = ("/_ministack/ses/messages", "/_aws/ses")
# The last line of each mail's text, where the emulator keeps no headers.
_REFERENCE = re.compile(r"([0-9a-f-]{36}/[a-z]+)\s*$")


class NoMailbox(Exception):
    """The emulator does not answer, or has no mailbox; the text says what it said."""


@dataclass(frozen=True, slots=True)
class ShownMail:
    """A mail as the emulator kept it. `name` is `<order_id>/<kind>`, or empty for another's."""

    message_id: str
    name: str
    subject: str
    sender: str
    to: str
    text: str
    html: str
    sent_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)


class Mailbox:
    """Asks the emulator at `url`; `connect` opens the connections, as `HttpConnections` does."""

    def __init__(self, url: str, connect: Callable[..., HttpConnections] = HttpConnections) -> None:
        self._connections = connect(
            url.rstrip("/"), limit=4, connect_seconds=2.0, answer_seconds=10.0
        )

    async def mails(self) -> list[ShownMail]:
        """All mails, newest first; raises NoMailbox.

        An emulator that hands some services on to another has two mailboxes.
        """
        told, found, answered = "nothing", list[ShownMail](), False
        for path in PATHS:
            try:
                answer = await self._connections.request(
                    "GET", path, {"host": self._connections.host, "accept": "application/json"}, b""
                )
                if answer.status == 200:
                    found += read(orjson.loads(answer.body))
                    answered = True
                    continue
                told = f"HTTP {answer.status}"
            except (OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
                told = type(error).__name__
        if not answered:
            raise NoMailbox(f"the emulator's mailbox cannot be read: {told}")
        return found

    async def close(self) -> None:
        """Close the connections."""
        self._connections.close()


def read(document: Any) -> list[ShownMail]:
    """The mails of either emulator's answer; raises KeyError, TypeError or ValueError on others."""
    messages = document["messages"]
    if isinstance(messages, dict):  # MiniStack, by account
        mails = [_of_ministack(each) for account in messages.values() for each in account]
    else:
        mails = [_of_localstack(each) for each in messages]
    # Stable, and so in the order of arrival within one moment.
    return sorted(mails, key=lambda mail: mail.sent_at)[::-1]


def _of_ministack(record: Mapping[str, Any]) -> ShownMail:
    text = record.get("BodyText") or ""
    return ShownMail(
        message_id=record["MessageId"],
        name=_reference(text),
        subject=record.get("Subject") or "",
        sender=record.get("Source") or "",
        to=", ".join(record.get("To") or ()),
        text=text,
        html=record.get("BodyHtml") or "",
        sent_at=datetime.fromtimestamp(record["Timestamp"], UTC),
    )


def _of_localstack(record: Mapping[str, Any]) -> ShownMail:
    sent_at = datetime.fromisoformat(record["Timestamp"])
    sent_at = sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)
    raw = record.get("RawData")
    if raw is None:  # Sent by SendEmail, and so by somebody else.
        body = record.get("Body") or {}
        to = (record.get("Destination") or {}).get("ToAddresses") or []
        return ShownMail(
            message_id=record["Id"],
            name="",
            subject=record.get("Subject") or "",
            sender=record.get("Source") or "",
            to=", ".join(to),
            text=body.get("text_part") or "",
            html=body.get("html_part") or "",
            sent_at=sent_at,
        )
    message = message_from_bytes(raw.encode(), policy=default)
    assert isinstance(message, EmailMessage)
    return ShownMail(
        message_id=record["Id"],
        name=str(message.get(MAIL_HEADER, "")),
        subject=str(message.get("Subject", "")),
        sender=str(message.get("From", "")),
        to=str(message.get("To", "")),
        text=_part(message, "plain"),
        html=_part(message, "html"),
        sent_at=sent_at,
        headers=dict(_shown_headers(message)),
    )


def _part(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    return str(part.get_content()) if part is not None else ""


def _shown_headers(message: EmailMessage) -> Iterable[tuple[str, str]]:
    for name, value in message.items():
        if not name.lower().startswith(("content-", "mime-")):
            yield name, str(value)


def _reference(text: str) -> str:
    found = _REFERENCE.search(text)
    return found.group(1) if found else ""
