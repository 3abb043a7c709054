"""`python -m contracts.generate [--check]`: brings what is derived in line with `contracts/`.

One guarantee: the same contracts give the same bytes, so `--check` can gate a change.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from contracts.generate.http import openapi_documents
from contracts.generate.routes import topology, unread
from contracts.generate.schemas import bundle, model_inputs
from contracts.generate.source import Contracts, ContractsError, read_contracts
from contracts.generate.typescript import types

PACKAGE = Path(__file__).resolve().parents[1]
CONTRACTS = PACKAGE.parents[3] / "contracts"
HEADER = '"""Generated from contracts/ by `python -m contracts.generate`; never edited."""'
MODEL_OPTIONS = (
    *("--input-file-type", "jsonschema"),
    *("--output-model-type", "pydantic_v2.BaseModel"),
    *("--target-python-version", "3.11"),
    *("--target-pydantic-version", "2.14"),
    *("--extra-fields", "ignore"),
    *("--output-datetime-class", "AwareDatetime"),
    *("--enum-field-as-literal", "all"),
    *("--strict-types", "str", "int"),
    *("--type-mappings", "uuid=string"),
    *("--formatters", "ruff-check", "ruff-format"),
    "--use-missing-sentinel",
    "--disable-timestamp",
    "--enable-faux-immutability",
    "--skip-root-model",
    "--use-annotated",
    "--use-schema-description",
    "--use-double-quotes",
    "--disable-warnings",
    "--ignore-pyproject",
)


def generate(contracts: Contracts) -> dict[str, str]:
    """Every derived file's text by its path in the package."""
    messages = [
        {
            "name": message.name,
            "owner": message.owner,
            "version": message.version,
            "kind": message.kind,
            "dataschema": message.schema["$id"],
        }
        for service in contracts.services
        for message in contracts.owned_by(service)
    ]
    derived = {
        "_data/messages.json": _pretty(messages),
        "_data/schemas.json": _pretty(dict(sorted(bundle(contracts).items()))),
        "_data/topology.json": _pretty(topology(contracts)),
        "_data/openapi.json": _pretty(openapi_documents(contracts.root, contracts.services)),
        "typescript/messages.ts": types(contracts),
    }
    return derived | _models(contracts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m contracts.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 on drift")
    parser.add_argument("--contracts", type=Path, default=CONTRACTS, help="the folder to read")
    parser.add_argument("--output", type=Path, default=PACKAGE, help="the package to write")
    options = parser.parse_args(arguments)
    try:
        contracts = read_contracts(options.contracts)
        derived = generate(contracts)
    except ContractsError as error:
        for fault in error.faults:
            _say(f"error: {fault}")
        return 2
    for warning in unread(contracts):
        _say(f"warning: {warning}")
    changes = _changes(options.output, derived)
    for path, what in changes.items():
        _say(f"{'would be' if options.check else 'was'} {what}: {path}")
    if options.check:
        return 1 if changes else 0
    for path in changes:
        target = options.output / path
        if path in derived:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(derived[path], encoding="utf-8")
        else:
            target.unlink()
    return 0


def _changes(package: Path, derived: dict[str, str]) -> dict[str, str]:
    """What differs: 'written' for a new or changed file, 'removed' for one no longer derived."""
    present = {
        str(path.relative_to(package)): path.read_text(encoding="utf-8")
        for folder, pattern in (("_data", "*.json"), ("models", "*.py"), ("typescript", "*.ts"))
        for path in (package / folder).glob(pattern)
    }
    written = [path for path, text in derived.items() if present.get(path) != text]
    removed = [path for path in present if path not in derived]
    return dict.fromkeys(sorted(written), "written") | dict.fromkeys(sorted(removed), "removed")


def _models(contracts: Contracts) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "models")
        source.mkdir()
        for module, document in model_inputs(contracts).items():
            (source / f"{module}.json").write_text(json.dumps(document), encoding="utf-8")
        subprocess.run(  # noqa: S603  (our own interpreter, our own arguments)
            [
                *(sys.executable, "-m", "datamodel_code_generator", *MODEL_OPTIONS),
                *("--custom-file-header", HEADER),
                *("--input", str(source), "--output", str(target)),
            ],
            check=True,
            cwd=folder,
        )
        return {
            f"models/{path.name}": path.read_text(encoding="utf-8") for path in target.glob("*.py")
        }


def _pretty(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
