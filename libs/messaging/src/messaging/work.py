"""The unit of work of one message: what it read, what it changes, what it says.

Guarantee: whatever a handler put in here commits as a whole, together with the message's inbox row,
or not at all; and what breaks its contract gets no envelope to be sent in.
"""

from opentelemetry import propagate
from pydantic import BaseModel

from contracts import encode, message_type_of, validate
from messaging.envelope import Envelope, derived_id, utc_now


class Sender:
    """Wraps payloads into envelopes of one service."""

    def __init__(self, service: str) -> None:
        self.source = f"bookstore.{service}"

    def envelope(
        self,
        payload: BaseModel,
        *,
        cause: str,
        subject: str,
        correlation_id: str,
        index: int = 0,
        causation_id: str | None = None,
    ) -> Envelope:
        """A message whose id is derived from `cause`, its type and its index among the same.

        Raises ContractViolationError: a payload that was built past its model's checks, as hot
        paths do, would otherwise leave, and then lie in the dead letters of each who receives it.
        """
        contract = message_type_of(payload)
        data = encode(payload)
        validate(contract.name, contract.version, data)  # One to three microseconds.
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return Envelope(
            id=derived_id(cause, contract.name, index),
            source=self.source,
            type=contract.name,
            subject=subject,
            time=utc_now(),
            dataschema=contract.dataschema,
            correlation_id=correlation_id,
            data=data,
            causation_id=causation_id,
            traceparent=carrier.get("traceparent"),
        )


class Work:
    """What one message's handler has to say; services add the entities that it may touch."""

    def __init__(self, message: Envelope, sender: Sender) -> None:
        self.message = message
        self.outgoing: list[Envelope] = []
        self._sender = sender

    def reply(self, payload: BaseModel) -> None:
        """Answer the message's sender."""
        self.publish(payload, subject=self.message.subject)

    def publish(self, payload: BaseModel, *, subject: str) -> None:
        """Tell everybody, in the same conversation."""
        self.outgoing.append(
            self._sender.envelope(
                payload,
                cause=self.message.id,
                subject=subject,
                correlation_id=self.message.correlation_id,
                index=len(self.outgoing),
                causation_id=self.message.id,
            )
        )
