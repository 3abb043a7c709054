"""The terminal's stream: whole lines behind names, colours only where they are welcome."""

import io

import pytest

from stack.logs import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_plain_lines() -> None:
    pipe = io.StringIO()
    Console({"order": None, "catalog": None}, pipe).write("order", "\x1b[31mred\x1b[0m")
    assert pipe.getvalue() == "order   | red\n"


def test_a_terminal_gets_a_coloured_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    Console({"order": "green"}, terminal).write("order", "\x1b[31mred\x1b[0m")
    assert terminal.getvalue() == "\x1b[32morder |\x1b[0m \x1b[31mred\x1b[0m\n"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    Console({"order": "green"}, terminal).write("order", "line")
    assert terminal.getvalue() == "order | line\n"


def test_a_closed_pipe_ends_nothing() -> None:
    pipe = io.StringIO()
    console = Console({"order": None}, pipe)
    pipe.close()
    console.write("order", "line")
