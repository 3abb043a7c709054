"""What the clients have in common: their way through the gate, and the errors of AWS.

Guarantee: what is not supported raises NotImplementedError that names it, and is also noted for the
test to see, since a product that survives every exception would survive this one too.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from faults.gate import Gate

T = TypeVar("T")


class ConditionalCheckFailedException(ClientError):  # type: ignore[misc]  # botocore is untyped.
    """As aiobotocore's own of this name; `response['Item']` where the caller asked for it."""

    def __init__(self, operation: str, item: Mapping[str, Any] | None) -> None:
        error = refusal(
            operation, "ConditionalCheckFailedException", "The conditional request failed"
        )
        if item is not None:
            error.response["Item"] = dict(item)
        super().__init__(error.response, operation)


class TransactionCanceledException(ClientError):  # type: ignore[misc]  # botocore is untyped.
    """As aiobotocore's own of this name; `response['CancellationReasons']`: one for each write."""

    def __init__(self, operation: str, reasons: Sequence[Mapping[str, Any]]) -> None:
        codes = ", ".join(str(reason["Code"]) for reason in reasons)
        message = f"Transaction cancelled, please refer cancellation reasons [{codes}]"
        error = refusal(operation, "TransactionCanceledException", message)
        error.response["CancellationReasons"] = [dict(reason) for reason in reasons]
        super().__init__(error.response, operation)


def refusal(operation: str, code: str, message: str) -> ClientError:
    """An answer of AWS that says that the request cannot be served as it is."""
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": 400},
        },
        operation,
    )


def unreachable(reason: str) -> BotoCoreError:
    """What botocore raises when its retries are used up; the reason stands where the address is."""
    kind = ReadTimeoutError if "answer" in reason else EndpointConnectionError
    return kind(endpoint_url=f"memory: {reason}")


def loop_time() -> float:
    """The only clock here."""
    return asyncio.get_running_loop().time()


class Client:
    """One incarnation's client of one service."""

    def __init__(self, gate: Gate, unsupported: list[str]) -> None:
        self._gate = gate
        self._unsupported = unsupported

    def __getattr__(self, name: str) -> Any:
        # Names with underscores are what Python itself looks for, and may be missing.
        if name.startswith("_"):
            raise AttributeError(name)
        raise self._missing(name)

    def _missing(self, what: str) -> NotImplementedError:
        text = f"{type(self).__name__}: {what}"
        self._unsupported.append(text)
        return NotImplementedError(text)

    def _refuse_others(self, operation: str, others: Iterable[str]) -> None:
        """Raise for parameters that this stand-in does not know."""
        for name in others:
            raise self._missing(f"{operation} with {name}")

    async def _pass(
        self,
        operation: str,
        detail: Sequence[str],
        effect: Callable[[str | None], T],
        twists: Sequence[str] = (),
    ) -> T:
        try:
            return await self._gate.call(
                operation, detail, effect, error=unreachable, twists=twists
            )
        except NotImplementedError as missing:
            self._unsupported.append(f"{operation}: {missing}")
            raise
