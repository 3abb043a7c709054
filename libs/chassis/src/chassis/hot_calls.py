"""The few AWS calls that every message pays, without botocore's pipeline around them.

Guarantee: a call either succeeds here, or is made again by the aiobotocore client underneath, with
all of its error handling and retries; so nothing behaves differently but the CPU time. All calls
listed are safe to repeat. (Measured reasons and figures: docs/adr/0007-hot-paths.md.)
"""

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from chassis.connections import HttpConnections
from chassis.metrics import AWS_CALLS

log = logging.getLogger(__name__)

# Service in the credential scope, X-Amz-Target's prefix, JSON version; the three services speak
# "AWS JSON" (smithy.io, awsJson1_0 and awsJson1_1): one POST to /, the operation in a header.
_PROTOCOLS = {
    "events": ("events", "AWSEvents", "1.1"),
    "sqs": ("sqs", "AmazonSQS", "1.0"),
    "dynamodb": ("dynamodb", "DynamoDB_20120810", "1.0"),
}
_HOT = {
    "put_events": "PutEvents",
    "receive_message": "ReceiveMessage",
    "delete_message_batch": "DeleteMessageBatch",
    "batch_execute_statement": "BatchExecuteStatement",
    "batch_write_item": "BatchWriteItem",
}

Call = Callable[..., Awaitable[Any]]


class Signer:
    """Signature Version 4 of a POST to / (AWS General Reference, "Signing AWS API requests").

    The key of a day is derived once.
    """

    def __init__(self, region: str, service: str, host: str) -> None:
        self._region = region
        self._service = service
        self._host = host
        self._derived: tuple[str, str, bytes] = ("", "", b"")

    def headers(
        self, credentials: Any, target: str, content_type: str, body: bytes, now: datetime
    ) -> dict[str, str]:
        """All headers of the request, Authorization included."""
        moment = now.strftime("%Y%m%dT%H%M%SZ")
        date = moment[:8]
        signed = {
            "content-type": content_type,
            "host": self._host,
            "x-amz-date": moment,
            "x-amz-target": target,
        }
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        digest = hashlib.sha256(body).hexdigest()
        request = hashlib.sha256(f"POST\n/\n\n{lines}\n{names}\n{digest}".encode()).hexdigest()
        scope = f"{date}/{self._region}/{self._service}/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{request}"
        signature = hmac.new(
            self._key(credentials.secret_key, date), to_sign.encode(), hashlib.sha256
        ).hexdigest()
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return signed

    def _key(self, secret: str, date: str) -> bytes:
        known_secret, known_date, key = self._derived
        if (known_secret, known_date) != (secret, date):
            key = f"AWS4{secret}".encode()
            for part in (date, self._region, self._service, "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._derived = (secret, date, key)
        return key


class HotCalls:
    """An aiobotocore client whose hot calls take the short way; everything else is the client's."""

    def __init__(self, client: Any, credentials: Any, connections: HttpConnections) -> None:
        service, target, version = _PROTOCOLS[client.meta.service_model.service_name]
        self._client = client
        self._credentials = credentials
        self._connections = connections
        self._signer = Signer(client.meta.region_name, service, connections.host)
        self._target = target
        self._content_type = f"application/x-amz-json-{version}"
        for method, operation in _HOT.items():
            if operation in client.meta.service_model.operation_names:
                setattr(self, method, self._short_way(operation, getattr(client, method)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def _short_way(self, operation: str, long_way: Call) -> Call:
        target = f"{self._target}.{operation}"
        counter = AWS_CALLS.labels(operation)

        async def call(**arguments: Any) -> Any:
            body = orjson.dumps(arguments)
            credentials = await self._credentials.get_frozen_credentials()
            headers = self._signer.headers(
                credentials, target, self._content_type, body, datetime.now(UTC)
            )
            counter.inc()
            try:
                answer = await self._connections.request("POST", "/", headers, body)
                if answer.status == 200:
                    return orjson.loads(answer.body)
                refusal = f"HTTP {answer.status}"
            except (OSError, TimeoutError, orjson.JSONDecodeError) as error:
                refusal = f"{type(error).__name__}: {error}"
            log.info("%s is repeated by botocore after %s", operation, refusal)
            return await long_way(**arguments)

        return call
