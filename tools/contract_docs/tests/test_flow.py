"""What part a service plays follows from its messages alone."""

from pathlib import Path

from contract_docs.flow import Role, Route, roles, routes
from contracts.generate.source import Contracts, Message


def system(**services: tuple[str, str]) -> Contracts:
    """Services by what they send and receive; a message's kind stands before its name: 'c:Go'."""
    sends = {name: tuple(sent.split()) for name, (sent, _) in services.items()}
    receives = {name: tuple(received.split()) for name, (_, received) in services.items()}
    kinds = {"c": "command", "r": "reply", "e": "event"}
    messages = {
        name: Message(name, service, 1, kinds[name[0]], "bus", (service,), False, {})
        for service, names in sends.items()
        for name in names
    }
    return Contracts(Path(), messages, {}, sends, receives)


def test_roles_come_in_the_order_of_the_flow() -> None:
    contracts = system(
        audit=("", "e:Done e:Stored"),
        bank=("r:Paid", "c:Pay"),
        lead=("c:Store c:Pay e:Done", "r:Paid"),
        parcel=("e:Sent", "e:Done"),
        clock=("e:Tick", ""),
        shelf=("e:Stored", "c:Store"),
    )
    assert list(roles(contracts).items()) == [
        ("lead", Role.ORCHESTRATOR),
        ("clock", Role.PUBLISHER),
        ("shelf", Role.PARTICIPANT),
        ("bank", Role.PARTICIPANT),
        ("parcel", Role.REACTOR),
        ("audit", Role.LISTENER),
    ]


def test_a_route_is_what_one_sends_and_the_other_receives() -> None:
    contracts = system(a=("c:Go c:Stop e:Up", "r:Gone"), b=("r:Gone r:Lost", "c:Stop c:Go e:Up"))
    assert routes(contracts, ["a", "b"]) == [
        Route("a", "b", "command", ("c:Go", "c:Stop")),
        Route("a", "b", "event", ("e:Up",)),
        Route("b", "a", "reply", ("r:Gone",)),
    ]


def test_who_is_commanded_is_a_participant_even_if_it_commands_others() -> None:
    contracts = system(a=("c:Go", ""), b=("c:Fetch", "c:Go"), c=("", "c:Fetch"))
    assert list(roles(contracts)) == ["a", "b", "c"]
    assert roles(contracts)["b"] is Role.PARTICIPANT
