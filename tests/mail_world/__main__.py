"""`python -m mail_world`: the notification service under fault."""

import sys

from faults.cli import Subject, main

SUBJECT = Subject(
    title="The bookstore's mails under fault",
    module="mail_world",
    command="PYTHONPATH=tests .venv/bin/python -m mail_world",
    scenarios="mail_world.courses:COURSES",
    exhaustive="mail_world.courses:EXHAUSTIVE",
    mutants="mail_world.mutants:MUTANTS",
    regressions="mail_world.regressions:REGRESSIONS",
    story="mail_world.courses:told",
    states="mail_world.watch:STATES",
    bugs="mail_world.bugs:BUGS",
    limits="mail_world.limits:LIMITS",
)

if __name__ == "__main__":
    sys.exit(main(SUBJECT))
