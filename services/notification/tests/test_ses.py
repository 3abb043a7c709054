"""The SES client against a server that refuses, breaks off, or says nothing."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from notification_service.ses import Refused, Ses, Unanswered, open_ses

THROTTLED = (
    b"<ErrorResponse><Error><Code>Throttling</Code><Message>slow</Message></Error></ErrorResponse>"
)
FAILED = b"<ErrorResponse><Error><Code>InternalFailure</Code></Error></ErrorResponse>"
TAKEN = (
    b"<SendRawEmailResponse><SendRawEmailResult><MessageId>id-1</MessageId></SendRawEmailResult>"
    b"</SendRawEmailResponse>"
)


class Server:
    """Reads each request to its end and then answers it, or closes, or does nothing."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = 0
        self.connections = 0

    async def __call__(self, reader, writer):
        self.connections += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [
                int(line.partition(b":")[2])
                for line in head.lower().splitlines()
                if line.startswith(b"content-length:")
            ]
            await reader.readexactly(lengths[0])
            self.requests += 1
            if self.answer == "silence":
                await reader.read()
            elif self.answer is not None:
                status, body = self.answer
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(body)))
                writer.write(body)
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer):
    server = Server(answer)
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield server, f"http://127.0.0.1:{port}"
    finally:
        listening.close()


@asynccontextmanager
async def client(url, **given):
    async with AsyncExitStack() as stack:
        opened = await open_ses(stack, region="us-east-1", endpoint_url=url)
        yield Ses(opened, **given)


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def send(ses):
    return ses.send(b"Subject: x\r\n\r\nx", sender="a@example.com", to="ada@example.com")


async def test_each_mail_has_a_connection_of_its_own():
    """A kept one may be closed in the moment it is used, which looks like a lost answer."""
    async with serving((200, TAKEN)) as (server, url), client(url) as ses:
        assert [await send(ses) for _ in range(3)] == ["id-1"] * 3
        assert server.connections == 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((400, THROTTLED), Refused),
        ((503, THROTTLED), Refused),
        ((500, FAILED), Unanswered),
        ((503, FAILED), Unanswered),
        (None, Unanswered),
    ],
    ids=["throttled", "throttled 503", "500", "503", "closed"],
)
async def test_every_failure_is_told_after_one_request(answer, error):
    async with serving(answer) as (server, url), client(url) as ses:
        with pytest.raises(error) as told:
            await send(ses)
        assert server.requests == 1
        assert "example" not in str(told.value)
        assert told.value.__cause__ is None


async def test_silence_is_unanswered():
    async with serving("silence") as (server, url), client(url, answer_seconds=-1) as ses:
        with pytest.raises(Unanswered):
            await send(ses)
        assert server.requests == 1


async def test_nobody_there_is_refused():
    async with client("http://127.0.0.1:9") as ses:
        with pytest.raises(Refused) as told:
            await send(ses)
        assert not told.value.for_good
