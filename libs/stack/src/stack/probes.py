"""Asks whether a process is ready, without a client library, so that a poll costs microseconds.

Guarantee: `check` returns within its timeout, with None for ready or else the reason in words.
"""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from stack.process import Completed, HttpReady, Probe, TcpReady

# A warm server is up in a few hundred milliseconds; polling must not add a visible part to that.
POLL_INTERVAL_SECONDS = 0.025
CHECK_TIMEOUT_SECONDS = 5.0


async def wait_until_ready(probe: Probe, report: Callable[[str], None]) -> None:
    """Poll until the probe passes; `report` is told each reason for which it does not."""
    while (reason := await check(probe)) is not None:
        report(reason)
        await asyncio.sleep(POLL_INTERVAL_SECONDS)


async def check(probe: Probe) -> str | None:
    """None if ready, else why not. A callable's own exception goes to the caller."""
    match probe:
        case HttpReady(url):
            return await _bounded(_get(url), f"GET {url}")
        case TcpReady(port, host):
            return await _bounded(_connect(host, port), f"connecting to {host}:{port}")
        case Completed():
            return "it is still running"
        case _:
            return None if await probe() else "its readiness check says no"


async def _bounded(attempt: Awaitable[str | None], what: str) -> str | None:
    try:
        return await asyncio.wait_for(attempt, CHECK_TIMEOUT_SECONDS)
    except TimeoutError:
        return f"{what}: no answer within {CHECK_TIMEOUT_SECONDS:g} s"
    except (OSError, ValueError, asyncio.IncompleteReadError) as error:
        return f"{what}: {_reason(error)}"


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    return str(error) or type(error).__name__


async def _connect(host: str, port: int) -> None:
    _, writer = await asyncio.open_connection(host, port)
    writer.close()


async def _get(url: str) -> str | None:
    parts = urlsplit(url)
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        head = await reader.readuntil(b"\r\n")
        status = int(head.split()[1])
        if 200 <= status < 300:
            return None
        # The body says which dependency is missing; a line of it is enough.
        rest = (await reader.read(4096)).partition(b"\r\n\r\n")[2]
        body = " ".join(rest.decode(errors="replace").split())[:200]
        return f"GET {url} answered {status} {body}".rstrip()
    except IndexError:
        return f"GET {url}: not an HTTP answer"
    finally:
        writer.close()
