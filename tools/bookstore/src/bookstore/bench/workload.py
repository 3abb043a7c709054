"""What a run asks of the stack: books, orders, and the moments at which orders arrive.

Guarantee: all of it follows from the seed, so that two runs ask for the same.
"""

import random
import uuid
from collections.abc import Sequence
from typing import Any

BOOKS = 500
STOCK = 1_000_000
CURRENCY = "EUR"
PAYMENT_METHOD = "pm_card_visa"
# Lines of an order, and how often it has that many: 1.5 on average.
LINES = (1, 2, 3)
LINE_WEIGHTS = (0.6, 0.3, 0.1)
_NAMESPACE = uuid.UUID("6f0c7a3e-2f0b-5a44-9f0e-2f6a2f6b7c11")


def books(seed: int, count: int = BOOKS) -> list[dict[str, Any]]:
    """Books as `POST /books/batch` takes them, with more stock than any run sells."""
    chance = random.Random(f"books {seed}")
    return [
        {
            "book_id": str(uuid.uuid5(_NAMESPACE, f"{seed} {number}")),
            "title": f"Benchmark volume {number}",
            "authors": ["A. Clerk"],
            "subjects": ["Benchmarks"],
            "language": "en",
            "price": {"amount_minor": chance.randrange(500, 5000), "currency": CURRENCY},
            "initial_stock": STOCK,
        }
        for number in range(count)
    ]


def orders(
    seed: int, count: int, customer_id: str, catalogue: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Bodies of `POST /orders`, each of 1 to 3 different books."""
    chance = random.Random(f"orders {seed} {customer_id}")
    return [
        {
            "customer_id": customer_id,
            "lines": [
                {
                    "book_id": book["book_id"],
                    "quantity": chance.randint(1, 3),
                    "unit_price": book["price"],
                }
                for book in chance.sample(catalogue, chance.choices(LINES, LINE_WEIGHTS)[0])
            ],
            "payment_method": PAYMENT_METHOD,
        }
        for _ in range(count)
    ]


def arrival_seconds(seed: int, rate: float, seconds: float) -> list[float]:
    """When orders arrive: `rate * seconds` moments, independent of each other and sorted.

    Independent arrivals are a Poisson process given its number of events: they come in bunches,
    as customers do, which an even pace would hide.
    """
    chance = random.Random(f"arrivals {seed}")
    return sorted(chance.uniform(0, seconds) for _ in range(round(rate * seconds)))
