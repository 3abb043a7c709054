"""Sends books to the catalog's `POST /books/batch`.

Guarantee: every book comes back with exactly one outcome. A request that fails for a passing
reason is sent again (harmless: the endpoint is idempotent), and a batch that the catalog refuses as
a whole is halved until the refused book stands alone, so that it takes no other book with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from bookstore.catalog_import.books import Book
from bookstore.catalog_import.errors import CatalogUnavailableError

_PASSING = frozenset({429, 500, 502, 503, 504})
_REFUSED_AS_A_WHOLE = frozenset({400, 413, 422})
_OUTCOMES = frozenset({"created", "updated", "unchanged", "rejected"})


@dataclass(frozen=True, slots=True)
class Outcome:
    book: Book
    outcome: str  # created, updated, unchanged, rejected
    why: str = ""


@dataclass(frozen=True, slots=True)
class Retries:
    """Full-jitter backoff; the defaults outlast the restart of a service (some 20 s in all)."""

    attempts: int = 9
    attempts_before_first_answer: int = 3  # An address with nobody behind it is told soon.
    first_wait_seconds: float = 0.5
    max_wait_seconds: float = 8.0


class CatalogClient:
    """The one endpoint of the catalog that an import needs."""

    def __init__(self, http: httpx.AsyncClient, retries: Retries) -> None:
        self._http = http
        self._retries = retries
        self._answered = False

    async def put_books(self, books: Sequence[Book]) -> list[Outcome]:
        """One outcome a book, in order. Raises CatalogUnavailableError."""
        response = await self._post({"books": [book.body for book in books]})
        if response.status_code in _REFUSED_AS_A_WHOLE:
            if len(books) == 1:
                return [Outcome(books[0], "rejected", _reason(_json(response)))]
            half = len(books) // 2
            return await self.put_books(books[:half]) + await self.put_books(books[half:])
        if not response.is_success:
            raise CatalogUnavailableError(
                f"{self._http.base_url} answered {response.status_code} to POST /books/batch: "
                f"{_reason(_json(response))}; is it the catalog's address (--url)?"
            )
        return self._outcomes(books, _json(response))

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        """The answer, whatever its status, once it is not a passing one."""
        content = orjson.dumps(body)
        headers = {"Content-Type": "application/json"}
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((httpx.TransportError, _PassingError)),
            stop=self._gives_up,
            wait=self._wait_seconds,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    response = await self._http.post(
                        "/books/batch", content=content, headers=headers
                    )
                    self._answered = True
                    if response.status_code in _PASSING:
                        raise _PassingError(response)
        except _PassingError as error:
            raise CatalogUnavailableError(
                f"{self._http.base_url} kept answering {error.response.status_code}: "
                f"{_reason(_json(error.response))}"
            ) from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise CatalogUnavailableError(
                f"no catalog answers at {self._http.base_url} ({type(error).__name__}); "
                "start the stack with `make up`, or name its address with --url or CATALOG_URL"
            ) from None
        return response

    def _gives_up(self, state: RetryCallState) -> bool:
        retries = self._retries
        most = retries.attempts if self._answered else retries.attempts_before_first_answer
        return state.attempt_number >= most

    def _wait_seconds(self, state: RetryCallState) -> float:
        backoff = wait_random_exponential(
            multiplier=self._retries.first_wait_seconds, max=self._retries.max_wait_seconds
        )(state)
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, _PassingError):
            return backoff
        asked = error.response.headers.get("Retry-After", "")
        if not asked.isdecimal():
            return backoff
        return max(backoff, min(float(asked), self._retries.max_wait_seconds))

    def _outcomes(self, books: Sequence[Book], answer: Any) -> list[Outcome]:
        results = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(results, list):
            raise CatalogUnavailableError(
                f"{self._http.base_url} does not answer POST /books/batch as a catalog does; "
                "is it the catalog's address (--url)?"
            )
        by_index = {result["index"]: result for result in results if "index" in result}
        return [
            _outcome(book, by_index.get(index, {"error": "the catalog named no outcome for it"}))
            for index, book in enumerate(books)
        ]


class _PassingError(Exception):
    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def _outcome(book: Book, result: dict[str, Any]) -> Outcome:
    outcome = result.get("outcome")
    if outcome in _OUTCOMES and outcome != "rejected":
        return Outcome(book, outcome)
    return Outcome(book, "rejected", _reason(result.get("error")))


def _reason(error: Any) -> str:
    """One line from an error: plain text, or a problem document with its single faults."""
    if not isinstance(error, dict):
        return str(error) if error else "no reason given"
    faults = "; ".join(
        f"{fault.get('pointer') or fault.get('field', '')}: {fault.get('message', '')}"
        for fault in error.get("errors") or []
    )
    detail = error.get("detail") or error.get("message") or error.get("title") or str(error)
    return f"{detail} ({faults})" if faults else str(detail)


def _json(response: httpx.Response) -> Any:
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return response.text[:200]
