"""Plans as text: what is written is what is read, and what is no plan is refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.plan import KINDS, TWISTS, InvalidPlan, Plan, Site, Strike

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
PROCESSES = st.from_regex(r"[a-z][a-z0-9-]{0,12}", fullmatch=True)
# As gates name what an operation is done to: messages, tables, paths.
SUBJECTS = st.text("abcXYZ+,/._-: (#", max_size=20)
SITES = st.builds(Site, PROCESSES, NAMES, SUBJECTS, st.integers(1, 99))
STRIKES = st.builds(Strike, SITES, st.sampled_from([*KINDS, *TWISTS]))
PLANS = st.builds(Plan, st.lists(STRIKES, max_size=4).map(tuple))


@given(PLANS)
def test_plan_that_is_written_is_read_again(plan: Plan) -> None:
    assert Plan.parse(str(plan)) == plan


def test_line_of_a_report_is_a_plan() -> None:
    plan = Plan.parse("order-worker:commit(insert books, b):crash_after w:put_events(A+B)#2:late")

    assert plan.strikes == (
        Strike(Site("order-worker", "commit", "insert books, b"), "crash_after"),
        Strike(Site("w", "put_events", "A+B", 2), "late"),
    )


@pytest.mark.parametrize("text", ["", "  ", "no fault"])
def test_no_fault_is_a_plan_too(text: str) -> None:
    assert Plan.parse(text) == Plan()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nonsense", "'nonsense' is no fault at a site"),
        ("web:commit(A):late and more", "'and more' is no fault at a site"),
        ("so web:commit(A):late", "'so' is no fault at a site"),
        ("web:commit(A)", r"'web:commit\(A\)' is no fault at a site"),
        ("web:commit(A):explode", "'explode' is no kind of fault; there are crash_before, "),
    ],
)
def test_refusal_says_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(InvalidPlan, match=complaint):
        Plan.parse(text)


def test_number_of_a_visit_has_no_part_in_its_place() -> None:
    assert Site("web", "commit", "A", 3).place == Site("web", "commit", "A").place
