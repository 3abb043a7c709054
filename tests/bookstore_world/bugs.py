"""What the fault tests have found in the bookstore so far.

Guarantee: each entry stays when its bug is gone.
"""

from faults.findings import Bug

BUGS = (
    Bug(
        title="A slow bus made the sweep of the outbox publish for ever",
        cause=(
            "The sweep keeps its rows locked while the bus is asked, and the limit on idle "
            "transactions (the answer to the next entry) ended its session before it could mark "
            "them: they went out again with every sweep, and a poisoned row was never parked. The "
            "sweep now asks the server for more patience than the bus may need (messaging.relay)."
        ),
        plan="PutEvents that takes longer than 10 s, on PostgreSQL itself",
        layer="a review of what chaos had mended",
        invariant="B",
    ),
    Bug(
        title="A worker that froze within its transaction stopped all others",
        cause=(
            "It kept its row locks for as long as it stood still, and so did connections that a "
            "device on the way had forgotten. Every order for the same books waited, and was "
            "rejected once its deadline had passed: 76 of 90. The server now ends a session that "
            "is idle in a transaction for 10 s, and a statement without an answer after 30 s "
            "gives its connection up."
        ),
        plan="SIGSTOP of one catalog worker of two just before its COMMIT",
        layer="chaos",
        invariant="I8",
    ),
    Bug(
        title="A connection that closed at that very moment was taken for an open one",
        cause=(
            "Between the loss of a connection and its being told, uvloop answers a write with "
            "RuntimeError, which nobody took for an outage: a cached read answered 500, and a "
            "queue's poller would have ended with its process."
        ),
        plan="Reset of all connections while a cached read begins",
        layer="chaos",
        invariant="B",
    ),
    Bug(
        title="A key that was taken over answered 409 to its own owner",
        cause=(
            "After the lease of a dead request had ended, the next one put its record over the "
            "old; where the client below repeated that write by itself, the second found the "
            "first in its place, and the owner was told that another request was running until "
            "its own lease had ended, too (idempotency.http_keys)."
        ),
        plan="confirmed order-web:commit(ReserveStock):crash_before "
        "order-web:put_item(order key):repeat",
        layer="exhaustive",
        invariant="B",
    ),
    Bug(
        title="Two answers for one key in one call were refused as a whole",
        cause=(
            "A request that had lost its lease and the one that had it finished within one "
            "batch: the call named the key twice, was refused, and none of its up to 25 answers "
            "was stored. Each call now names a key once (idempotency.http_keys)."
        ),
        plan="",
        layer="the contract suite of DynamoDB and its stand-in",
        invariant="B",
    ),
)
