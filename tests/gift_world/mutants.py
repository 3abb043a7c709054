"""Guards that the gift saga shows to be needed: two of the platform's, and some of its own.

Guarantee: every passage is the source's own text; one that has changed makes the list fail.
"""

from dataclasses import replace

from bookstore_world.mutants import MUTANTS as BOOKSTORE_MUTANTS
from faults.mutants import Mutant

_UNDONE = (("no-paper", ""),)
MUTANTS = (
    *(
        replace(each, killers=(("sent", "gifts-web:put_events(AuthorizePayment):lose"),))
        for each in BOOKSTORE_MUTANTS
        if each.name == "no-deadline"
    ),
    # The bookstore's own handlers are idempotent by their states, so that they hide its lack.
    Mutant(
        "no-inbox",
        15,
        "a copy of a handled message changes nothing",
        "messaging.transactions",
        "                is_fresh = attempt.message.id in fresh_ids\n",
        "                is_fresh = True\n",
        killers=(("sent", "gifts-web:put_events(AuthorizePayment):duplicate"),),
    ),
    Mutant(
        "points-kept",
        50,
        "a gift that is called off gives its points back",
        "gift_world.points",
        "-sum(points for _, points in taken)",
        "0",
        killers=_UNDONE,
    ),
    Mutant(
        "no-points-tombstone",
        36,
        "a gift that was called off takes no points any more",
        "gift_world.points",
        "    if called_off or books.balances",
        "    if books.balances",
        killers=(("sent", "gifts-web:put_events(AuthorizePayment):late"),),
    ),
    Mutant(
        "nothing-undone",
        50,
        "a saga that is refused undoes its earlier steps",
        "sagas.engine",
        "    while step >= 0 and saga.steps[step].compensation is None:\n",
        "    while step >= 0:\n",
        killers=_UNDONE,
    ),
)
