"""The file of results: what is written comes back, and layers add up in it."""

import shlex
from pathlib import Path

from faults.explore import Failure, Tally
from faults.mutation import Verdict
from faults.plan import Plan, Site, Strike
from faults.results import Exploration, Results, load_results
from faults.scenario import Outcome, Repairer
from faults.world import Visit

COMMIT = Site("worker", "commit", "Order + Line")
POST = Site("worker", "gateway_post", "/charges", 2)


def outcome(*met: Strike, violations: tuple[str, ...] = ()) -> Outcome:
    return Outcome(
        met=met,
        visits=(
            Visit(POST, ("crash_before", "late")),
            Visit(COMMIT, ("crash_before", "crash_after")),
        ),
        after_last=1,
        violations=violations,
        seconds=70.25,
        recovery_seconds=61.5,
        repairer=Repairer.RETRY,
        trace_hash="",
        reached=frozenset({"a process died"}),
    )


def tally() -> Tally:
    found = Tally(sites={("buy", POST.place), ("buy", COMMIT.place)})
    first, second = Strike(COMMIT, "crash_after"), Strike(POST, "late")
    found.add("buy", Plan((first,)), 7, outcome(first))
    found.add("buy", Plan((first, second)), 7, outcome(first, second, violations=("I6 twice",)))
    return found


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    results = Results(
        {"pairs": Exploration("pairs", tally(), 12.5, 2, 7)},
        [
            Verdict("no-inbox", 3, "buy", str(Plan((Strike(POST, "late"),))), ("I6 twice",)),
            Verdict("no-sweep", 40),
        ],
    )
    results.save(path)
    assert load_results(path) == results


def test_the_order_of_first_visits_comes_back(tmp_path: Path) -> None:
    Results({"pairs": Exploration("pairs", tally(), 1.0, 1, 7)}).save(tmp_path / "r.json")
    found = load_results(tmp_path / "r.json").explorations["pairs"].tally
    assert list(found.offered) == [("buy", POST.place), ("buy", COMMIT.place)]


def test_saving_keeps_other_layers_and_replaces_its_own(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Results({"singles": Exploration("singles", tally(), 1.0, 1, 0)}, [Verdict("a", 1)]).save(path)
    Results({"pairs": Exploration("pairs", tally(), 2.0, 1, 0)}, [Verdict("b", 1)]).save(path)
    Results({"singles": Exploration("singles", Tally(), 3.0, 1, 0)}, [Verdict("a", 9)]).save(path)
    found = load_results(path)
    assert {layer: each.wall_seconds for layer, each in found.explorations.items()} == {
        "singles": 3.0,
        "pairs": 2.0,
    }
    assert found.verdicts == [Verdict("a", 9), Verdict("b", 1)]


def test_merging_tallies_joins_what_was_offered() -> None:
    total, other = tally(), Tally(offered={("buy", POST.place): {"pause_after"}})
    total.merge(other)
    assert total.offered["buy", POST.place] == {"crash_before", "late", "pause_after"}
    assert other.offered["buy", POST.place] == {"pause_after"}


def test_a_failure_is_shown_again_by_one_line_that_a_shell_reads_back() -> None:
    failure = Failure("it's", Plan((Strike(COMMIT, "late"), Strike(POST, "late"))), 7, ("I6",))
    words = shlex.split(failure.again("python -m shop"))
    assert words[:5] == ["python", "-m", "shop", "run", "it's"]
    assert Plan.parse(words[5]) == failure.plan
    assert words[6:] == ["--seed", "7"]
