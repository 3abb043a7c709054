"""`python -m bookstore_world`: the bookstore's sagas under fault."""

import sys

from faults.cli import Subject, main

SUBJECT = Subject(
    title="The bookstore's sagas under fault",
    module="bookstore_world",
    command="PYTHONPATH=tests .venv/bin/python -m bookstore_world",
    scenarios="bookstore_world.sagas:COURSES",
    exhaustive="bookstore_world.sagas:EXHAUSTIVE",
    mutants="bookstore_world.mutants:MUTANTS",
    regressions="bookstore_world.regressions:REGRESSIONS",
    story="bookstore_world.course:story",
    stories="bookstore_world.stories:STORIES",
    states="bookstore_world.witness:STATES",
    bugs="bookstore_world.bugs:BUGS",
    limits="bookstore_world.limits:LIMITS",
)

if __name__ == "__main__":
    sys.exit(main(SUBJECT))
