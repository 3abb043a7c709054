"""A gate before the AWS emulator, which a test can close for one operation or for all.

Guarantee: while nothing is closed, each request and answer passes unchanged; a closed operation is
either refused as by a server that is down, or reaches the emulator and loses its answer, or waits.

Long polls are made short on the way: one whose process is gone goes on in the emulator, and
swallows a message.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
from aiohttp import ClientSession, ClientTimeout, web

EVERYTHING = "*"
POLL_SECONDS = 0.05


class Gate:
    """Passes requests on to `target`; `calls` counts them by operation, refused ones included."""

    def __init__(self, target: str, session: ClientSession) -> None:
        self.calls: Counter[str] = Counter()
        self.url = ""
        self._target = target
        self._session = session
        self._down: set[str] = set()
        self._losing: Counter[str] = Counter()
        self._held: dict[str, asyncio.Event] = {}
        self._answers: dict[str, Callable[[bytes], dict[str, object]]] = {}

    def close(self, operation: str = EVERYTHING) -> None:
        """Refuse it with a 503, until `open`."""
        self._down.add(operation)

    def open(self, operation: str = EVERYTHING) -> None:
        """Let it pass again."""
        self._down.discard(operation)
        held = self._held.pop(operation, None)
        if held is not None:
            held.set()

    def hold(self, operation: str) -> None:
        """Let requests wait, until `open`."""
        self._held[operation] = asyncio.Event()

    def lose_answer(self, operation: str) -> None:
        """The next request arrives, and its answer does not."""
        self._losing[operation] += 1

    def answer(self, operation: str, document: Callable[[bytes], dict[str, object]]) -> None:
        """Answer in the emulator's place, from the request's body."""
        self._answers[operation] = document

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on, or not."""
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self.calls[operation] += 1
        body = await request.read()
        if operation in self._held:
            await self._held[operation].wait()
        if self._down & {operation, EVERYTHING}:
            return web.Response(status=503, text="closed by the test")
        if operation in self._answers:
            return web.json_response(self._answers[operation](body))
        if operation == "ReceiveMessage":
            body = orjson.dumps({**orjson.loads(body), "WaitTimeSeconds": 0})
        headers = {k: v for k, v in request.headers.items() if k.lower() != "content-length"}
        async with self._session.request(
            request.method, self._target + request.path_qs, data=body, headers=headers
        ) as answer:
            content = await answer.read()
            if operation == "ReceiveMessage" and b"ReceiptHandle" not in content:
                await asyncio.sleep(POLL_SECONDS)
            if self._losing[operation]:
                self._losing[operation] -= 1
                assert request.transport is not None
                request.transport.abort()
            kept = {
                k: v
                for k, v in answer.headers.items()
                if k.lower() not in ("content-length", "transfer-encoding", "content-encoding")
            }
            return web.Response(status=answer.status, body=content, headers=kept)


@asynccontextmanager
async def open_gate(target: str, port: int) -> AsyncIterator[Gate]:
    """A gate on a port of 127.0.0.1, for as long as the block."""
    async with ClientSession(timeout=ClientTimeout(total=60), auto_decompress=True) as session:
        gate = Gate(target, session)
        application = web.Application(client_max_size=4 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", gate.handle)
        runner = web.AppRunner(application, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        gate.url = f"http://127.0.0.1:{port}"
        try:
            yield gate
        finally:
            await runner.cleanup()
