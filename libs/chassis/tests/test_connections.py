"""Kept-alive connections against a server that does to them what servers do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from chassis import HttpConnections

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
NewLoop = Callable[[], asyncio.AbstractEventLoop]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Kind: plain\r\n\r\nok"


class Server:
    """Answers each request with the next of its scripts; counts connections."""

    def __init__(self, *scripts: bytes) -> None:
        self.scripts = list(scripts)
        self.connections = 0
        self.requests: list[bytes] = []
        self.hung_up = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                script = self.scripts.pop(0) if self.scripts else OK
                if script == b"":
                    await reader.read()  # Until the client gives up.
                    break
                writer.write(script)
                await writer.drain()
                if b"close" in script or not script.startswith(b"HTTP"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.hung_up.set()
            writer.close()


@asynccontextmanager
async def connected(
    *scripts: bytes, limit: int = 4, answer_seconds: float = 30.0
) -> AsyncIterator[tuple[Server, HttpConnections]]:
    served = Server(*scripts)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connections = HttpConnections(
        f"http://127.0.0.1:{port}", limit=limit, connect_seconds=5, answer_seconds=answer_seconds
    )
    try:
        yield served, connections
    finally:
        connections.close()
        server.close()


async def ask(connections: HttpConnections, body: bytes = b"{}") -> bytes:
    headers = {"host": connections.host}
    return (await connections.request("POST", "/there?a=1", headers, body)).body


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_connection_that_closes_in_this_moment_is_not_used(new_loop: NewLoop) -> None:
    """Its end has come, and who waits for it is told of it a turn of the loop later."""

    async def ask_twice() -> int:
        async with connected() as (server, connections):
            await connections.request("GET", "/", {}, b"")
            ((connection, _),) = connections._idle
            connection._transport.abort()
            answer = await connections.request("GET", "/", {}, b"")
            assert answer.body == b"ok"
            return server.connections

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(ask_twice()) == 2


async def test_answers_come_whole_and_one_connection_serves_one_after_the_other() -> None:
    chunked = (
        b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    )
    async with connected(OK, chunked) as (server, connections):
        first = await connections.request("GET", "/", {"host": connections.host}, b"")
        assert (first.status, first.headers["x-kind"], first.body) == (200, "plain", b"ok")
        assert await ask(connections, b'{"a":1}') == b"abc"
        assert server.connections == 1
        assert server.requests[1].startswith(b"POST /there?a=1 HTTP/1.1\r\n")
        assert server.requests[1].endswith(b'\r\n\r\n{"a":1}')


async def test_concurrent_requests_have_a_connection_each_up_to_the_limit() -> None:
    async with connected(limit=3) as (server, connections):
        assert await asyncio.gather(*(ask(connections) for _ in range(20))) == [b"ok"] * 20
        assert server.connections == 3


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(b"nonsense", id="no HTTP"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nhalf", id="cut"
        ),
    ],
)
async def test_half_an_answer_is_an_error_and_its_connection_is_not_used_again(
    script: bytes,
) -> None:
    async with connected(script) as (server, connections):
        with pytest.raises(OSError, match=r"."):
            await ask(connections)
        assert await ask(connections) == b"ok"
        assert server.connections == 2


async def test_a_server_that_wants_to_close_gets_no_second_request_on_that_connection() -> None:
    closing = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
    async with connected(closing) as (server, connections):
        assert [await ask(connections), await ask(connections)] == [b"ok", b"ok"]
        assert server.connections == 2


async def test_more_than_was_asked_for_is_no_answer_to_the_next_request() -> None:
    async with connected(OK + OK.replace(b"ok", b"no")) as (server, connections):
        await ask(connections)
        assert await ask(connections) == b"ok"
        assert server.connections == 2


async def test_silence_times_out_and_a_caller_that_gives_up_closes_the_connection() -> None:
    async with connected(b"", answer_seconds=0.05) as (server, connections):
        with pytest.raises(TimeoutError):
            await ask(connections)
        await asyncio.wait_for(server.hung_up.wait(), 5)
    async with connected(b"") as (server, connections):
        asking = asyncio.create_task(ask(connections))
        while not server.requests:
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait_for(server.hung_up.wait(), 5)
        assert await ask(connections) == b"ok"


async def test_nobody_listening_is_an_error() -> None:
    async with connected() as (_, connections):
        pass
    with pytest.raises(OSError, match=r"."):
        await ask(connections)


async def test_an_interim_response_is_not_the_answer() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n"
    async with connected(hints + OK) as (server, connections):
        assert [await ask(connections), await ask(connections)] == [b"ok", b"ok"]
        assert server.connections == 1


async def test_a_switch_to_another_protocol_is_an_error() -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"
    async with connected(switching) as (server, connections):
        with pytest.raises(OSError, match="no HTTP"):
            await ask(connections)
        assert await ask(connections) == b"ok"
        assert server.connections == 2


async def test_half_of_another_answer_behind_an_answer_answers_nobody() -> None:
    async with connected(OK + b"HTTP/1.1 200 O") as (server, connections):
        assert [await ask(connections), await ask(connections)] == [b"ok", b"ok"]
        assert server.connections == 2


@pytest.mark.parametrize("value", ["sk\r\nX-Evil: 1", "sk\n", "sk\r"])
async def test_a_line_break_in_a_header_is_refused(value: str) -> None:
    async with connected() as (server, connections):
        with pytest.raises(ValueError, match="line break"):
            await connections.request("GET", "/", {"authorization": value}, b"")
        assert server.requests == []
