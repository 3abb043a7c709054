"""`python -m bookstore_world`: the bookstore's sagas under fault."""

import sys

from faults.cli import Subject, main

SUBJECT = Subject(
    module="bookstore_world",
    scenarios="bookstore_world.sagas:COURSES",
    exhaustive="bookstore_world.sagas:EXHAUSTIVE",
    mutants="bookstore_world.mutants:MUTANTS",
    regressions="bookstore_world.regressions:REGRESSIONS",
    story="bookstore_world.course:story",
    stories="bookstore_world.stories:STORIES",
)

if __name__ == "__main__":
    sys.exit(main(SUBJECT))
