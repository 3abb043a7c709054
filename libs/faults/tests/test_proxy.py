"""The proxy carries everything unchanged, and each rule does to it what its name says."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from faults.proxy import (
    POSTGRES_COMMIT,
    Blackhole,
    CutAfter,
    CutAtPattern,
    Delay,
    Direction,
    Proxy,
    Refuse,
    Rule,
)
from stack import EmbeddedServers

TO_CLIENT, TO_SERVER = Direction.TO_CLIENT, Direction.TO_SERVER
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SHORT_SECONDS = 0.1


class Echo:
    """A server that sends back what it gets, and says in the end that it has heard the end."""

    def __init__(self) -> None:
        self.heard = b""
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                self.heard += data
                writer.write(data)
                await writer.drain()
            writer.write(b"END")
            await writer.drain()
        except OSError:
            pass
        finally:
            self.ended.set()
            writer.close()


@asynccontextmanager
async def proxied(*rules: Rule) -> AsyncIterator[tuple[Proxy, Echo, Callable[[], object]]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    for rule in rules:
        proxy.add(rule)
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writers.append(writer)
        return reader, writer

    try:
        yield proxy, echo, connect
    finally:
        for writer in writers:
            writer.close()
        await proxy.close()
        server.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_bytes_and_both_ends_pass_unchanged() -> None:
    payload = bytes(range(256)) * 4000
    async with proxied() as (_, echo, connect):
        reader, writer = await connect()
        writer.write(payload)
        writer.write_eof()
        assert await reader.read(-1) == payload + b"END"
        assert echo.heard == payload


async def test_connection_to_a_server_that_is_down_is_reset() -> None:
    proxy = Proxy(1)
    await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises(ConnectionResetError):
        await reader.read(1)
    writer.close()
    await proxy.close()


async def test_delay_holds_each_piece_back() -> None:
    async with proxied(Delay(SHORT_SECONDS)) as (_, _, connect):
        reader, writer = await connect()
        began = time.monotonic()
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        assert time.monotonic() - began >= 2 * SHORT_SECONDS  # There and back.


async def test_blackhole_swallows_until_it_is_lifted_and_then_all_arrives() -> None:
    rule = Blackhole(TO_CLIENT)
    async with proxied(rule) as (proxy, echo, connect):
        reader, writer = await connect()
        writer.write(b"ping")
        await until(lambda: echo.heard == b"ping")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(4), SHORT_SECONDS)
        proxy.remove(rule)
        assert await reader.readexactly(4) == b"ping"


async def test_forgotten_connections_are_dead_and_new_ones_work() -> None:
    async with proxied() as (proxy, _, connect):
        old_reader, old_writer = await connect()
        old_writer.write(b"a")
        assert await old_reader.readexactly(1) == b"a"
        proxy.add(Blackhole(connections=proxy.connections))
        old_writer.write(b"b")
        reader, writer = await connect()
        writer.write(b"c")
        assert await reader.readexactly(1) == b"c"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(old_reader.read(1), SHORT_SECONDS)


async def test_reset_reaches_both_sides() -> None:
    async with proxied() as (proxy, echo, connect):
        reader, writer = await connect()
        writer.write(b"x")
        await reader.readexactly(1)
        assert proxy.reset() == 1
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        await asyncio.wait_for(echo.ended.wait(), 5)
        await until(lambda: not proxy.connections)


async def test_refused_connection_is_reset_and_an_open_one_goes_on() -> None:
    rule = Refuse()
    async with proxied() as (proxy, _, connect):
        reader, writer = await connect()
        writer.write(b"a")
        await reader.readexactly(1)
        proxy.add(rule)
        refused, _ = await connect()
        with pytest.raises(ConnectionResetError):
            await refused.read(1)
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"


async def test_half_close_ends_one_direction_only() -> None:
    async with proxied() as (proxy, echo, connect):
        reader, writer = await connect()
        writer.write(b"a")
        await reader.readexactly(1)
        proxy.half_close(TO_CLIENT)
        assert await reader.read(1) == b""
        writer.write(b"b")
        await until(lambda: echo.heard == b"ab")


@pytest.mark.parametrize("count", [1, 3, 10])
async def test_cut_after_so_many_bytes(count: int) -> None:
    rule = CutAfter(TO_CLIENT, count)
    async with proxied(rule) as (_, _, connect):
        reader, writer = await connect()
        writer.write(b"0123456789")
        assert await reader.readexactly(count) == b"0123456789"[:count]
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        assert rule.fired.is_set()


async def test_cut_fires_once() -> None:
    async with proxied(CutAfter(TO_SERVER, 1)) as (_, echo, connect):
        reader, writer = await connect()
        writer.write(b"ab")
        with pytest.raises(ConnectionResetError):
            await reader.read(-1)
        again, writer = await connect()
        writer.write(b"cd")
        assert await again.readexactly(2) == b"cd"
        assert echo.heard == b"acd"


@pytest.mark.parametrize(("keep", "passed"), [(0, b"..."), (2, b"...WO"), (4, b"...WORD")])
async def test_cut_at_the_nth_pattern_lets_its_beginning_pass(keep: int, passed: bytes) -> None:
    rule = CutAtPattern(TO_CLIENT, b"WORD", keep=keep, nth=2)
    heard = [await rule.pass_on(1, TO_CLIENT, b"WORD")]
    heard.append(await rule.pass_on(1, TO_SERVER, b"WORD"))
    with pytest.raises(Exception, match="cut") as cut:
        await rule.pass_on(2, TO_CLIENT, b"...WORD...")
    assert heard == [b"WORD", b"WORD"]
    assert cut.value.last == passed  # type: ignore[attr-defined]


async def test_pattern_in_two_pieces_is_found() -> None:
    rule = CutAtPattern(TO_CLIENT, b"WORD", keep=3)
    assert await rule.pass_on(1, TO_CLIENT, b"...WO") == b"...WO"
    with pytest.raises(Exception, match="cut") as cut:
        await rule.pass_on(1, TO_CLIENT, b"RD...")
    assert cut.value.last == b"R"  # type: ignore[attr-defined]


async def test_closed_proxy_leaves_nothing_open() -> None:
    async with proxied(Blackhole()) as (proxy, echo, connect):
        reader, writer = await connect()
        writer.write(b"held")
        await until(lambda: bool(proxy.connections))
        await proxy.close()
        assert not proxy.connections
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        assert echo.heard == b""


async def test_lost_commit_reply_is_a_commit(servers: EmbeddedServers) -> None:
    """Against PostgreSQL itself: what is cut is the answer, and the row is there."""
    import asyncpg

    url = servers.postgres_url("scratch").replace("+asyncpg", "")
    direct = await asyncpg.connect(url)
    address = direct._addr
    proxy = Proxy(address[1])
    await proxy.start()
    await direct.execute("CREATE TABLE IF NOT EXISTS cut_commits (id int)")
    try:
        connection = await asyncpg.connect(url.replace(f":{address[1]}", f":{proxy.port}"))
        rule = CutAtPattern(TO_CLIENT, POSTGRES_COMMIT)
        proxy.add(rule)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO cut_commits VALUES (1)")
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await transaction.commit()
        assert rule.fired.is_set()
        assert await direct.fetchval("SELECT count(*) FROM cut_commits") == 1
    finally:
        await direct.execute("DROP TABLE cut_commits")
        await direct.close()
        await proxy.close()
