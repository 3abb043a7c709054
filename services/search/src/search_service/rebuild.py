"""Rebuilds of the index: asked for by anybody, done by one worker, beside the index in use.

Guarantee: searches go on in the old index until the new one holds all that the catalog had when the
rebuild began and every change since; a worker that dies is taken over, from the beginning.

    requested --a worker--> running --all pages read--> done
        ^                      | lease over: another worker begins anew
        +------ `request` -----+------------------------+

Changes that arrive meanwhile go into both indexes (SearchIndex.apply), and versions decide, so it
does not matter whether a page or an event comes first. No event is missed: one that was applied
before the new index was begun is older than the first page.
"""

import asyncio
import logging
import random
import uuid
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from idempotency.records import epoch_milliseconds
from messaging import interruptible_sleep
from search_service.errors import SearchIndexError
from search_service.feed import CatalogFeed
from search_service.index import BookChange, SearchIndex

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
LEASE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the latest rebuild stands; `state` is requested, running or done, `books` so far."""

    state: str
    books: int
    request_id: str


class Rebuilds:
    """The one record of rebuilds, in the ledger's table."""

    def __init__(self, dynamodb: Any, *, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._owner = str(uuid.uuid4())

    async def request(self) -> str:
        """Ask for a rebuild; its id. One that is under way begins anew."""
        request_id = str(uuid.uuid4())
        await self._dynamodb.put_item(
            TableName=self._table,
            Item={
                **_KEY,
                "request_id": {"S": request_id},
                "state": {"S": "requested"},
                "books": {"N": "0"},
                "lease_ends_ms": {"N": "0"},
            },
        )
        return request_id

    async def progress(self) -> Progress | None:
        """Where the latest one stands; None if there was none."""
        answer = await self._dynamodb.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True)
        item = answer.get("Item")
        if item is None:
            return None
        return Progress(item["state"]["S"], int(item["books"]["N"]), item["request_id"]["S"])

    async def take(self) -> str | None:
        """Take the one that waits for a worker; its id, or None."""
        found = await self.progress()
        if found is None or found.state == "done":
            return None
        now = epoch_milliseconds()
        taken = await self._update(
            found.request_id,
            "(#s = :requested OR lease_ends_ms < :now)",
            {":requested": {"S": "requested"}, ":now": {"N": str(now)}},
            state="running",
            books=0,
        )
        return found.request_id if taken else None

    async def report(self, request_id: str, books: int, *, done: bool = False) -> bool:
        """Say how far it is, and keep it for longer; False if it is no longer ours."""
        return await self._update(
            request_id,
            "#o = :owner AND #s = :running",
            {":running": {"S": "running"}},
            state="done" if done else "running",
            books=books,
        )

    async def _update(
        self, request_id: str, condition: str, values: dict[str, Any], *, state: str, books: int
    ) -> bool:
        until = epoch_milliseconds() + int(LEASE_SECONDS * 1000)
        try:
            await self._dynamodb.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression="SET #s = :state, #o = :owner, books = :books, "
                "lease_ends_ms = :until",
                ConditionExpression=f"request_id = :request AND {condition}",
                ExpressionAttributeNames={"#s": "state", "#o": "owner"},
                ExpressionAttributeValues={
                    **values,
                    ":request": {"S": request_id},
                    ":state": {"S": state},
                    ":owner": {"S": self._owner},
                    ":books": {"N": str(books)},
                    ":until": {"N": str(until)},
                },
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


class Rebuilder:
    """Does the rebuilds that are asked for, and asks for one itself if the index is empty."""

    def __init__(self, index: SearchIndex, rebuilds: Rebuilds, feed: CatalogFeed) -> None:
        self._index = index
        self._rebuilds = rebuilds
        self._feed = feed
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Look for requests until `stop`."""
        # Asked once: events fill an empty index, too, and then it looks as if it had all books.
        is_empty: bool | None = None
        while not self._stopping.is_set():
            try:
                if is_empty is None:
                    is_empty = await self._index.count() == 0
                if is_empty:
                    await self._fill()
                    is_empty = False
                request_id = await self._rebuilds.take()
                if request_id is not None:
                    await self._interruptible(request_id)
            except (ClientError, BotoCoreError, OSError, SearchIndexError) as error:
                log.warning("rebuilds cannot be looked after, trying again soon: %s", error)
            except (
                Exception
            ):  # The consumer beside it must go on; the lease lets it be tried again.
                log.exception("the rebuild failed, trying again when its lease is over")
            pause = POLL_SECONDS * random.uniform(0.75, 1.25)
            await interruptible_sleep(pause, self._stopping)

    def stop(self) -> None:
        """Let `run` return; a rebuild under way is left to another worker."""
        self._stopping.set()

    async def _fill(self) -> None:
        """An index that has lost its folder, or is new, gets the books that are there already."""
        found = await self._rebuilds.progress()
        if found is None or found.state == "done":
            log.info("the index is empty: it is filled from the catalog")
            await self._rebuilds.request()

    async def _interruptible(self, request_id: str) -> None:
        rebuilding = asyncio.create_task(self.rebuild(request_id))
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([rebuilding, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not rebuilding.done():
            rebuilding.cancel()
            await asyncio.wait([rebuilding])
            return
        rebuilding.result()

    async def rebuild(self, request_id: str) -> bool:
        """Build the new index and put it in place; False if another worker has taken over."""
        log.info("rebuilding the index")
        await self._index.begin_rebuild()
        books = 0
        keeping = asyncio.create_task(self._keep(request_id, lambda: books))
        try:
            async for changes in self._feed.pages():
                await self._index.apply_to_rebuild(changes)
                books += sum(isinstance(change, BookChange) for change in changes)
                if not await self._rebuilds.report(request_id, books):
                    log.warning("another worker has taken the rebuild over")
                    return False
        finally:
            keeping.cancel()
        # The lease is fresh: nobody else can be at it between here and the switch.
        await self._index.finish_rebuild()
        log.info("the index is rebuilt: %d books", books)
        return await self._rebuilds.report(request_id, books, done=True)

    async def _keep(self, request_id: str, books: Any) -> None:
        """Hold on to it while the catalog is slow or down."""
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            try:
                await self._rebuilds.report(request_id, books())
            except (ClientError, BotoCoreError, OSError) as error:
                log.warning("the rebuild's lease could not be extended: %s", error)


_KEY = {"pk": {"S": "search-rebuild#"}}
