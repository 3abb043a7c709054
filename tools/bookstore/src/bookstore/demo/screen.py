"""What is shown while the demo runs: live on a terminal, plain lines elsewhere.

Guarantee: the same things are said in both; nothing is written above 100 columns, and a live region
leaves nothing behind but the lines that matter.
"""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bookstore.catalog_import.importer import ImportReport, ProgressListener
from bookstore.demo.play import Progress as PlayProgress
from stack import Event, State

WIDTH = 100
REFRESHES_PER_SECOND = 8
SECONDS_BETWEEN_LINES = 2.0
_STATUS_COLORS = {
    "pending": "yellow",
    "confirmed": "green",
    "rejected": "red",
    "cancelling": "yellow",
    "cancelled": "cyan",
}


class Screen:
    """Where everything goes; `console` is for reports."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        if not self.console.is_terminal or self.console.width > WIDTH:
            self.console.width = WIDTH

    @property
    def is_live(self) -> bool:
        """Whether lines can be rewritten."""
        return self.console.is_terminal

    def step(self, text: str) -> None:
        """A step of the demo is done."""
        self.console.print(f"[green]✓[/] {text}", highlight=False)

    def note(self, text: str) -> None:
        """Something to know."""
        self.console.print(f"  [dim]{text}[/]", highlight=False)

    def event(self, seconds: float, text: str) -> None:
        """Something that happens among the orders."""
        line = Text(f"{seconds:7.1f} s  ", "dim")
        line.append(text, "default")
        self.console.print(line, highlight=False)

    def fail(self, text: str) -> None:
        """Why the demo has failed; on standard error, for whoever calls it."""
        Console(stderr=True, width=WIDTH).print(
            f"[bold red]FAILED[/] {escape(text)}", highlight=False
        )

    @contextlib.contextmanager
    def starting(self, names: Sequence[str]) -> Iterator["Starting"]:
        """While processes start."""
        starting = Starting(self, names)
        with self._live(starting):
            yield starting

    @contextlib.contextmanager
    def importing(self) -> Iterator[ProgressListener]:
        """While books are imported."""
        if not self.is_live:
            yield lambda _: None
            return
        columns = (
            TextColumn("  importing the classics"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task("", total=None)

            def move(report: ImportReport) -> None:
                bar.update(task, total=report.books, completed=report.sent)

            yield move

    @contextlib.contextmanager
    def playing(self, progress: PlayProgress) -> Iterator[None]:
        """While orders are placed."""
        with self._live(Playing(progress)):
            yield

    @contextlib.contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """While something takes its time."""
        if self.is_live:
            with self.console.status(f"[dim]{text}[/]"):
                yield
        else:
            yield

    @contextlib.contextmanager
    def _live(self, view: "Starting | Playing") -> Iterator[None]:
        if not self.is_live:
            yield
            return
        with Live(
            console=self.console,
            get_renderable=view.render,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        ):
            yield


class Starting:
    """The processes of a stack as they come up."""

    def __init__(self, screen: Screen, names: Sequence[str]) -> None:
        self._screen = screen
        self._began = time.monotonic()
        self._since: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._names = list(names)
        self._spinner = Spinner("dots", style="yellow")

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._began

    def on_event(self, event: Event) -> None:
        """Take a change of a process's state."""
        if event.state is State.STARTING:
            self._since[event.process] = time.monotonic()
        elif event.state in (State.READY, State.COMPLETED) and event.process in self._since:
            if event.process in self._took:
                return
            self._took[event.process] = time.monotonic() - self._since[event.process]
            if not self._screen.is_live:
                took = self._took[event.process]
                self._screen.note(f"{event.process} ready after {took:.1f} s")

    def render(self) -> RenderableType:
        """A line for each process."""
        table = Table.grid(padding=(0, 1))
        for name in self._names:
            if name in self._took:
                table.add_row(" ", "[green]✓[/]", name, f"[dim]{self._took[name]:.1f} s[/]")
            elif name in self._since:
                seconds = time.monotonic() - self._since[name]
                table.add_row(" ", self._spinner, f"[yellow]{name}[/]", f"{seconds:.1f} s")
            else:
                table.add_row(" ", " ", f"[dim]{name}[/]", "")
        return Group(Text(f"  starting the stack  {self.seconds:.1f} s", "bold"), table)


class Playing:
    """The orders, by scenario and status."""

    def __init__(self, progress: PlayProgress) -> None:
        self._progress = progress

    def render(self) -> RenderableType:
        """A row for each scenario, and their sum."""
        progress = self._progress
        counts = progress.counts()
        table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
        table.add_column(f"{progress.seconds:7.1f} s", justify="right", width=9)
        table.add_column("scenario", width=30, no_wrap=True)
        for name in ("sent", "pending", "confirmed", "rejected", "cancelled"):
            table.add_column(name, justify="right", width=9)
        for scenario in progress.plan.scenarios:
            own = progress.counts(scenario.key)
            table.add_row("", scenario.title, *self._cells(own, scenario.key))
        sent = sum(progress.sent.values())
        table.add_section()
        table.add_row("", "[bold]all[/]", f"[bold]{sent}[/]", *self._status_cells(counts))
        return table

    def _cells(self, counts: dict[str, int], key: str) -> list[str]:
        return [_count(self._progress.sent.get(key, 0), "default"), *self._status_cells(counts)]

    def _status_cells(self, counts: dict[str, int]) -> list[str]:
        pending = counts.get("pending", 0) + counts.get("cancelling", 0)
        return [
            _count(pending, "yellow"),
            *(
                _count(counts.get(name, 0), _STATUS_COLORS[name])
                for name in ("confirmed", "rejected", "cancelled")
            ),
        ]


def plain_line(progress: PlayProgress) -> str:
    """Where the orders stand, in one line."""
    counts = progress.counts()
    parts = [f"{counts[name]} {name}" for name in _STATUS_COLORS if counts.get(name)]
    return f"{sum(progress.sent.values())} sent: {', '.join(parts) or 'none listed yet'}"


def _count(count: int, color: str) -> str:
    return f"[{color}]{count}[/]" if count else "[dim]·[/]"


def flush() -> None:
    """So that what follows on standard error comes after it."""
    sys.stdout.flush()
