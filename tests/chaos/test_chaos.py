"""The chaos run is what its seed says, and a small one of it holds."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.fault import plan
from chaos.kinds import KINDS
from chaos.load import Placed, Wish, wishes
from chaos.network_faults import CutInMessage, LostCommitReply
from chaos.process_faults import Kill, KillAtBarrier
from chaos.run import Options, perform
from drive.old_code import old_code


def test_seed_decides_faults_and_orders() -> None:
    def drawn(seed: int) -> object:
        faults = plan(KINDS, seed=seed, faults=80, run_seconds=600)
        return faults, wishes(seed, 100, 600)

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_each_kind_comes_at_least_once() -> None:
    planned = plan(KINDS, seed=3, faults=len(KINDS), run_seconds=60)
    assert {type(each.fault) for each in planned} == set(KINDS)
    moments = [each.at_seconds for each in planned]
    assert moments == sorted(moments)
    assert 0 < moments[0] < moments[-1] < 60


def test_outcome_that_nothing_explains_is_not_expected() -> None:
    good = Wish(1, 0.0, ((0, 1),), "pm_card_visa", 0, is_sent_twice=False, is_cancelled=False)
    placed = Placed(good, "key")
    assert placed.expected == {("confirmed", None)}
    placed.cancel_asked = True
    assert placed.expected == {("cancelled", None)}


def test_old_code_can_be_imported_in_place_of_the_present(tmp_path: Path) -> None:
    _, path = asyncio.run(old_code(tmp_path / "old"))
    where = subprocess.run(
        [sys.executable, "-c", "import order_service, messaging; print(messaging.__file__)"],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert Path(where.strip()).is_relative_to(tmp_path)


@pytest.mark.timeout(180)
async def test_small_run_keeps_every_invariant(tmp_path: Path) -> None:
    options = Options(
        minutes=0.15,
        orders=30,
        faults=4,
        seed=1,
        folder=tmp_path / "chaos",
        keep=False,
        replay=False,
    )
    run = await perform(options, [Kill, KillAtBarrier, LostCommitReply, CutInMessage])
    assert run.checks
    assert not run.broken, run.broken
    assert all(entry.was_made for entry in run.entries)
    assert (options.folder / "report.json").exists()
    assert (options.folder / "logs" / "order-worker.log").exists()
