"""'Customers also bought' as a pure function of the interactions."""

import random
from collections import Counter
from collections.abc import Iterable

import pytest

from search_service.also_bought import AlsoBought, Event, Limits, also_bought

DAY = 24 * 3600.0


def basket(customer: str, *books: str, kind: str = "order", at: float = 0.0) -> list[Event]:
    return [(customer, book, kind, at) for book in books]


def baskets_of(events: Iterable[Event], **arguments: object) -> AlsoBought:
    baskets = AlsoBought(**arguments)  # type: ignore[arg-type]
    for event in events:
        baskets.add(event)
    return baskets


def neighbours_of(book: str, events: Iterable[Event], **arguments: object) -> dict[str, float]:
    rows = baskets_of(events, **arguments).neighbours()
    return {each.book_id: dict(each.books) for each in rows}.get(book, {})


def random_events(count: int, seed: int) -> list[Event]:
    rng = random.Random(seed)
    return [
        (f"c{rng.randrange(40)}", f"b{rng.randrange(30)}", rng.choice(["order", "view"]), index)
        for index in range(count)
    ]


def test_similarity_is_the_cosine_times_its_trust() -> None:
    events = basket("ada", "emma", "ulysses") + basket("bob", "emma")
    # sum w w / (norm norm) = 1 / (sqrt(2) * 1), from one customer: 1 / (1 + 50)
    expected = 1 / 2**0.5 / 51
    assert neighbours_of("emma", events) == pytest.approx({"ulysses": expected})
    assert neighbours_of("ulysses", events) == pytest.approx({"emma": expected})


def test_one_lucky_pair_does_not_beat_a_well_supported_one() -> None:
    events = basket("ada", "emma", "rarity")
    events += [each for n in range(5) for each in basket(f"b{n}", "emma", "persuasion")]
    events += [each for n in range(30) for each in basket(f"c{n}", "persuasion")]
    bare = neighbours_of("emma", events, shrinkage=0.0)
    assert bare["rarity"] > bare["persuasion"]
    shrunk = neighbours_of("emma", events)
    assert shrunk["persuasion"] > 2 * shrunk["rarity"]


def test_an_order_counts_more_than_any_number_of_views() -> None:
    events = basket("ada", "emma", "ulysses")
    events += basket("bob", "emma", "walden")
    events += [view for _ in range(9) for view in basket("cyd", "emma", "walden", kind="view")]
    events += basket("cyd", "ulysses") + basket("bob", "ulysses", kind="view")
    weights = dict(baskets_of(events).popularity().books)
    assert weights == pytest.approx({"emma": 2.2, "ulysses": 2.2, "walden": 1.2})


def test_viewed_and_then_ordered_counts_as_ordered() -> None:
    events = basket("ada", "emma", kind="view") + basket("ada", "emma")
    assert baskets_of(events).popularity().books == [("emma", 1.0)]


def test_basket_is_bounded_to_its_newest_books() -> None:
    events = [("ada", f"b{index:03d}", "order", float(index)) for index in range(500)]
    baskets = baskets_of(events, limits=Limits(basket=10))
    popular = {book for book, _ in baskets.popularity().books}
    assert popular == {f"b{index:03d}" for index in range(490, 500)}
    assert len(baskets._baskets["ada"]) < 20


def test_customers_are_bounded_by_a_sample_that_no_order_changes() -> None:
    events = [(f"c{index}", "emma", "order", 0.0) for index in range(1000)]
    forth = baskets_of(events, limits=Limits(customers=100))
    back = baskets_of(reversed(events), limits=Limits(customers=100))
    assert set(forth._baskets) == set(back._baskets)
    assert 25 <= len(forth._baskets) <= 100


def test_order_of_interactions_makes_no_difference() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    events = random_events(600, seed)
    shuffled = random.Random(seed).sample(events, len(events))
    assert also_bought(events)[0] == also_bought(shuffled)[0]


def test_rows_are_those_of_the_whole_matrix() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    events = random_events(400, seed)
    rows, _ = also_bought(events)
    weights: dict[tuple[str, str], float] = {}
    for customer, book, kind, _ in events:
        weight = {"order": 1.0, "view": 0.2}[kind]
        weights[customer, book] = max(weight, weights.get((customer, book), 0.0))
    customers = {customer for customer, _ in weights}
    for one, other in (("b0", "b1"), ("b2", "b3"), ("b4", "b5")):
        both = [c for c in customers if (c, one) in weights and (c, other) in weights]
        product = sum(weights[c, one] * weights[c, other] for c in both)
        norms = [
            sum(weights.get((c, book), 0.0) ** 2 for c in customers) ** 0.5 for book in (one, other)
        ]
        expected = product / (norms[0] * norms[1]) * len(both) / (len(both) + 50)
        found = dict(rows[one])
        if other in found:
            assert found[other] == pytest.approx(expected)
        else:
            assert len(rows[one]) == 20
            assert min(found.values()) >= expected


def test_similarity_is_symmetric_and_a_book_is_no_neighbour_of_itself() -> None:
    rows, _ = also_bought(random_events(300, 5))
    for book, neighbours in rows.items():
        for other, similarity in neighbours:
            assert other != book
            assert 0 < similarity < 1
            assert dict(rows[other]).get(book, similarity) == pytest.approx(similarity)


def test_only_the_best_neighbours_are_told_best_first() -> None:
    books = [f"b{index}" for index in range(40)]
    events = [event for index in range(30) for event in basket(f"c{index}", *books[: index + 2])]
    row = also_bought(events)[0]["b0"]
    assert len(row) == 20
    assert row == sorted(row, key=lambda each: (-each[1], each[0]))


def test_old_baskets_count_less_with_a_half_life() -> None:
    events = basket("ada", "emma", at=0.0) + basket("bob", "ulysses", at=10 * DAY)
    popular = dict(baskets_of(events, half_life_seconds=10 * DAY).popularity().books)
    assert popular == pytest.approx({"ulysses": 1.0, "emma": 0.5})


def test_book_bought_alone_has_no_neighbours_and_is_counted() -> None:
    rows, popularity = also_bought(basket("ada", "emma"))
    assert rows == {}
    assert popularity.books == [("emma", 1.0)]
    assert Counter(customers=popularity.customers, interactions=popularity.interactions) == {
        "customers": 1,
        "interactions": 1,
    }


def test_no_interactions_give_no_neighbours() -> None:
    rows, popularity = also_bought([])
    assert (rows, popularity.books, popularity.customers) == ({}, [], 0)
