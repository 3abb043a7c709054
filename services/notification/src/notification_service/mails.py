"""From what happened to an order to the bytes that SES sends.

Guarantee: nothing that a customer or another service wrote can add a header or markup, and the
text part says what the HTML part says.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address, HeaderRegistry, UniqueUnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime, parseaddr
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from messaging import DeadLetter, utc_now
from notification_service.domain import Kind, Mail, Profile
from notification_service.languages import Reader, reader
from notification_service.tokens import Unsubscribing

# Which mail this is, for whoever counts what arrived; the text part's last line says the same,
# since some mailboxes keep no headers.
MAIL_HEADER = "X-Bookstore-Mail"
# An encoded word has 75 characters at most (RFC 2047, 2): 45 bytes in base64, 11 characters of 4.
WORD_CHARACTERS = 11
_PLAIN_NAME = re.compile(r"[A-Za-z0-9'_-]+( [A-Za-z0-9'_-]+)*")


class Unwritable(DeadLetter):
    """The mail cannot be rendered. The text names the error's class and no value of the mail."""

    code = "unwritable"


class _Verbatim(UniqueUnstructuredHeader):
    """A header that is written as it was given, on one line.

    The library would split a long link into encoded words (RFC 2047), and then it is no link any
    more, and it would read encoded words in a customer's name. RFC 5322 allows lines of 998
    characters; line breaks are refused by the policy, before this is made.
    """

    @classmethod
    def parse(cls, value: str, kwds: dict[str, Any]) -> None:
        kwds["parse_tree"] = cls.value_parser("")
        kwds["decoded"] = value

    def fold(self, *, policy: EmailPolicy) -> str:
        return f"{self.name}: {self}{policy.linesep}"  # type: ignore[attr-defined]


def _policy() -> EmailPolicy:
    registry = HeaderRegistry()
    for name in ("From", "To", "List-Unsubscribe", "Message-ID", MAIL_HEADER):
        registry.map_to_type(name, _Verbatim)  # type: ignore[arg-type]
    policy: EmailPolicy = SMTP.clone(header_factory=registry)  # type: ignore[assignment]
    return policy


@cache
def _templates() -> Environment:
    """All are compiled at the start, and a broken one stops the process."""
    templates = Environment(
        loader=PackageLoader("notification_service", "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters["one_line"] = _one_line
    for kind in Kind:
        for ending in ("html", "txt"):
            templates.get_template(f"{kind}.{ending}")
    return templates


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's content."""

    subject: str
    text: str
    html: str


class Writer:
    """Writes mails from `sender`, such as 'Bookstore <orders@bookstore.example>'."""

    def __init__(
        self,
        sender: str,
        unsubscribing: Unsubscribing,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.sender = sender
        self._unsubscribing = unsubscribing
        self._now = now
        self._policy = _policy()
        self._templates = _templates()

    def write(self, mail: Mail, profile: Profile) -> bytes:
        """The whole mail, headers and both parts; raises Unwritable."""
        try:
            letter = self.letter(mail, profile)
            return self._message(mail, profile, letter).as_bytes()
        except Exception as error:
            # Not chained: its text may quote the customer's name.
            where = _innermost_line(error)
            raise Unwritable(
                f"the {mail.key.kind} mail of order {mail.key.order_id} cannot be written: "
                f"{type(error).__name__} in {where}"
            ) from None

    def letter(self, mail: Mail, profile: Profile) -> Letter:
        """Subject, text and HTML in the customer's language."""
        reading = reader(profile.preferred_locale or profile.locale)
        created = datetime.fromtimestamp(mail.created_ms / 1000, UTC)
        context: dict[str, Any] = {
            "t": reading.text,
            "say": reading,
            "language": reading.language,
            "kind": mail.key.kind,
            "order_id": mail.key.order_id,
            "date": reading.date(created),
            "greeting": _greeting(reading, profile.name),
            "unsubscribe_url": self._unsubscribing.link(mail.key.customer_id),
            "facts": mail.facts,
        }
        return Letter(
            reading.text(f"{mail.key.kind}.subject"),
            self._templates.get_template(f"{mail.key.kind}.txt").render(context).strip() + "\n",
            self._templates.get_template(f"{mail.key.kind}.html").render(context),
        )

    def _message(self, mail: Mail, profile: Profile, letter: Letter) -> EmailMessage:
        assert profile.email is not None
        name = f"{mail.key.order_id}/{mail.key.kind}"
        own_name, own_address = parseaddr(self.sender)
        message = EmailMessage(policy=self._policy)
        message["From"] = mailbox(own_name, own_address)
        message["To"] = mailbox(_one_line(profile.name or ""), profile.email)
        message["Subject"] = letter.subject
        message["Date"] = format_datetime(self._now())
        domain = own_address.rpartition("@")[2]
        message["Message-ID"] = f"<{mail.key.order_id}.{mail.key.kind}@{domain}>"
        message["List-Unsubscribe"] = f"<{self._unsubscribing.link(mail.key.customer_id)}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies, please.
        message[MAIL_HEADER] = name
        message.set_content(letter.text, cte="quoted-printable")
        message.add_alternative(letter.html, subtype="html", cte="quoted-printable")
        return message


def _greeting(reading: Reader, name: str | None) -> str:
    plain = _one_line(name or "")
    return reading.text("mail.hello_name", name=plain) if plain else reading.text("mail.hello")


def mailbox(name: str, address: str) -> str:
    """`name <address>` for a header (RFC 5322, 3.4), whatever characters the name has.

    A name that is not plain is written as encoded words (RFC 2047) of some whole characters each,
    in which no character has a meaning.
    """
    local, _, domain = address.rpartition("@")
    # From its parts: taken as a whole, an address such as a..b@example.com would not parse.
    plain_address = Address(username=local, domain=domain).addr_spec
    if not name:
        return plain_address
    if _PLAIN_NAME.fullmatch(name):
        return f"{name} <{plain_address}>"
    words = [name[at : at + WORD_CHARACTERS] for at in range(0, len(name), WORD_CHARACTERS)]
    encoded = [f"=?utf-8?b?{base64.b64encode(word.encode()).decode()}?=" for word in words]
    return f"{' '.join(encoded)} <{plain_address}>"


def _one_line(text: str) -> str:
    """Only what can be printed, and single spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _innermost_line(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "nowhere"
    file = trace.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f"{file}, line {trace.tb_lineno}"
