"""The search index on an OpenSearch cluster, for any number of workers and readers.

Guarantee: an older version never replaces a newer one, whichever workers send them, since each is
compared where the document lies; and while a rebuild is under way nobody's change misses the new
index, since every worker looks for it each time.

    books                        alias of the generation in use
    books-building               alias of the one under construction, if there is one
    books-generation-<number>    the generations
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from search_service import opensearch_answers as answers
from search_service import opensearch_requests as requests
from search_service.completion import completions
from search_service.documents import newest
from search_service.errors import NoRebuildError, SearchIndexError
from search_service.index import Change, Found, Hit, Query
from search_service.text import index_words, isbn13, query_words, storable

if TYPE_CHECKING:
    from opensearchpy import AsyncOpenSearch

_ATTEMPTS = 6
# Too many requests, a version conflict: they pass. So does what an operator has to mend: the
# cluster's own errors, credentials that it does not take (401, 403), an index that it has blocked
# since its disk is full (403).
_PASSING = frozenset({401, 403, 408, 409, 429})
_OPERATIONS_A_REQUEST = 1000


class SearchUnavailableError(SearchIndexError, ConnectionError):
    """OpenSearch does not answer, or has not taken a change in when asked several times. It is a
    ConnectionError, so callers take it for the outage that it is.
    """

    code = "search_unavailable"


class ChangeRefusedError(SearchIndexError):
    """OpenSearch will never take this change in; the text holds its reason."""

    code = "change_refused"


class _TryAgain(Exception):
    """Something of a request failed that may succeed the next time."""


def _passes(status: int | str) -> bool:
    """Whether a status speaks of the cluster rather than of what was asked; texts are of others."""
    return isinstance(status, int) and (status >= 500 or status in _PASSING)


@asynccontextmanager
async def _outages_told() -> AsyncIterator[None]:
    """Raises SearchUnavailableError for what passes by itself."""
    from opensearchpy.exceptions import ConnectionError, TransportError

    try:
        yield
    except ConnectionError as error:  # Its status is a text; timeouts are a kind of it.
        raise SearchUnavailableError(f"OpenSearch does not answer: {error.error}") from None
    except TransportError as error:
        if not _passes(error.status_code):
            raise
        raise SearchUnavailableError(f"OpenSearch answers {error.status_code}") from None


class OpenSearchIndex:
    """A `SearchIndex` behind `url`. Connects at its first use.

    `http_auth` is what opensearch-py takes: a pair of name and password, or a signer for AWS.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "books",
        http_auth: Any = None,
        timeout_seconds: float = 10,
        shards: int = 1,
        longest_wait_seconds: float = 5,
    ) -> None:
        self._url = url
        self._alias = name
        self._building_alias = f"{name}-building"
        self._prefix = f"{name}-generation-"
        self._http_auth = http_auth
        self._timeout_seconds = timeout_seconds
        self._shards = shards
        self._longest_wait_seconds = longest_wait_seconds
        self._connected: AsyncOpenSearch | None = None
        self._building: str | None = None  # The index that this process is building.
        self._is_there = False
        self._making = asyncio.Lock()

    async def apply(self, changes: Sequence[Change]) -> None:
        """Raises SearchUnavailableError, after which the changes can be applied again, and
        ChangeRefusedError.
        """
        newer = list(newest(changes).values())
        if not newer:
            return
        async with _outages_told():
            await self._make_sure_of_index()
            is_building = await self._client.indices.exists_alias(name=self._building_alias)
        current = {"_index": self._alias, "require_alias": True}
        building = {"_index": self._building_alias, "require_alias": True}
        actions = requests.bulk_actions(newer, current)
        if is_building:
            over = await self._write(actions + requests.bulk_actions(newer, building))
            if over:
                # The rebuild has ended in between, so that the first half may have gone to the old
                # index: send it again, to what is the current one now.
                await self._write(actions)
        else:
            await self._write(actions)

    async def search(self, query: Query) -> Found:
        """See SearchIndex."""
        if number := isbn13(query.text):
            found = await self._search(requests.isbn_body(number, query))
            if found and answers.found_before_filters(found):
                return answers.found(found, "")
        found = await self._search(requests.search_body(query))
        words = query_words(query.text)
        if found and len(words) > 1 and not answers.found_before_filters(found):
            missing = max(1, len(words) // 3)
            found = await self._search(requests.search_body(query, missing=missing))
        return answers.found(found, query.text) if found else answers.NOTHING

    async def complete(self, prefix: str, limit: int) -> list[str]:
        """See SearchIndex."""
        words = query_words(prefix)
        if not words or limit <= 0:
            return []
        found = await self._search(requests.complete_body(words))
        if found and found["hits"]["hits"]:
            return completions(answers.titles_and_authors(found), words, limit)
        found = await self._search(requests.complete_body(words, forgiving=True))
        if not found:
            return []
        return _closest(list(answers.titles_and_authors(found)), words, limit)

    async def similar(self, book_id: str, limit: int) -> list[Hit]:
        """See SearchIndex."""
        if limit <= 0:
            return []
        found = await self._search(requests.similar_body(book_id, limit))
        return [answers.hit(each) for each in found["hits"]["hits"]] if found else []

    async def books(self, book_ids: Sequence[str]) -> dict[str, Hit]:
        """See SearchIndex."""
        ids = [storable(each) for each in dict.fromkeys(book_ids) if each]
        if not ids:
            return {}
        found = await self._unless_missing(
            lambda: self._client.mget(
                index=self._alias, body={"ids": ids}, params={"_source": "book,available"}
            )
        )
        documents = found["docs"] if found else []
        return {
            document["_id"]: answers.hit(document)
            for document in documents
            if document.get("found") and "book" in document["_source"]
        }

    async def count(self) -> int:
        """See SearchIndex."""
        found = await self._unless_missing(
            lambda: self._client.count(index=self._alias, body=requests.count_body())
        )
        return int(found["count"]) if found else 0

    async def begin_rebuild(self) -> None:
        """See SearchIndex; indexes that a crash has left go as well."""
        async with _outages_told():
            await self._make_sure_of_index()
            in_use = await self._indexes_of(self._alias)
            for name in await self._client.indices.get_alias(index=f"{self._prefix}*"):
                if name not in in_use:
                    await self._delete(name)
            name = f"{self._prefix}{time.time_ns()}"
            body: requests.Body = {"aliases": {self._building_alias: {}}}
            await self._client.indices.create(index=name, body=body)
            self._building = name

    async def apply_to_rebuild(self, changes: Sequence[Change]) -> None:
        """Raises what `apply` does, and NoRebuildError if this process has begun none."""
        target = {"_index": self._begun()}
        await self._write(requests.bulk_actions(list(newest(changes).values()), target))

    async def finish_rebuild(self) -> None:
        """Raises NoRebuildError, too, if another process has begun a rebuild meanwhile."""
        from opensearchpy.exceptions import NotFoundError

        fresh = self._begun()
        old = await self._indexes_of(self._alias)
        actions = requests.switch_actions(self._alias, self._building_alias, fresh, old)
        try:
            async with _outages_told():
                # What the old index could find at this moment, the new one has to find, too.
                await self._client.indices.refresh(index=fresh)
                await self._client.indices.update_aliases(body=actions)
        except NotFoundError:
            self._building = None
            raise NoRebuildError(
                "another process has begun a rebuild since: let that one finish"
            ) from None
        self._building = None
        for name in old:
            await self._delete(name)

    async def remove_everything(self) -> None:
        """Remove the indexes and their template; for tests."""
        for name in await self._client.indices.get_alias(index=f"{self._prefix}*"):
            await self._delete(name)
        await self._client.indices.delete_index_template(name=self._alias, params={"ignore": 404})

    async def close(self) -> None:
        """Close the connections."""
        if self._connected is not None:
            await self._connected.close()

    @property
    def _client(self) -> "AsyncOpenSearch":
        if self._connected is None:
            # Imported here, since it takes half a second that users of the embedded index save.
            from opensearchpy import AsyncOpenSearch

            self._connected = AsyncOpenSearch(
                hosts=[self._url],
                http_auth=self._http_auth,
                timeout=self._timeout_seconds,
                max_retries=2,
                retry_on_status=(502, 503, 504),
            )
        return self._connected

    async def _search(self, body: requests.Body) -> dict[str, Any] | None:
        """None while there is no index."""
        # Without a shard's answer a page would be wrong without saying so.
        params = {"allow_partial_search_results": "false"}
        return await self._unless_missing(
            lambda: self._client.search(index=self._alias, body=body, params=params)
        )

    async def _unless_missing(self, ask: Callable[[], Awaitable[Any]]) -> dict[str, Any] | None:
        from opensearchpy.exceptions import NotFoundError

        try:
            async with _outages_told():
                answer: dict[str, Any] = await ask()
        except NotFoundError:
            return None
        return answer

    async def _write(self, actions: Sequence[tuple[requests.Body, requests.Body]]) -> bool:
        """Send until each is done; answers whether the index under construction was gone."""
        gone = False
        for at in range(0, len(actions), _OPERATIONS_A_REQUEST):
            gone |= await self._write_request(actions[at : at + _OPERATIONS_A_REQUEST])
        return gone

    async def _write_request(self, actions: Sequence[tuple[requests.Body, requests.Body]]) -> bool:
        left, gone = list(actions), False
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_TryAgain),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.1, max=self._longest_wait_seconds),
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    left, some_gone, why = await self._write_once(left)
                    gone |= some_gone
                    if left:
                        raise _TryAgain(why)
        except _TryAgain as error:
            raise SearchUnavailableError(
                f"OpenSearch has not taken {len(left)} changes in after {_ATTEMPTS} attempts "
                f"({error}); apply them again later"
            ) from None
        return gone

    async def _write_once(
        self, actions: list[tuple[requests.Body, requests.Body]]
    ) -> tuple[list[tuple[requests.Body, requests.Body]], bool, str]:
        """What has to be sent again, whether the index under construction was gone, and why."""
        from opensearchpy.exceptions import ConnectionError, TransportError

        lines = [line for action in actions for line in action]
        try:
            answer = await self._client.bulk(body=lines)
        except ConnectionError as error:  # Timeouts are a kind of it.
            return actions, False, str(error)
        except TransportError as error:
            if not _passes(error.status_code):
                raise
            return actions, False, f"status {error.status_code}"
        left, gone, why = [], False, ""
        for action, item in zip(actions, answer["items"], strict=True):
            outcome = item["update"]
            status = outcome["status"]
            if status < 300:
                continue
            target = action[0]["update"]["_index"]
            why = f"status {status}: {outcome.get('error', {}).get('reason', '')}"
            if status == 404 and target == self._building_alias:
                gone = True
            elif status == 404 and target == self._alias:
                self._is_there = False
                raise SearchUnavailableError(f"the index {self._alias} is gone; it is made anew")
            elif _passes(status):
                left.append(action)
            else:
                raise ChangeRefusedError(f"book {outcome.get('_id')} in {target}: {why}")
        return left, gone, why

    async def _make_sure_of_index(self) -> None:
        """The template, and a first generation if there is none; once in a process's life."""
        from opensearchpy.exceptions import RequestError

        async with self._making:
            if self._is_there:
                return
            await self._client.indices.put_index_template(
                name=self._alias, body=requests.template(f"{self._prefix}*", self._shards)
            )
            if not await self._client.indices.exists_alias(name=self._alias):
                try:
                    await self._client.indices.create(
                        index=f"{self._prefix}0", body={"aliases": {self._alias: {}}}
                    )
                except RequestError as error:
                    # Another worker was faster.
                    if error.error != "resource_already_exists_exception":
                        raise
            self._is_there = True

    async def _indexes_of(self, alias: str) -> list[str]:
        found = await self._unless_missing(lambda: self._client.indices.get_alias(name=alias))
        return sorted(found or ())

    async def _delete(self, index: str) -> None:
        await self._client.indices.delete(index=index, params={"ignore_unavailable": "true"})

    def _begun(self) -> str:
        if self._building is None:
            raise NoRebuildError("no rebuild is under way here: call begin_rebuild first")
        return self._building


def _closest(texts: list[str], words: Sequence[str], limit: int) -> list[str]:
    """Of each book's title and authors only those that have a word like a typed one."""
    from rapidfuzz.distance import OSA

    def is_close(text: str) -> bool:
        return any(
            OSA.distance(word[: len(typed)], typed) <= 1 or OSA.distance(word, typed) <= 2
            for word in index_words(text)
            for typed in words
            if len(typed) > 3
        )

    return list(dict.fromkeys(text for text in texts if is_close(text)))[:limit]
