"""The topology document, from who receives and who sends what.

One guarantee: a rule matches a message if and only if the service receives it and the source may
send it. One rule for each pair of receiver and sender keeps that exact: a single rule with all
names and all sources would also match names from the wrong source.
"""

from pathlib import Path
from typing import Any

from contracts.generate.source import Contracts, ContractsError, Fault

BUS = "bookstore"
DAY_SECONDS = 86_400
# Four days in the queue, then fourteen (the most that SQS keeps) among the dead letters: a dead
# letter's age counts from its first enqueue, so its queue must keep messages longer.
QUEUE = {
    "visibility_seconds": 30,
    "retention_seconds": 4 * DAY_SECONDS,
    "long_poll_seconds": 20,
    "max_receive_count": 8,
}
DEAD_LETTER_RETENTION_SECONDS = 14 * DAY_SECONDS
# EventBridge's own defaults for a custom bus, written down because they differ between bus kinds.
RETRY = {"maximum_attempts": 185, "maximum_age_seconds": DAY_SECONDS}
ARCHIVE = {"name": "bookstore-archive", "retention_days": 30}
TTL = {"ttl_attribute": "expires_at"}
TABLES = [
    {"name": "bookstore-ledger", "key": "pk", "ttl_attribute": "expires_at"},
    {"name": "bookstore-http-idempotency", "key": "pk", "ttl_attribute": "expires_at"},
    # What search remembers of who looked at or bought what; what notification knows of customers.
    {
        "name": "bookstore-interactions",
        "key": "pk",
        "sort_key": "sk",
        "ttl_attribute": "expires_at",
    },
    {"name": "bookstore-mails", "key": "pk", "sort_key": "sk", "ttl_attribute": "expires_at"},
    {"name": "bookstore-shipments", "key": "pk", "sort_key": "sk", "ttl_attribute": "expires_at"},
]
# Where mails come from: SES sends for verified domains only.
MAIL_DOMAIN = "bookstore.example"
# docs.aws.amazon.com/eventbridge: an event pattern has at most 2,048 characters.
PATTERN_LIMIT = 2_048


def topology(contracts: Contracts) -> dict[str, Any]:
    """The topology document; raises ContractsError if it would be unsound."""
    faults = unsound(contracts)
    if faults:
        raise ContractsError(faults)
    return {
        "bus": BUS,
        "archive": ARCHIVE,
        "tables": TABLES,
        "mail_domain": MAIL_DOMAIN,
        "services": {service: _service(contracts, service) for service in contracts.services},
    }


def unsound(contracts: Contracts) -> list[Fault]:
    """What must not be: received but never sent, or on another bus."""
    sent = {name for names in contracts.sends.values() for name in names}
    faults = [
        Fault(
            f"{service} receives {name}, which nobody sends",
            "let its owner send it, or receive it no longer",
            *_operation(contracts, service, "receive", name),
        )
        for service in contracts.services
        for name in contracts.receives[service]
        if name not in sent
    ]
    faults += [
        Fault(
            f"{name} is on the bus {message.bus}; there is only {BUS}",
            f"write bus: {BUS}",
            contracts.root / message.owner / "asyncapi.yaml",
            ("channels", name, "x-eventbridge", "bus"),
        )
        for name, message in contracts.messages.items()
        if message.bus != BUS
    ]
    return faults


def unread(contracts: Contracts) -> list[Fault]:
    """What is sent, nobody receives and no `x-audience: public` explains: worth a warning."""
    received = {name for names in contracts.receives.values() for name in names}
    return [
        Fault(
            f"{service} sends {name}, which nobody receives",
            "meant for others? declare it on the channel (x-audience: public); else receive it",
            *_operation(contracts, service, "send", name),
        )
        for service in contracts.services
        for name in contracts.sends[service]
        if name not in received and not contracts.messages[name].public
    ]


def _operation(
    contracts: Contracts, service: str, action: str, name: str
) -> tuple[Path, tuple[str, ...]]:
    return contracts.root / service / "asyncapi.yaml", ("operations", f"{action}{name}")


def _service(contracts: Contracts, service: str) -> dict[str, Any]:
    name = f"{BUS}-{service}"
    return {
        "source": f"{BUS}.{service}",
        "queue": {"name": name, **QUEUE},
        "dead_letters": {
            "name": f"{name}-dlq",
            "retention_seconds": DEAD_LETTER_RETENTION_SECONDS,
        },
        "undelivered": {
            "name": f"{name}-undelivered",
            "retention_seconds": DEAD_LETTER_RETENTION_SECONDS,
        },
        "rules": [
            rule
            for sender in contracts.services
            if (rule := _rule(contracts, service, sender)) is not None
        ],
        "receives": sorted(contracts.receives[service]),
        "sends": sorted(contracts.sends[service]),
    }


def _rule(contracts: Contracts, receiver: str, sender: str) -> dict[str, Any] | None:
    names = sorted(set(contracts.receives[receiver]) & set(contracts.sends[sender]))
    if not names:
        return None
    pattern = {"detail-type": names, "source": [f"{BUS}.{sender}"]}
    if len(str(pattern)) > PATTERN_LIMIT:
        what = f"{receiver} receives more from {sender} than one rule can name"
        remedy = f"a pattern has {PATTERN_LIMIT} characters at most: split the receiver"
        file = contracts.root / receiver / "asyncapi.yaml"
        raise ContractsError([Fault(what, remedy, file, ("operations",))])
    return {
        "name": f"{BUS}-{receiver}-from-{sender}",
        "description": f"What {receiver} receives from {sender}",
        "pattern": pattern,
        "retry": RETRY,
    }
