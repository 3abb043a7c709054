"""What an AWS emulator says was mailed: the outside's own count, as the simulator's ledger is.

Guarantee: each mail is named by what it carries itself, never by what the sender remembers of it.
"""

import re
from collections.abc import Iterator, Mapping
from email import message_from_string
from email.policy import default
from typing import Any

import httpx

# MiniStack's mailbox, and LocalStack's. An emulator that hands calls on to another has both.
PATHS = ("/_ministack/ses/messages", "/_aws/ses")
HEADER = "X-Bookstore-Mail"
# MiniStack keeps no headers; the last line of a mail's text says the same.
_REFERENCE = re.compile(r"([0-9a-f-]{36}/[a-z]+)\s*$")


class NoMailboxError(Exception):
    """Nothing at that address has a mailbox that can be read."""


async def read_mailbox(client: httpx.AsyncClient, aws_url: str) -> list[str]:
    """`<order id>/<kind>` of every mail about an order, in the order in which they were sent."""
    found: list[list[str]] = []
    for path in PATHS:
        answer = await client.get(f"{aws_url}{path}")
        if answer.status_code == 200:
            try:
                mails = sorted(_mails(answer.json()["messages"]), key=lambda mail: mail[0])
            except (ValueError, KeyError, TypeError):
                continue
            found.append([name for _, name in mails if name])
    if not found:
        raise NoMailboxError(f"{aws_url} has no mailbox")
    return [name for names in found for name in names]


def _mails(messages: Any) -> Iterator[tuple[Any, str]]:
    """When each was sent, and its name or nothing."""
    if isinstance(messages, Mapping):
        for account in messages.values():
            for each in account:
                found = _REFERENCE.search(each.get("BodyText") or "")
                yield each["Timestamp"], found.group(1) if found else ""
        return
    for each in messages:
        message = message_from_string(each.get("RawData") or "", policy=default)
        yield each["Timestamp"], str(message.get(HEADER, ""))
