"""Every fault that an operation of the bookstore's sagas offers is one that a plan can name.

Guarantee: none of its own.
"""

from bookstore_world.sagas import COURSES
from faults.explore import strikes_at
from faults.plan import Plan


def test_every_fault_on_offer_survives_being_written_down() -> None:
    # A twist that TWISTS does not know would be met, counted, and never performed.
    (course,) = (each for each in COURSES if each.name == "reads")
    for strike in strikes_at(course.run(Plan(), 0).visits):
        plan = Plan((strike,))
        assert Plan.parse(str(plan)) == plan
