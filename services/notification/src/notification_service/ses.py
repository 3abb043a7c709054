"""Amazon SES: hands a mail over, and says honestly what is known of it afterwards.

Guarantee: one call is one request; nothing here or beneath asks twice. What is raised carries
codes, never SES's own words, which may quote the address.

SES takes no idempotency key, so every failure is one of these:

    what happened                                         may be tried again?
    never connected (refused, DNS, TLS, no credentials)   yes: nothing was sent
    throttled, quota used up, sending paused, 403         yes: SES says that it did not take it
    sender not verified yet                               yes: an operator mends that
    content or address refused                            no: the same mail is refused again
    any other 4xx                                         yes: it was refused; tries are bounded
    408, 5xx                                              no: SES may have taken it, and then failed
    time-out, connection lost after it was there          no: the answer may be what got lost
"""

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import ClientConnectorError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)

CONNECT_SECONDS = 3
# SES takes 40 MB; ours have some 20 KB, and an answer takes well under a second.
ANSWER_SECONDS = 10
MAX_CONNECTIONS = 32

_FOR_GOOD = frozenset({"MessageRejected", "InvalidParameterValue", "InvalidParameterCombination"})
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException"})
_NEVER_SENT = (
    ConnectTimeoutError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)


class Refused(Exception):
    """Not taken. `code` is SES's or the SDK's name for it; `for_good`: it never will be."""

    def __init__(self, code: str, *, for_good: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.for_good = for_good


class Unanswered(Exception):
    """Nobody knows whether it was taken. `code` names what was seen."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


async def open_ses(stack: AsyncExitStack, *, region: str, endpoint_url: str | None) -> Any:
    """A client that lives as long as the stack, asks once, and on a connection of its own.

    A kept connection may be closed by the other side in the moment in which it is used again, and
    that looks like a lost answer: each such mail would be given up as unknown.
    """
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    config = AioConfig(
        region_name=region,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        max_pool_connections=MAX_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": 1},
        connector_args={"force_close": True, "keepalive_timeout": None},
    )
    client = get_session().create_client("ses", endpoint_url=endpoint_url, config=config)
    return await stack.enter_async_context(client)


class Ses:
    """Sends raw mails through a client of `open_ses`."""

    def __init__(self, client: Any, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._client = client
        self.limit_seconds = CONNECT_SECONDS + answer_seconds

    async def send(self, raw: bytes, *, sender: str, to: str) -> str:
        """Hand one mail over; its id at SES. Raises Refused, Unanswered."""
        try:
            async with asyncio.timeout(self.limit_seconds):
                answer = await self._client.send_raw_email(
                    Source=sender, Destinations=[to], RawMessage={"Data": raw}
                )
        except ClientError as error:
            raise _answered(error) from None
        except _NEVER_SENT as error:
            raise Refused(type(error).__name__) from None
        except EndpointConnectionError as error:
            cause = error.kwargs.get("error")
            if isinstance(cause, ClientConnectorError | socket.gaierror):
                raise Refused("EndpointConnectionError") from None
            raise Unanswered("ConnectionLost") from None
        except (BotoCoreError, OSError) as error:  # A time-out is an OSError.
            raise Unanswered(type(error).__name__) from None
        return str(answer["MessageId"])


def _answered(error: ClientError) -> Exception:
    code = str(error.response.get("Error", {}).get("Code", "Unknown"))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _THROTTLED:
        return Refused(code)
    if status >= 500 or status == 408 or status < 400:
        return Unanswered(f"{status} {code}")
    not_verified = "not verified" in str(error.response["Error"].get("Message", ""))
    return Refused(code, for_good=code in _FOR_GOOD and not not_verified)
