"""The command line over a subject's scenarios: `python -m <subject> run|explore|mutants|report`.

Guarantee: what runs something ends with 0 only where nothing was violated and no mutant survived;
each failure is printed with the line that shows it again.
"""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from faults.explore import Tally, Triple, jobs_of, run_jobs
from faults.mutants import Mutant, StaleMutant, check
from faults.mutation import Verdict, judge_all, load
from faults.plan import InvalidPlan, Plan
from faults.postgres.embedded import embedded_postgres
from faults.report.material import Material, load_chaos
from faults.report.page import write
from faults.results import Exploration, Results, load_results
from faults.scenario import Scenario

SHOWN_FAILURES = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """What a team puts to the test. Texts refer to objects as `package.module:name`, since mutants
    have to be in place before anything of theirs is imported.

    `title` heads the report, and `command` is how a shell at the repository's root calls this
    command line. `scenarios` are hit once everywhere, `exhaustive` in pairs too; `regressions` are
    (scenario, plan, why) that once broke an invariant; `story` makes a scenario from one line, and
    `stories` draws them (a hypothesis strategy). For the report: `states` are the texts that
    outcomes may have in `reached`, `bugs` what was found so far (`findings.Bug`), `limits`
    sentences on what is not modelled. Those with a default may be missing.
    """

    module: str
    command: str
    scenarios: str
    exhaustive: str
    mutants: str
    title: str = "Sagas under fault"
    regressions: str = ""
    story: str = ""
    stories: str = ""
    states: str = ""
    bugs: str = ""
    limits: str = ""

    @classmethod
    def of(cls, module: str) -> "Subject":
        """A module with TRIALS in it, and MUTANTS in the module `mutants` beside it."""
        trials = f"{module}:TRIALS"
        package = module.rpartition(".")[0] or module
        return cls(
            module=f"faults {module}",
            command=f"python -m faults {module}",
            scenarios=trials,
            exhaustive=trials,
            mutants=f"{package}.mutants:MUTANTS",
        )


