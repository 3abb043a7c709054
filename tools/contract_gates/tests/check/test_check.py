"""The command says what it found, where and what to do, to people and to machines."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from contract_gates.__main__ import main
from contract_gates.check.context import Context
from contract_gates.check.derived import ARTEFACTS, stale
from contract_gates.check.gates import GATES, check
from contract_gates.check.handlers import handlers
from contract_gates.check.http import http
from contract_gates.implementations import Implementation, ask_elsewhere
from contract_gates.sources import Folders, Sources

Edit = Callable[[str, str, str], None]


class Told(Context):
    """A context that is told what the services promise, instead of asking them."""

    def __init__(self, folders: Folders, **services: Implementation) -> None:
        super().__init__(Sources(folders))
        self._implementations = services


def test_finding_is_one_line_with_place_rule_and_remedy(
    folders: Folders, edit: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    edit("order/schemas/OrderConfirmed.json", '"maxItems": 50,', "")
    code = main(["check", "--contracts", str(folders.contracts), "--only", "lint"])
    finding, summary = capsys.readouterr().out.splitlines()
    assert code == 1
    assert finding == (
        "contracts/order/schemas/OrderConfirmed.json:22: lint/arrays-are-bounded: "
        "the array has no limit. Add maxItems"
    )
    assert re.fullmatch(r"1 finding; 0 of 1 gate passed, not lint, \d+\.\d s", summary)


def test_passing_run_says_which_gates_and_how_long(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--only", "lint,topology"]) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(r"2 gates passed: lint, topology, \d+\.\d s\n", printed)


def test_json_holds_the_same_findings(
    folders: Folders, edit: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    edit("common/money.json", '"amount_minor": 0,', '"amount_minor": -1,')
    arguments = ["--contracts", str(folders.contracts), "--only", "examples", "--json"]
    assert main(["check", *arguments]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["gates"] == ["examples"]
    (finding,) = answer["findings"]
    assert finding["file"] == "contracts/common/money.json"
    assert finding["rule"] == "examples/invalid"
    assert set(finding) == {"file", "line", "rule", "message", "remedy", "level"}


def test_unknown_gate_is_answered_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["check", "--only", "lint,style"])
    assert stopped.value.code == 2
    assert f"no gate style; there are {', '.join(GATES)}" in capsys.readouterr().err


def test_help_explains_every_gate(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    printed = capsys.readouterr().out
    for name, gate in GATES.items():
        assert re.search(rf"^  {name} +{re.escape(gate.asks)}$", printed, re.MULTILINE)


def test_folder_without_contracts_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "--contracts", str(tmp_path)]) == 2
    assert f"{tmp_path} holds no contracts" in capsys.readouterr().err


def test_what_is_sent_and_unread_is_a_warning_that_passes(
    folders: Folders, edit: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(
        "notification/asyncapi.yaml",
        "  receiveContactErased:\n    action: receive\n"
        "    summary: Forgets where to write to.\n    channel:\n"
        "      $ref: '#/channels/ContactErased'\n",
        "",
    )
    assert main(["check", "--contracts", str(folders.contracts), "--only", "topology"]) == 0
    warning, summary = capsys.readouterr().out.splitlines()
    assert warning.startswith("warning: contracts/order/asyncapi.yaml:")
    assert "order sends ContactErased, which nobody receives. Meant for others?" in warning
    assert summary.startswith("1 gate passed, 1 warning: topology")


def test_file_that_does_not_parse_is_all_that_is_found(
    folders: Folders, edit: Edit, capsys: pytest.CaptureFixture[str]
) -> None:
    edit("order/openapi.yaml", "paths:\n", "paths: [\n")
    assert main(["check", "--contracts", str(folders.contracts)]) == 1
    finding, summary = capsys.readouterr().out.splitlines()
    assert re.match(r"contracts/order/openapi.yaml:\d+: parse/unreadable: ", finding)
    assert summary.startswith("1 finding; no gate can judge contracts that do not parse, ")


def test_gate_that_cannot_judge_says_so(folders: Folders, edit: Edit) -> None:
    edit("order/asyncapi.yaml", "channels:\n", "chanels:\n")
    (finding,) = check(folders, ["topology"])
    assert finding.rule == "topology/unanswered"
    assert "KeyError: 'channels', in source.py:" in finding.message


@pytest.mark.parametrize("content", ["", "[]", "null"])
@pytest.mark.parametrize("file", ["order/openapi.yaml", "order/schemas/OrderConfirmed.json"])
def test_file_without_an_object_does_not_parse(folders: Folders, file: str, content: str) -> None:
    (folders.contracts / file).write_text(content, encoding="utf-8")
    (finding,) = check(folders, GATES)
    assert (finding.file, finding.rule) == (f"contracts/{file}", "parse/unreadable")


@pytest.mark.parametrize(
    ("reference", "rule"),
    [
        ("./money.json", "validity/loop"),
        ("#", "validity/loop"),
        ("#/properties/inner", "validity/reference"),
        ("#anchor", "validity/reference"),
    ],
)
def test_schema_that_does_not_end_is_a_finding_of_one_gate(
    folders: Folders, edit: Edit, reference: str, rule: str
) -> None:
    inner = f'"properties": {{"inner": {{"$ref": "{reference}"}},'
    edit("common/money.json", '"properties": {', inner)
    found = {(each.file, each.rule) for each in check(folders, ["validity"])}
    assert found == {("contracts/common/money.json", rule)}


def test_schema_that_contains_itself_ends_no_gate_in_a_traceback(
    folders: Folders, edit: Edit
) -> None:
    edit("common/money.json", '"properties": {', '"properties": {"inner": {"$ref": "#"},')
    rules = {finding.rule for finding in check(folders, ["validity", "examples"])}
    assert rules == {"validity/loop", "examples/unanswered"}


def test_derived_file_is_found_at_its_first_line_that_differs(tmp_path: Path) -> None:
    package = tmp_path / "libs"
    (package / "_data").mkdir(parents=True)
    (package / "_data" / "topology.json").write_text("a\nb\n", encoding="utf-8")
    (package / "_data" / "old.json").write_text("", encoding="utf-8")
    rendered = {"_data/topology.json": "a\nc\n", "_data/new.json": ""}
    folders = Folders(contracts=tmp_path / "contracts", package=package)
    found = {
        finding.file: (finding.line, finding.message)
        for finding in stale(folders, ARTEFACTS[0], rendered)
    }
    assert found == {
        "libs/_data/topology.json": (2, "this derived file is not what the contracts imply"),
        "libs/_data/old.json": (0, "nothing in the contracts leads to this file any more"),
        "libs/_data/new.json": (0, "this derived file is missing"),
    }


def test_service_that_cannot_be_composed_is_a_finding_of_both_gates(folders: Folders) -> None:
    context = Told(folders, order=Implementation(fault="ValidationError: no DATABASE_URL"))
    for gate, run in (("http", http), ("handlers", handlers)):
        (finding,) = run(context)
        assert finding.file == "services/order/pyproject.toml"
        assert finding.rule == f"{gate}/unasked"
        assert "no DATABASE_URL" in finding.message


def test_handler_and_receive_that_miss_each_other_are_both_found(folders: Folders) -> None:
    handled = ["BookListed", "BookRevised", "OrderConfirmed", "OrderRejected"]
    found = list(handlers(Told(folders, search=Implementation(handles=handled))))
    assert [(each.rule, each.file) for each in found] == [
        ("handlers/missing", "contracts/search/asyncapi.yaml"),
        ("handlers/unreceived", "contracts/search/asyncapi.yaml"),
    ]
    assert "receives StockLevelChanged" in found[0].message
    assert "handles OrderRejected" in found[1].message


def test_service_whose_code_cannot_be_imported_is_told_apart(tmp_path: Path) -> None:
    answer = ask_elsewhere(["nobody"], Folders(services=tmp_path))["nobody"]
    assert answer.fault is not None
    assert "No module named 'nobody_service'" in answer.fault


def test_service_without_a_python_package_is_not_asked(folders: Folders, tmp_path: Path) -> None:
    empty = Folders(contracts=folders.contracts, services=tmp_path / "services")
    assert check(empty, ["http", "handlers"]) == []
