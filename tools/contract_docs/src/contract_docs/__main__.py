"""`python -m contract_docs [--check]`: brings `docs/site/` in line with `contracts/`.

One guarantee: `--check` changes nothing, and only files that were written here are ever removed.
"""

import argparse
import json
import sys
from pathlib import Path

import yaml

from contract_docs.pages import GENERATOR, render
from contracts.generate.source import ContractsError

ROOT = Path(__file__).resolve().parents[4]
CONTRACTS = ROOT / "contracts"
SITE = ROOT / "docs" / "site"


def main(arguments: list[str] | None = None) -> int:
    """0 if the pages are up to date (now), 1 if `--check` found that they are not, 2 on a fault."""
    parser = argparse.ArgumentParser(prog="python -m contract_docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 on drift")
    parser.add_argument("--contracts", type=Path, default=CONTRACTS, help="the folder to read")
    parser.add_argument("--output", type=Path, default=SITE, help="the folder to write")
    options = parser.parse_args(arguments)
    try:
        site = render(options.contracts)
        changes = _changes(options.output, site)
        for path, what in changes.items():
            print(f"{'would be' if options.check else 'was'} {what}: {path}")
        if options.check:
            if changes:
                print("the pages are behind the contracts; run `make docs` and commit docs/site")
            return 1 if changes else 0
        _apply(options.output, site, changes)
    except ContractsError as error:
        for fault in error.faults:
            print(f"error: {fault}")
        return 2
    except (OSError, yaml.YAMLError, json.JSONDecodeError) as error:
        print(f"error: {error}")
        return 2
    print(f"{len(site)} files, {len(changes)} of them new: open {options.output / 'index.html'}")
    return 0


def _changes(output: Path, site: dict[str, str]) -> dict[str, str]:
    """What differs: 'written' for a new or changed file, 'removed' for a page of a past service."""
    present = {path.name: path.read_text(encoding="utf-8") for path in output.glob("*.html")}
    ours = f'<meta name="generator" content="{GENERATOR}">'
    stale = [name for name, text in present.items() if name not in site and ours in text]
    written = [name for name, text in site.items() if _text(output / name) != text]
    return dict.fromkeys(sorted(written), "written") | dict.fromkeys(sorted(stale), "removed")


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _apply(output: Path, site: dict[str, str], changes: dict[str, str]) -> None:
    output.mkdir(parents=True, exist_ok=True)
    for name, what in changes.items():
        if what == "removed":
            (output / name).unlink()
        else:
            (output / name).write_text(site[name], encoding="utf-8")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
