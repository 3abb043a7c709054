"""Which version of a message its sender sends: the one that a pact has to ask for.

Guarantee: it is what the send operation in the sender's contract names, not what is newest: a
second version is received for a release before anybody sends it.
"""

from functools import cache

from contract_gates.diff.compare import read_release
from contract_gates.diff.messages import Release
from contract_gates.sources import ROOT


@cache
def this_release() -> Release:
    """The contracts as they are in this working copy."""
    return read_release(ROOT / "contracts")


def version_sent(release: Release, sender: str, message: str) -> int:
    """The version of the message that the sender sends; of several, the newest. Raises LookupError
    where it sends none.
    """
    versions = release.versions_sent(sender, message)
    if not versions:
        raise LookupError(
            f"contracts/{sender}/asyncapi.yaml has no operation that sends {message}: add it, or "
            "run `make generate` if it is gone for good"
        )
    return max(versions)
