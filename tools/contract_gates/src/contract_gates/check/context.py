"""What a run of the gates works on: the documents, and the services' code where it is asked.

One guarantee: the services are asked once in a run, however many gates want to know.
"""

import threading
from collections.abc import Callable, Iterable, Mapping

from contract_gates.findings import Finding
from contract_gates.implementations import Implementation, ask_elsewhere
from contract_gates.sources import Sources


class CannotAskError(Exception):
    """What a gate needs is not there, whatever the contracts say; the text says what to do."""


class Context:
    """One run's. Gates run side by side, and may ask it from any thread."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.folders = sources.folders
        self._asking = threading.Lock()
        self._implementations: Mapping[str, Implementation] | None = None

    def implementations(self) -> Mapping[str, Implementation]:
        """What the code of each service promises that has both contracts and a Python package."""
        with self._asking:
            if self._implementations is None:
                names = [
                    name
                    for name in self.sources.services
                    if (self.folders.services / name / "pyproject.toml").exists()
                ]
                self._implementations = ask_elsewhere(names, self.folders)
            return self._implementations


Gate = Callable[[Context], Iterable[Finding]]
