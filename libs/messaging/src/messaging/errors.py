"""What can be wrong with a message, and what becomes of it then.

Guarantee: every error says which of the two answers it asks for: a dead letter now, or another try.
"""

# What AWS refuses with a status of 400 whatever was asked: too many requests, and credentials that
# have run out or are not good (yet), as with a clock that is wrong (DynamoDB Developer Guide,
# "Error messages and codes"; SQS API Reference, "Common Errors"); and a table that is not there
# (yet), as after an emulator's restart.
AWS_OUTAGE_CODES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ResourceNotFoundException",
        "ThrottlingException",
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)


class MessagingError(Exception):
    """Anything that messaging raises on purpose."""


class DeadLetter(MessagingError):
    """This message can never succeed: it goes to the dead-letter queue with this reason.

    `code` is stable and short, for alarms and for the redrive; the text says what to do.
    """

    code = "refused"


class MalformedMessage(DeadLetter):
    """Not an envelope at all."""

    code = "malformed"


class ContractViolation(DeadLetter):
    """The payload breaks its contract; the text lists the JSON pointers."""

    code = "contract_violation"


class UnknownMessage(DeadLetter):
    """No contract of that name and version, or none that this service receives."""

    code = "unknown_message"


class MessageTooLarge(MessagingError):
    """Refused where it is written, since the bus would refuse it later, out of sight."""

    def __init__(self, message_type: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{message_type} takes {size_bytes} bytes on the bus, and the bus takes {limit_bytes}: "
            "send a reference to the large part instead"
        )


class RetryLater(MessagingError):
    """Nothing is wrong, it is only too early: try again after `seconds`, and count no failure."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds
