"""The page and its JSON: what they tell, and that nothing in them comes from elsewhere."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from faults.explore import Tally
from faults.findings import Bug
from faults.mutants import Mutant
from faults.mutation import Verdict
from faults.plan import KINDS, TWISTS, Plan, Site, Strike
from faults.report.material import ChaosRun, Material, load_chaos
from faults.report.matrix import matrices, total
from faults.report.page import page, write
from faults.results import Exploration, Results, load_results
from faults.scenario import Outcome, Repairer
from faults.world import Visit

COMMIT = Site("worker", "commit", "Order<b>")
POST = Site("worker", "gateway_post", "/charges")
RESENT = Site("worker", "put_events", "OrderPlaced")
VOID = {"meta", "br"}


def outcome(*met: Strike, violations: tuple[str, ...] = (), visits: tuple[Visit, ...]) -> Outcome:
    return Outcome(
        met=met,
        visits=visits,
        after_last=1,
        violations=violations,
        seconds=7_200.0,
        recovery_seconds=61.5 if met else 0.0,
        repairer=Repairer.DEADLINE if met else Repairer.NOBODY,
        trace_hash="",
        reached=frozenset({"a process died"}) if met else frozenset(),
    )


UNDISTURBED = (
    Visit(COMMIT, ("crash_before", "crash_after")),
    Visit(POST, ("crash_before", "late")),
)


def tally(*violations: str) -> Tally:
    """Singles of 'buy', but for one: what only the recovery comes through, is not hit."""
    found = Tally(sites={("buy", COMMIT.place), ("buy", POST.place)})
    found.add("buy", Plan(), 7, outcome(visits=UNDISTURBED))
    recovery = (*UNDISTURBED, Visit(RESENT, ("crash_before", "partial", "lose")))
    for strike in (
        Strike(COMMIT, "crash_before"),
        Strike(COMMIT, "crash_after"),
        Strike(POST, "late"),
    ):
        broken = violations if strike.fault == "late" else ()
        found.add("buy", Plan((strike,)), 7, outcome(strike, violations=broken, visits=recovery))
    return found


def material(*violations: str, **others: object) -> Material:
    singles = Exploration("singles", tally(*violations), 75.0, 2, 7)
    verdicts = [
        Verdict("no-inbox", 3, "buy", "worker:gateway_post(/charges):late", ("I6 twice: <2>",)),
        Verdict("no-lease", 4321),
        Verdict("no-drain", 0),
    ]
    mutants = [
        Mutant("no-inbox", 15, "copies change nothing", "m", "a", "b"),
        Mutant("no-lease", 23, "a lease ends", "m", "a", "b"),
        Mutant("no-drain", 57, "a process drains", "m", "a", "b"),
    ]
    given: dict[str, object] = {
        "title": "The shop's sagas",
        "command": "python -m shop",
        "results": Results({"singles": singles}, verdicts),
        "mutants": mutants,
        "states": ("a process died", "a saga was parked"),
        "bugs": (Bug("Charged <twice>", "no key", "buy: x:commit(y):late", "pairs", "I6"),),
        "limits": ("There is no disk & no TCP.",),
        **others,
    }
    return Material(**given)  # type: ignore[arg-type]


def text_of(html: str) -> str:
    """What a reader sees, on one line."""
    body = re.sub(r"<(style|script).*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def test_the_claim_is_made_within_bounds_and_no_further() -> None:
    found = text_of(page(material()))
    assert "No violation within these bounds." in found
    assert not re.search(r"\b(proved|proven|correct|bug-free|guaranteed)\b", found)


def test_nothing_is_claimed_where_nothing_was_explored() -> None:
    found = text_of(page(Material("The shop's sagas", "python -m shop", Results())))
    assert "Nothing was explored yet." in found
    assert "No violation" not in found


def test_violations_are_shown_with_the_line_that_shows_them_again() -> None:
    html = page(material("I6 twice: 2 charges"))
    assert "No violation" not in html
    assert "1 plan violates an invariant." in text_of(html)
    assert "I6 twice: 2 charges" in html
    again = "python -m shop run buy &#x27;worker:gateway_post(/charges):late&#x27; --seed 7"
    assert again in html


def test_figures_of_a_layer() -> None:
    found = text_of(page(material()))
    assert "singles 4 0 1 2 3 1 8 h 75 s 2 7" in found


def test_text_is_escaped_everywhere() -> None:
    html = page(material("I6 <script>alert(1)</script>"))
    assert "Order<b>" not in html
    assert "Order&lt;b&gt;" in html
    assert "<script>alert" not in html
    assert "Charged &lt;twice&gt;" in html


def test_cells_tell_untested_from_stood_for_from_what_cannot_apply() -> None:
    matrix = total(list(matrices(material().explorations).values()))
    assert matrix.untested == [
        (POST.place, "crash_before"),
        (RESENT.place, "crash_before"),
        (RESENT.place, "lose"),
    ]
    # Pairs use 'error_before' in place of it, and only a recovery comes to this place.
    assert matrix.stood_for == [(RESENT.place, "partial")]
    html = page(material())
    listed = html[html.index("Not tested</h3>") :]
    assert "worker:gateway_post(/charges)</code>: crash_before" in listed
    assert "worker:put_events(OrderPlaced)</code>: partial" in listed
    assert html.count('<td class="untested"') == 3
    assert html.count('<td class="stood"') == 1
    assert html.count('class="never"') == 3 * (len(KINDS) + len(TWISTS)) - 7


def test_a_run_that_two_layers_share_counts_once() -> None:
    singles = Exploration("singles", tally(), 1.0, 1, 7)
    pairs = Exploration("pairs", tally(), 1.0, 1, 7)
    other_seed = Exploration("pairs", tally(), 1.0, 1, 8)
    cell = (COMMIT.place, "crash_after")
    assert matrices([singles, pairs])["buy"].counts[cell] == 1
    assert matrices([singles, other_seed])["buy"].counts[cell] == 2


def test_drawn_scenarios_are_told_of_together() -> None:
    drawn = matrices([Exploration("random", tally(), 1.0, 1, 7)])
    assert list(drawn) == ["random"]
    assert drawn["random"].counts[COMMIT.place, "crash_after"] == 1


def test_mutants_are_killed_survive_or_were_not_tried() -> None:
    found = text_of(page(material()))
    assert "Mutants that survive: no-lease." in found
    assert "1 of 3 killed, 1 survive, 1 not tried" in found
    assert "no-inbox killed 15 copies change nothing buy worker:gateway_post" in found
    assert "no-lease survives 23 a lease ends 4,321" in found


def test_states_that_no_run_reached_stand_out() -> None:
    html = page(material())
    assert "a process died reached 3" in text_of(html)
    assert '<tr class="wrong"><th scope="row">a saga was parked</th><td>never reached' in html


def test_the_rest_is_told_too() -> None:
    found = text_of(page(material()))
    assert "There is no disk &amp; no TCP." in found
    assert "half within 62 s" in found
    assert "a saga&#x27;s deadline" in found


def test_a_broken_check_on_real_processes_is_no_clean_result() -> None:
    run = ChaosRun(31, 3.0, 700, 699, {"Kill": 5}, 23, ("I1 balance: 5, not 6",))
    found = text_of(page(material(chaos=(run,))))
    assert "No violation" not in found
    assert "seed 31: I1 balance: 5, not 6" in found
    assert "22 of 23" in found


@pytest.mark.parametrize("violations", [(), ("I6 twice",)])
def test_the_page_is_whole_and_needs_nothing_from_elsewhere(violations: tuple[str, ...]) -> None:
    html = page(material(*violations))
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(|\ssrc=", html)
    stack: list[str] = []

    class Nesting(HTMLParser):
        def handle_starttag(self, tag: str, attributes: object) -> None:
            if tag not in {*VOID, "wbr"}:
                stack.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert stack.pop() == tag

    parser = Nesting()
    parser.feed(html)
    parser.close()
    assert not stack


def test_the_json_beside_the_page_can_be_read_as_results(tmp_path: Path) -> None:
    whole = material("I6 twice")
    beside = write(whole, tmp_path / "new" / "report.html")
    assert beside == tmp_path / "new" / "report.json"
    assert load_results(beside) == whole.results
    document = json.loads(beside.read_text())
    assert [POST.place, "crash_before"] in document["untested"]
    assert document["survivors"] == ["no-lease"]


def test_reports_on_real_processes_are_found_in_their_folders(tmp_path: Path) -> None:
    report = {
        "options": {"seed": 11, "minutes": 3.0},
        "figures": {"orders": 7, "orders_settled": 7, "faults_by_kind": {"Kill": 2}},
        "checks": [
            {"invariant": "I1", "claim": "c", "counted": "1", "must_be": "1", "holds": True},
            {"invariant": "I2", "claim": "d", "counted": "1", "must_be": "2", "holds": False},
        ],
    }
    (tmp_path / "seed-11").mkdir()
    (tmp_path / "seed-11" / "report.json").write_text(json.dumps(report))
    (tmp_path / "other.json").write_text("{}")
    assert load_chaos(tmp_path) == [ChaosRun(11, 3.0, 7, 7, {"Kill": 2}, 2, ("I2 d: 1, not 2",))]
    assert load_chaos(tmp_path / "missing") == []