def main(subject: Subject, argv: Sequence[str] | None = None) -> int:
    """Run one command; the process's exit code."""
    arguments = _parser(subject).parse_args(argv)
    try:
        with ExitStack() as stack:
            if getattr(arguments, "postgres", False):
                arguments.postgres = stack.enter_context(embedded_postgres())
            _refuse_broken_results(getattr(arguments, "results", None))
        return int(arguments.command(subject, arguments))
    except (InvalidPlan, StaleMutant, _Mistake) as mistake:
        print(f"{subject.module}: {mistake}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)  # noqa: T201
        return 130


def _refuse_broken_results(path: Path | None) -> None:
    """Before the work, not after it: what is found has to go somewhere."""
    if path is None or not path.exists():
        return
    try:
        load_results(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _Mistake(f"{path} holds no results ({error}): delete it or name another") from None


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


class _Mistake(ValueError):
    """The user asked for something that is not there."""


def _parser(subject: Subject) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {subject.module}",
        description="Hits every operation of the sagas with every fault, in virtual time.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="one plan, to see a failure again")
    run.add_argument("scenario", help="a scenario's name, or a story such as 'stock=1 good*1'")
    run.add_argument("plan", nargs="*", help="faults at sites; none: the undisturbed run")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument("--trace", action="store_true", help="print every operation")
    _postgres(run)
    run.set_defaults(command=_run)

    explore = commands.add_parser("explore", help="every single; --depth 2: every pair")
    explore.add_argument("--depth", type=int, choices=(1, 2), default=1)
    explore.add_argument(
        "--triples",
        type=int,
        default=0,
        help="instead: so many a scenario, drawn by the seed",
    )
    explore.add_argument("--scenario", action="append", help="only this one; may be repeated")
    explore.add_argument("--seed", type=int, default=0)
    _postgres(explore)
    _common(explore)
    explore.set_defaults(command=_explore)

    drawn = commands.add_parser("random", help="random stories, schedules and faults")
    drawn.add_argument("--examples", type=_positive, default=500)
    drawn.add_argument("--seed", type=int, default=None, help="default: drawn, and printed")
    _common(drawn)
    drawn.set_defaults(command=_random)

    mutants = commands.add_parser("mutants", help="take each guard out; something must break")
    mutants.add_argument("names", nargs="*", help="only these")
    mutants.add_argument(
        "--search", action="store_true", help="where the known killers fail, try everything"
    )
    _common(mutants)
    mutants.set_defaults(command=_mutants)

    report = commands.add_parser("report", help="one HTML page from a file of results")
    report.add_argument("--results", type=Path, required=True, help="the JSON file to read")
    report.add_argument("--html", type=Path, required=True, help="the page; its JSON goes beside")
    report.add_argument("--chaos", type=Path, help="a folder of reports on real processes")
    report.set_defaults(command=_report)
    return parser


def _postgres(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--postgres",
        action="store_true",
        help="on a real PostgreSQL server, started for it, instead of databases in memory",
    )


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=_positive,
        default=os.cpu_count() or 1,
        help="processes (default: all cores)",
    )
    parser.add_argument("--results", type=Path, help="add what is found to this JSON file")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def _run(subject: Subject, arguments: argparse.Namespace) -> int:
    by_name: dict[str, Scenario] = {each.name: each for each in load(subject.scenarios)}
    scenario = by_name.get(arguments.scenario)
    if scenario is None:
        try:
            if not subject.story:
                raise ValueError(f"no story is told by {arguments.scenario!r}")
            scenario = load(subject.story)(arguments.scenario)
        except ValueError as error:
            known = ", ".join(by_name)
            raise _Mistake(f"{error}; there is no such scenario either: {known}") from None
    assert scenario is not None
    if arguments.postgres:
        scenario = scenario.on_postgres(arguments.postgres)
    plan = Plan.parse(" ".join(arguments.plan))
    outcome = scenario.run(plan, arguments.seed, keep_trace=arguments.trace)
    for line in outcome.trace:
        _say(line)
    for strike in set(plan.strikes) - set(outcome.met):
        _say(f"not met: {strike}")
    for violation in outcome.violations:
        _say(f"violated: {violation}")
    _say(
        f"{len(outcome.visits)} operations, {outcome.seconds:.0f} virtual seconds, repaired by: "
        f"{outcome.repairer}, trace {outcome.trace_hash[:16]}"
    )
    return 1 if outcome.violations else 0


def _explore(subject: Subject, arguments: argparse.Namespace) -> int:
    began = time.perf_counter()
    scenarios: list[Scenario] = list(
        load(subject.exhaustive if arguments.depth > 1 or arguments.triples else subject.scenarios)
    )
    if arguments.scenario:
        unknown = set(arguments.scenario) - {each.name for each in scenarios}
        if unknown:
            known = ", ".join(each.name for each in scenarios)
            raise _Mistake(f"no scenario {', '.join(sorted(unknown))}; there are {known}")
        scenarios = [each for each in scenarios if each.name in arguments.scenario]
    if arguments.postgres:
        scenarios = [each.on_postgres(arguments.postgres) for each in scenarios]
    jobs = [
        job
        for scenario in scenarios
        for job in (
            [Triple(scenario, arguments.seed, number) for number in range(arguments.triples)]
            or jobs_of(scenario, seed=arguments.seed, depth=arguments.depth)
        )
    ]
    progress = _progress(len(jobs), began)
    tally = run_jobs(jobs, workers=arguments.workers, on_progress=progress)
    if arguments.depth == 1 and subject.regressions and not arguments.scenario:
        _add_regressions(subject, tally)
    wall = time.perf_counter() - began
    layer = "triples" if arguments.triples else ("pairs" if arguments.depth > 1 else "singles")
    _summary(subject, layer, tally, wall, " --postgres" if arguments.postgres else "")
    if arguments.results:
        exploration = Exploration(layer, tally, wall, arguments.workers, arguments.seed)
        Results({layer: exploration}).save(arguments.results)
    return 1 if tally.failures else 0


def _add_regressions(subject: Subject, tally: Tally) -> None:
    """What has once broken an invariant is played again, whatever its depth."""
    by_name: dict[str, Scenario] = {each.name: each for each in load(subject.scenarios)}
    for name, text, _ in load(subject.regressions):
        scenario = by_name.get(name) or load(subject.story)(name)
        plan = Plan.parse(text)
        tally.add(name, plan, 0, scenario.run(plan, 0))


def _random(subject: Subject, arguments: argparse.Namespace) -> int:
    from faults.randomly import explore_randomly

    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    _say(f"seed {seed}")
    began = time.perf_counter()
    progress = _progress(arguments.examples, began)
    tally = explore_randomly(
        load(subject.stories), examples=arguments.examples, seed_number=seed, on_progress=progress
    )
    wall = time.perf_counter() - began
    _summary(subject, "random", tally, wall)
    if arguments.results:
        Results({"random": Exploration("random", tally, wall, 1, seed)}).save(arguments.results)
    return 1 if tally.failures else 0


def _progress(jobs: int, began: float) -> Callable[[int, Tally], None]:
    shown = [began]

    def show(done: int, tally: Tally) -> None:
        now = time.perf_counter()
        if now - shown[0] < 5 and done < jobs:
            return
        shown[0] = now
        left = (now - began) / done * max(jobs - done, 0)
        _say(
            f"  {done * 100 // jobs:3d} %  {tally.runs} runs, {len(tally.failures)} violate, "
            f"about {left:.0f} s left"
        )

    return show


def _summary(subject: Subject, layer: str, tally: Tally, wall: float, options: str = "") -> None:
    for failure in tally.failures[:SHOWN_FAILURES]:
        _say(f"VIOLATED: {'; '.join(failure.violations)}")
        _say(f"  again: {failure.again(subject.command, options)}")
    if len(tally.failures) > SHOWN_FAILURES:
        _say(f"... and {len(tally.failures) - SHOWN_FAILURES} more")
    verdict = f"{len(tally.failures)} runs violate" if tally.failures else "no violation"
    _say(
        f"{layer}: {tally.runs} runs, {len(tally.sites)} sites, {tally.faults_met} faults met, "
        f"{tally.virtual_seconds / 3600:.0f} virtual hours in {wall:.0f} s: {verdict} within "
        "these bounds"
    )


def _mutants(subject: Subject, arguments: argparse.Namespace) -> int:
    mutants: list[Mutant] = list(load(subject.mutants))
    if arguments.names:
        unknown = set(arguments.names) - {each.name for each in mutants}
        if unknown:
            raise _Mistake(f"no mutant {', '.join(sorted(unknown))}")
        mutants = [each for each in mutants if each.name in arguments.names]
    check(mutants)

    def show(verdict: Verdict) -> None:
        if verdict.killed:
            _say(f"killed    {verdict.mutant}: {verdict.violations[0]}")
            _say(f"          by {verdict.scenario}: {verdict.plan}")
        else:
            _say(f"SURVIVES  {verdict.mutant} after {verdict.runs} runs")

    verdicts = judge_all(
        mutants,
        subject.scenarios,
        workers=arguments.workers,
        search=arguments.search,
        on_verdict=show,
    )
    killed = sum(verdict.killed for verdict in verdicts)
    _say(f"mutants: {killed} of {len(verdicts)} killed")
    if arguments.results:
        Results(verdicts=verdicts).save(arguments.results)
    return 0 if killed == len(verdicts) else 1


def _report(subject: Subject, arguments: argparse.Namespace) -> int:
    if not arguments.results.exists():
        raise _Mistake(
            f"there are no results in {arguments.results}; make some first:\n"
            f"  {subject.command} explore --results {arguments.results}\n"
            f"  {subject.command} explore --depth 2 --results {arguments.results}\n"
            f"  {subject.command} mutants --results {arguments.results}"
        )
    material = Material(
        title=subject.title,
        command=subject.command,
        results=load_results(arguments.results),
        mutants=load(subject.mutants),
        states=load(subject.states),
        bugs=load(subject.bugs),
        limits=load(subject.limits),
        chaos=load_chaos(arguments.chaos) if arguments.chaos else (),
    )
    _say(f"{arguments.html}\n{write(material, arguments.html)}")
    return 0
