"""Ports: the wanted one, or its owner's name, or another."""

import os
import socket
from collections.abc import Iterator

import pytest

from stack import PortAllocator, PortTakenError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_free_wanted_port_is_taken_once() -> None:
    ports = PortAllocator()
    free = PortAllocator().pick()
    assert ports.choose("a", free, fixed=False) == free
    assert ports.notices == []
    assert ports.choose("b", free, fixed=False) != free


def test_a_fixed_port_in_use_is_refused_with_its_owner_and_the_remedy(taken: int) -> None:
    with pytest.raises(PortTakenError) as raised:
        PortAllocator().choose("order", taken, fixed=True, variable="ORDER_PORT")
    assert str(raised.value).startswith(f"port {taken} (order) is taken by pid {os.getpid()} (")
    assert str(raised.value).endswith("stop it or choose another with ORDER_PORT=...")


def test_a_default_port_in_use_is_replaced_and_a_line_says_so(taken: int) -> None:
    ports = PortAllocator()
    picked = ports.choose("order", taken, fixed=False, variable="ORDER_PORT")
    assert picked != taken
    (notice,) = ports.notices
    assert notice.startswith(f"port {taken} (order) is taken by pid {os.getpid()} (")
    assert notice.endswith(f"using {picked} instead (choose another with ORDER_PORT=...)")
