"""A mail server, and the SES client of one process.

Guarantee: what is taken is kept in the order of arrival, and a call is one request: this client
asks once, as one must be told to that sends mails, since SES knows no copy of a mail for one.
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from faults.gate import Gate
from faults.memory.aws_client import Client, loop_time, refusal

# A request that is late arrives when its sender has long given up waiting (SDKs wait a minute at
# most by default, a careful sender some seconds).
LATE_SECONDS = 40.0
_HEADERS = BytesHeaderParser()


@dataclass(frozen=True, slots=True)
class Arrival:
    """A mail that was taken: when by the loop's clock, to whom, and its bytes."""

    at: float
    to: tuple[str, ...]
    raw: bytes


class MailServer:
    """What has arrived, and how much is on its way."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self._under_way = 0

    def is_idle(self) -> bool:
        """Whether no mail is on its way."""
        return not self._under_way

    def take(self, to: Sequence[str], raw: bytes) -> str:
        """Take a mail; its id."""
        self.arrivals.append(Arrival(loop_time(), tuple(to), raw))
        return f"mail-{len(self.arrivals)}"

    def take_later(self, to: Sequence[str], raw: bytes) -> None:
        """Take a mail once its sender has given up."""
        self._under_way += 1

        def arrive() -> None:
            self._under_way -= 1
            self.take(to, raw)

        asyncio.get_running_loop().call_later(LATE_SECONDS, arrive)


class SesClient(Client):
    """The keyword arguments are those of botocore."""

    def __init__(self, gate: Gate, unsupported: list[str], server: MailServer) -> None:
        super().__init__(gate, unsupported)
        self._server = server

    async def send_raw_email(
        self,
        *,
        Source: str,
        Destinations: Sequence[str],
        RawMessage: Mapping[str, bytes],
        **others: Any,
    ) -> dict[str, Any]:
        """The twists: 'refuse' throttles, 'fail_before' and 'fail_after' answer with an error of
        the server's, without and with a mail taken; of one that is 'late' its sender hears nothing.
        """
        self._refuse_others("send_raw_email", others)
        raw = RawMessage["Data"]

        def effect(twist: str | None) -> dict[str, Any]:
            if twist == "refuse":
                raise refusal("SendRawEmail", "Throttling", "Maximum sending rate exceeded.")
            if twist == "fail_before":
                raise _failure()
            if twist == "late":
                self._server.take_later(Destinations, raw)
                return {}
            mail_id = self._server.take(Destinations, raw)
            if twist == "fail_after":
                raise _failure()
            return {"MessageId": mail_id}

        subject = str(_HEADERS.parsebytes(raw.partition(b"\r\n\r\n")[0]).get("Subject", ""))
        answer = await self._gate.call(
            "send_raw_email",
            [subject],
            effect,
            error=_unreachable,
            twists=("refuse", "fail_before", "fail_after", "late"),
        )
        if not answer:
            await asyncio.sleep(LATE_SECONDS)
            raise _unreachable("its answer was lost")
        return answer


def _failure() -> ClientError:
    error = refusal("SendRawEmail", "InternalFailure", "Something went wrong.")
    error.response["ResponseMetadata"]["HTTPStatusCode"] = 500
    return error


def _unreachable(reason: str) -> BotoCoreError:
    """With what tells a connection that never was from an answer that was lost."""
    address = f"memory: {reason}"
    if "answer" in reason:
        return ReadTimeoutError(endpoint_url=address)
    return EndpointConnectionError(endpoint_url=address, error=socket.gaierror(reason))
