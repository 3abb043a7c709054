"""What is derived equals what the contracts imply, and unsound contracts are refused."""

import shutil
from pathlib import Path

import pytest
import yaml

from contracts.generate.__main__ import CONTRACTS, PACKAGE, main


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the contracts to spoil."""
    return Path(shutil.copytree(CONTRACTS, tmp_path / "contracts"))


def edit(document: Path, old: str, new: str) -> None:
    text = document.read_text(encoding="utf-8")
    assert old in text
    document.write_text(text.replace(old, new), encoding="utf-8")


def test_derived_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out


def test_generating_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path)]) == 0
    committed = {path.name: path for path in (PACKAGE / "models").glob("*.py")}
    for path in (tmp_path / "models").glob("*.py"):
        assert path.read_bytes() == committed[path.name].read_bytes()


def test_check_names_what_would_change_and_changes_nothing(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = shutil.copytree(PACKAGE, tmp_path / "package")
    stale = Path(package, "models", "removed.py")
    stale.write_text("", encoding="utf-8")
    edit(copied / "common" / "money.json", '"maximum": 9999999999', '"maximum": 5')
    arguments = ["--contracts", str(copied), "--output", str(package)]
    assert main([*arguments, "--check"]) == 1
    printed = capsys.readouterr().out
    assert "would be written: models/common.py" in printed
    assert "would be removed: models/removed.py" in printed
    assert stale.exists()
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0


def test_sound_contracts_print_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_what_is_sent_and_unread_is_a_warning_unless_it_is_public(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(copied / "search")  # The one that listens to it.
    document = copied / "catalog" / "asyncapi.yaml"
    content = yaml.safe_load(document.read_text(encoding="utf-8"))
    assert content["channels"]["StockLevelChanged"].pop("x-audience") == "public"
    document.write_text(yaml.safe_dump(content), encoding="utf-8")
    main(["--contracts", str(copied), "--check"])
    (warning,) = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("warning")
    ]
    assert warning.startswith("warning: catalog sends StockLevelChanged, which nobody")


def test_what_is_received_and_never_sent_is_an_error(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = copied / "order" / "asyncapi.yaml"
    content = yaml.safe_load(document.read_text(encoding="utf-8"))
    del content["operations"]["sendOrderConfirmed"]
    document.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert main(["--contracts", str(copied), "--check"]) == 2
    assert "catalog receives OrderConfirmed, which nobody sends" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("document", "old", "new", "fault"),
    [
        (
            "catalog/asyncapi.yaml",
            "address: ReserveStock",
            "address: reserve-stock",
            "must be named ReserveStock",
        ),
        (
            "catalog/asyncapi.yaml",
            "source: [bookstore.order]",
            "source: [bookstore.shop]",
            "bookstore.order is not among ReserveStock's x-eventbridge.source",
        ),
        (
            "catalog/schemas/ReserveStock.json",
            "urn:bookstore:catalog:ReserveStock:1",
            "urn:bookstore:order:ReserveStock:1",
            "$id must be urn:bookstore:catalog:ReserveStock:",
        ),
        (
            "catalog/schemas/ReserveStock.json",
            "urn:bookstore:catalog:ReserveStock:1",
            "urn:bookstore:catalog:ReserveStock:2",
            "version 2 of ReserveStock stands in a file of another name",
        ),
        (
            "order/asyncapi.yaml",
            "../catalog/asyncapi.yaml#/channels/StockReserved",
            "../catalog/asyncapi.yaml#/channels/StockTaken",
            "must be a $ref to ../catalog/asyncapi.yaml#/channels/StockReserved",
        ),
        (
            "catalog/schemas/ReserveStock.json",
            "../../common/order-line.json",
            "../../common/line.json",
            "../../common/line.json is not in contracts/common",
        ),
        ("payment/asyncapi.yaml", "bus: bookstore", "bus: other", "there is only bookstore"),
        (
            "order/asyncapi.yaml",
            "x-audience: public",
            "x-audience: partners",
            "channel OrderRejected: x-audience is 'partners'; it can only be public, or absent",
        ),
        (
            "catalog/asyncapi.yaml",
            "address: ReserveStock\n",
            "address: ReserveStock\n    x-audience: public\n",
            "channel ReserveStock: x-audience: public is for events; this is a command",
        ),
    ],
)
def test_contradiction_is_an_error_that_says_where(
    copied: Path,
    capsys: pytest.CaptureFixture[str],
    document: str,
    old: str,
    new: str,
    fault: str,
) -> None:
    edit(copied / document, old, new)
    assert main(["--contracts", str(copied), "--check"]) == 2
    assert fault in capsys.readouterr().out


def test_schema_without_a_channel_is_an_error(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schemas = copied / "catalog" / "schemas"
    shutil.copy(schemas / "BookListed.json", schemas / "BookDelisted.json")
    assert main(["--contracts", str(copied), "--check"]) == 2
    assert "BookDelisted.json: no channel carries it" in capsys.readouterr().out


def test_folder_without_contracts_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--contracts", str(tmp_path)]) == 2
    assert f"{tmp_path} holds no contracts" in capsys.readouterr().out
