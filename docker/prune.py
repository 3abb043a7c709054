"""Removes from a virtual environment what no container needs: AWS services that are never called.

Guarantee: only descriptions of AWS APIs go, and never those named here. botocore brings all 400.
"""

import shutil
import sys
from pathlib import Path

# `sts` and the single sign-on ones are how credentials are found on AWS.
KEPT = {"dynamodb", "events", "sqs", "ses", "sts", "sso", "sso-oidc", "signin"}


def main(environment: Path) -> None:
    """Prune; `environment` is the folder of the virtual environment."""
    (data,) = environment.glob("lib/python3*/site-packages/botocore/data")
    missing = {name for name in KEPT - {"signin"} if not (data / name).is_dir()}
    if missing:
        raise SystemExit(f"botocore describes no {', '.join(sorted(missing))}: has it moved?")
    for folder in data.iterdir():
        if folder.is_dir() and folder.name not in KEPT:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
