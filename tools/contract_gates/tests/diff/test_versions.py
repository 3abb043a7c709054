"""A second major version from its first release to the end of the first version.

Guarantee: what the gate lets pass is handled: a message of the old version that lies in a queue
reaches the handler of the new one through the upcaster; what it refuses ends as a dead letter.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from contract_gates.diff import compare
from contracts import Upcaster, Upcasters
from contracts.generate.__main__ import CONTRACTS, PACKAGE, main

NAME = "StockLevelChanged"
MODEL = f"{NAME}V2"
SCHEMA = "catalog/schemas/{}.json"
ASYNCAPI = "catalog/asyncapi.yaml"
OLD_DATA = {"book_id": "2dc9420b-9ab2-50b5-8006-586e68a5e2b6", "available": 7, "version": 3}


def by_warehouse(old: Any) -> dict[str, Any]:
    """Version 2 counts copies by warehouse; until then there was the one."""
    new = {key: value for key, value in old.items() if key != "available"}
    return new | {"warehouses": [{"warehouse": "main", "available": old["available"]}]}


UPCASTERS: Upcasters = {(NAME, 1): by_warehouse}


def edit(file: Path, change: Callable[[Any], object]) -> None:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    change(content)
    text = json.dumps(content) if file.suffix == ".json" else yaml.safe_dump(content)
    file.write_text(text, encoding="utf-8")


def sends(folder: Path, *models: str) -> None:
    """The versions that the sending operation names; without any, all that the channel carries."""
    names = [{"$ref": f"#/channels/{NAME}/messages/{model}"} for model in models]
    edit(folder / ASYNCAPI, lambda d: d["operations"][f"send{NAME}"].update(messages=names))


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Release n + 1: version 2 beside version 1, received, and not sent yet."""
    folder = Path(shutil.copytree(CONTRACTS, tmp_path / "first"))
    schema = json.loads((folder / SCHEMA.format(NAME)).read_text(encoding="utf-8"))
    schema |= {"$id": f"urn:bookstore:catalog:{NAME}:2", "title": MODEL}
    available = schema["properties"].pop("available")
    one = {
        "type": "object",
        "description": "One warehouse's copies.",
        "required": ["warehouse", "available"],
        "properties": {"warehouse": {"type": "string", "minLength": 1}, "available": available},
    }
    schema["properties"]["warehouses"] = {"type": "array", "minItems": 1, "items": one}
    schema["required"] = ["book_id", "warehouses", "version"]
    schema["examples"] = [by_warehouse(OLD_DATA)]
    (folder / SCHEMA.format(MODEL)).write_text(json.dumps(schema), encoding="utf-8")

    def declare(document: Any) -> None:
        messages = document["components"]["messages"]
        messages[MODEL] = {
            **messages[NAME], "name": MODEL, "payload": {"$ref": f"./schemas/{MODEL}.json"}
        }  # fmt: skip
        carried = document["channels"][NAME]["messages"]
        carried[MODEL] = {"$ref": f"#/components/messages/{MODEL}"}

    edit(folder / ASYNCAPI, declare)
    sends(folder, NAME)
    return folder


@pytest.fixture
def second(first: Path, tmp_path: Path) -> Path:
    """Release n + 2: version 2 is sent."""
    folder = Path(shutil.copytree(first, tmp_path / "second"))
    sends(folder, MODEL)
    return folder


@pytest.fixture
def third(second: Path, tmp_path: Path) -> Path:
    """Release n + 3: version 1 is no more."""
    folder = Path(shutil.copytree(second, tmp_path / "third"))
    drop_old(folder)
    return folder


def drop_old(folder: Path) -> None:
    (folder / SCHEMA.format(NAME)).unlink()

    def change(document: Any) -> None:
        del document["components"]["messages"][NAME]
        del document["channels"][NAME]["messages"][NAME]

    edit(folder / ASYNCAPI, change)


def rules(base: Path, head: Path, upcasters: Upcasters = UPCASTERS) -> set[str]:
    return {finding.rule for finding in compare(base, head, upcasters=upcasters)}


def test_version_that_is_received_then_sent_then_alone_breaks_nothing(
    first: Path, second: Path, third: Path
) -> None:
    assert rules(CONTRACTS, first) == set()
    assert rules(first, second) == set()
    assert rules(second, third) == set()


def test_version_sent_before_the_last_release_knew_it_is_refused(second: Path) -> None:
    assert rules(CONTRACTS, second) == {"diff/version-early"}


