"""Who has shown what of whom: the table that a run of these tests ends with.

Guarantee: a message counts as proven between two services only if the consumer's handler took the
example and the provider's own messages kept the pact, both in this run.
"""

from collections.abc import Iterable, Iterator

from contracts import Topology

from .asks import messages_between


class Matrix:
    """Both halves of every proof."""

    def __init__(self, topology: Topology, public: Iterable[str]) -> None:
        self._topology = topology
        self._public = sorted(public)
        self._asked: set[tuple[str, str]] = set()
        self._kept: set[tuple[str, str, str]] = set()

    def asked(self, consumer: str, message: str) -> None:
        """The consumer's handler has taken the example."""
        self._asked.add((consumer, message))

    def kept(self, consumer: str, provider: str, message: str) -> None:
        """What the provider really sends keeps what the consumer asks."""
        self._kept.add((consumer, provider, message))

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it was run."""
        return not self._asked and not self._kept

    def lines(self) -> Iterator[str]:
        """The table, and below it what is missing and what nobody here reads."""
        services = self._topology.services
        consumers = sorted(name for name, each in services.items() if each.receives)
        providers = sorted(name for name, each in services.items() if each.sends)
        width = max(map(len, [*consumers, *providers, "consumer"])) + 2
        yield "consumer".ljust(width) + "".join(name.rjust(width) for name in providers)
        missing: list[str] = []
        for consumer in consumers:
            cells = []
            for provider in providers:
                messages = messages_between(self._topology, consumer, provider)
                lacks = [each for each in messages if not self._is_proven(consumer, provider, each)]
                if lacks:
                    why = ", ".join(self._why(consumer, each) for each in lacks)
                    missing.append(f"{consumer} of {provider}: {why}")
                cells.append(_cell(len(messages), len(messages) - len(lacks)).rjust(width))
            yield consumer.ljust(width) + "".join(cells)
        yield from (f"missing: {each}" for each in missing)
        yield f"for readers outside as well: {', '.join(self._public) or 'none'}"
        yield f"read by nobody in here: {', '.join(self._unread()) or 'none'}"

    def _is_proven(self, consumer: str, provider: str, message: str) -> bool:
        kept = (consumer, provider, message) in self._kept
        return kept and (consumer, message) in self._asked

    def _why(self, consumer: str, message: str) -> str:
        if (consumer, message) not in self._asked:
            return f"{message} (no ask, or its test failed)"
        return f"{message} (not sent as asked)"

    def _unread(self) -> list[str]:
        sent = {message for each in self._topology.services.values() for message in each.sends}
        return sorted(each for each in sent if not self._topology.receivers_of(each))


def _cell(messages: int, proven: int) -> str:
    if not messages:
        return "-"
    return str(proven) if proven == messages else f"{proven} of {messages}"
