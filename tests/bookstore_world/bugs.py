"""What the fault tests have found in the bookstore so far.

Guarantee: each entry stays when its bug is gone.
"""

from faults.findings import Bug

BUGS = (
    Bug(
        title="A key that was taken over answered 409 to its own owner",
        cause=(
            "After the lease of a dead request had ended, the next one put its record over the "
            "old; where the client below repeated that write by itself, the second found the "
            "first in its place, and the owner was told that another request was running until "
            "its own lease had ended, too (idempotency.http_keys)."
        ),
        plan="",
        layer="reading the in-memory DynamoDB's twist 'repeat'",
        invariant="B",
    ),
    Bug(
        title="Two answers for one key in one call were refused as a whole",
        cause=(
            "A request that had lost its lease and the one that had it finished within one "
            "batch: the call named the key twice, was refused, and none of its up to 25 answers "
            "was stored (idempotency.http_keys)."
        ),
        plan="",
        layer="the in-memory DynamoDB, which refuses what is not documented",
        invariant="L",
    ),
)