def test_version_without_an_upcaster_is_refused(first: Path) -> None:
    assert rules(CONTRACTS, first, {}) == {"diff/upcaster-missing"}


@pytest.mark.parametrize(
    ("upcaster", "fault"),
    [
        (lambda old: dict(old), "it makes"),  # Another form than version 2's.
        (lambda old: by_warehouse(old) if old["available"] else {}, "'available': 0"),
        (lambda old: by_warehouse(old) | {"version": old["revision"]}, "KeyError"),
    ],
    ids=["not the new form", "wrong for a payload that no example shows", "raises"],
)
def test_upcaster_that_fails_on_an_old_payload_is_refused(
    first: Path, upcaster: Upcaster, fault: str
) -> None:
    (finding,) = compare(CONTRACTS, first, upcasters={(NAME, 1): upcaster})
    assert finding.rule == "diff/upcaster-wrong"
    assert fault in finding.message


def test_old_version_stays_as_it_was(first: Path) -> None:
    edit(
        first / SCHEMA.format(NAME),
        lambda schema: schema["properties"].update(shelf={"type": "string"}),
    )
    assert rules(CONTRACTS, first) == {"diff/version-edited"}


def test_old_version_stays_while_the_last_release_sends_it(first: Path, tmp_path: Path) -> None:
    head = Path(shutil.copytree(first, tmp_path / "head"))
    sends(head, MODEL)
    drop_old(head)
    assert rules(first, head) == {"diff/version-removed"}


# What the search service would do, with the code that is derived from the changed contracts.
RECEIVE = f"""
import json, sys
from contracts.models.catalog import {MODEL}
from messaging import Envelope, Reaction
from messaging.dispatch import Table
from messaging.errors import DeadLetter

def by_warehouse(old):
    new = {{key: value for key, value in old.items() if key != "available"}}
    return new | {{"warehouses": [{{"warehouse": "main", "available": old["available"]}}]}}

def receive(upcasters, data):
    found, payload = Table([Reaction({MODEL}, print)], upcasters).find(Envelope.decode(data))
    return payload.model_dump(mode="json")

message = json.load(sys.stdin)
known = {{("{NAME}", 1): by_warehouse}} if sys.argv[1] == "with" else {{}}
try:
    print(json.dumps(receive(known, message)))
except DeadLetter as error:
    print(json.dumps([error.code, str(error)]))
"""


@pytest.fixture
def derived(first: Path, tmp_path: Path) -> Path:
    """The package of contracts, derived from the changed ones, to be found before the present."""
    package = shutil.copytree(PACKAGE, tmp_path / "derived" / "contracts")
    assert main(["--contracts", str(first), "--output", str(package)]) == 0
    return package.parent


@pytest.mark.parametrize(
    ("upcaster", "outcome"),
    [
        ("with", by_warehouse(OLD_DATA)),
        (
            "without",
            [
                "unknown_message",
                f"no upcaster leads from {NAME} version 1 to version 2: register "
                f'UPCASTERS["{NAME}", 1] in contracts.upcasters',
            ],
        ),
    ],
)
def test_old_message_in_a_queue_reaches_the_new_handler_by_its_upcaster_alone(
    derived: Path, upcaster: str, outcome: object
) -> None:
    message = {
        "specversion": "1.0",
        "id": "0197a3c2-9000-7b00-8a00-0123456789ab",
        "source": "bookstore.catalog",
        "type": NAME,
        "subject": OLD_DATA["book_id"],
        "time": "2026-01-15T10:30:30Z",
        "dataschema": f"urn:bookstore:catalog:{NAME}:1",
        "correlationid": "0197a3c2-7b1e-7c44-9d3a-5f0e8c1b2a60",
        "data": OLD_DATA,
    }
    done = subprocess.run(
        [sys.executable, "-c", RECEIVE, upcaster],
        input=json.dumps(message),
        env={**os.environ, "PYTHONPATH": str(derived)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == outcome


def test_both_versions_have_types_in_both_languages(derived: Path) -> None:
    types = (derived / "contracts/typescript/messages.ts").read_text(encoding="utf-8")
    models = (derived / "contracts/models/catalog.py").read_text(encoding="utf-8")
    for name in (NAME, MODEL):
        assert f"export interface {name} {{" in types
        assert f"class {name}(BaseModel):" in models
    topology = "contracts/_data/topology.json"
    assert (derived / topology).read_text() == (PACKAGE.parent / topology).read_text()
