"""Stories at random: who orders what on which shelf, with how many workers.

Guarantee: a story's name is the line that tells it again.
"""

from hypothesis import strategies as st

from bookstore_world.course import CARDS, Course, Wish, story

WISHES = st.builds(
    Wish, card=st.sampled_from(sorted(CARDS)), copies=st.integers(1, 2), cancel=st.booleans()
)


def _told(stock: int, workers: int, reconcile: bool, wishes: list[Wish]) -> Course:
    # What a bank does days later is told by the gateway alone, by its events or when it is asked.
    reconcile = reconcile or any(wish.card.startswith("refund") for wish in wishes)
    words = [f"stock={stock}", f"workers={workers}", f"reconcile={int(reconcile)}"]
    return story(" ".join([*words, *map(str, wishes)]))


STORIES = st.builds(
    _told,
    stock=st.integers(0, 4),
    workers=st.integers(1, 2),
    reconcile=st.booleans(),
    wishes=st.lists(WISHES, min_size=1, max_size=4),
)
