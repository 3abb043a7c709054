"""A manifest's faults are told in words, with file and place."""

from pathlib import Path

import pytest

from conformance.contract import load_contract
from conformance.errors import ConformanceError
from conformance.manifest import find_manifests, load_manifest

ROOT = Path(__file__).parents[3]
GOOD = """
name: catalog
processes:
  - {name: web, command: ["{python}", -m, somewhere]}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "conformance.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD + "procesess: []", "procesess"),
        ("name: catalog", "processes"),
        (GOOD + "stories: [{name: x, steps: [{sned: A}]}]", "a step is one of"),
        (GOOD + "stories: [{name: x, steps: [{http: FETCH /}]}]", "stories.0.steps.0"),
        ("name: [", "no YAML"),
    ],
    ids=["unknown-key", "missing-key", "unknown-step", "unknown-method", "no-yaml"],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConformanceError) as caught:
        load_manifest(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_a_missing_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConformanceError, match="cannot be read"):
        load_manifest(tmp_path / "none.yaml")


def test_every_service_that_has_a_manifest_tells_only_of_messages_of_its_contract() -> None:
    manifests = find_manifests(ROOT)
    assert {"catalog", "notification", "order", "payment", "search"} <= {m.name for m in manifests}
    for manifest in manifests:
        assert load_contract(manifest).receives


@pytest.mark.parametrize(
    ("addition", "told"),
    [
        ("stories: [{name: x, steps: [{send: BookListed}]}]", "BookListed is nothing that it rec"),
        ("stories: [{name: x, steps: [{expect: ReserveStock}]}]", "ReserveStock is nothing that"),
        ("messages: {Unheard: {}}", "Unheard is nothing that it receives"),
        ("load: none", "there is no story 'none'"),
    ],
    ids=["sent", "expected", "data", "load"],
)
def test_a_story_of_messages_that_the_contract_has_not_is_refused(
    tmp_path: Path, addition: str, told: str
) -> None:
    text = GOOD + f"contracts: {ROOT / 'contracts'}\n{addition}"
    manifest = load_manifest(written(tmp_path, text))
    with pytest.raises(ConformanceError, match=told):
        load_contract(manifest)


def test_a_service_without_manifest_is_told_with_those_that_have_one() -> None:
    with pytest.raises(ConformanceError, match=r"services/weather.*catalog"):
        find_manifests(ROOT, ["weather"])


def test_a_service_without_contract_is_told(tmp_path: Path) -> None:
    manifest = load_manifest(written(tmp_path, GOOD))
    with pytest.raises(ConformanceError, match=r"no contracts/catalog/asyncapi\.yaml above"):
        load_contract(manifest)


@pytest.mark.parametrize(
    "text", ["7", "asyncapi: 3.0.0", "channels: 7", "channels: {}\noperations: []"]
)
def test_a_contract_of_another_shape_is_told(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "contracts" / "catalog"
    folder.mkdir(parents=True)
    (folder / "asyncapi.yaml").write_text(text, encoding="utf-8")
    manifest = load_manifest(written(tmp_path, GOOD))
    with pytest.raises(ConformanceError, match="contract_gates check"):
        load_contract(manifest)
