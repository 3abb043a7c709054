"""A second version changes what pacts ask for once it is sent, not when it is received first.

Guarantee: the contracts are copied and then changed as docs/contracts.md, "Evolve one", says.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract_gates.diff.compare import read_release
from contract_gates.sources import ROOT
from contracts import UnknownMessageError, message_type

from .asks import Ask, examples_of, pact_of
from .sent_versions import this_release, version_sent

NAME = "BookListed"
SECOND = "BookListedV2"

Sends = Callable[..., int]


@pytest.fixture
def version_where_sender_names(tmp_path: Path) -> Sends:
    """The version that is sent once there are two, by the messages that the operation names."""
    folder = Path(shutil.copytree(ROOT / "contracts", tmp_path / "contracts"))
    schema = json.loads((folder / f"catalog/schemas/{NAME}.json").read_text(encoding="utf-8"))
    schema |= {"$id": f"urn:bookstore:catalog:{NAME}:2", "title": SECOND}
    (folder / f"catalog/schemas/{SECOND}.json").write_text(json.dumps(schema), encoding="utf-8")
    file = folder / "catalog/asyncapi.yaml"
    document: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    messages = document["components"]["messages"]
    payload = {"$ref": f"./schemas/{SECOND}.json"}
    messages[SECOND] = {**messages[NAME], "name": SECOND, "payload": payload}
    carried = document["channels"][NAME]["messages"]
    carried[SECOND] = {"$ref": f"#/components/messages/{SECOND}"}

    def version(*named: str) -> int:
        references = [{"$ref": f"#/channels/{NAME}/messages/{each}"} for each in named]
        document["operations"][f"send{NAME}"]["messages"] = references
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        return version_sent(read_release(folder), "catalog", NAME)

    return version


def test_version_that_is_only_received_is_not_asked_for(version_where_sender_names: Sends) -> None:
    assert version_where_sender_names(NAME) == 1


def test_version_that_the_sender_names_is_asked_for(version_where_sender_names: Sends) -> None:
    assert version_where_sender_names(SECOND) == 2


def test_newest_version_is_asked_for_where_the_sender_may_send_both(
    version_where_sender_names: Sends,
) -> None:
    assert version_where_sender_names() == 2
    assert version_where_sender_names(NAME, SECOND) == 2


def test_message_that_is_not_sent_is_named_with_its_document() -> None:
    with pytest.raises(LookupError, match=f"contracts/search/asyncapi.yaml .* sends {NAME}"):
        version_sent(this_release(), "search", NAME)


def test_pact_names_the_version_that_is_sent_unless_the_ask_names_another() -> None:
    def is_shown(scene: Any) -> bool:
        return bool(scene)

    asked = examples_of(pact_of("search", "catalog", [Ask(NAME, {}, is_shown)]))[NAME]
    sent = version_sent(this_release(), "catalog", NAME)
    assert asked["dataschema"] == message_type(NAME, sent).dataschema
    with pytest.raises(UnknownMessageError, match=f"{NAME} version 99"):
        pact_of("search", "catalog", [Ask(NAME, {}, is_shown, version=99)])
