"""The few HTML pages: unsubscribing, and the mailbox for development.

Guarantee: they run no script and load nothing, whatever a mail contains: a content security policy
says so to the browser, and each mail is shown in a frame that may do nothing.
"""

from collections.abc import Sequence

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from notification_service.languages import Reader
from notification_service.mailbox import ShownMail

# Styles stand in the pages and in the mails themselves; a frame with its content inlined inherits
# the policy of its page.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",  # The address of the page holds the token.
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


# A page of so many is half a megabyte.
MAX_SHOWN = 100


class Pages:
    """Renders pages."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("notification_service", "pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    def unsubscribe(self, reader: Reader, *, done: bool) -> Response:
        """The question, or what was done."""
        return self._page("unsubscribe.html", t=reader.text, language=reader.language, done=done)

    def mailbox(self, mails: Sequence[ShownMail], unreachable: str | None) -> Response:
        """The mails that were sent last, newest first; or why nobody knows."""
        return self._page(
            "mailbox.html",
            mails=mails[:MAX_SHOWN],
            older=max(len(mails) - MAX_SHOWN, 0),
            unreachable=unreachable,
        )

    def _page(self, name: str, **context: object) -> Response:
        return HTMLResponse(self._templates.get_template(name).render(context), headers=_HEADERS)
