"""`bookstore demo`: real orders through the whole platform, faults included, then the accounts.

Guarantee: exit code 0 means that every order came to its expected end and every invariant holds,
1 that something did not (the last line says what to look at), 2 that the demo could not run, 130
that it was interrupted; in each case no process of the demo is left.
"""

import asyncio
import contextlib
import random
import sys
import time
from pathlib import Path

import typer

from bookstore.balance import UnreachableError, balance_sheet, wait_for_rest
from bookstore.catalog_import.errors import CatalogImportError
from bookstore.catalog_import.importer import import_books
from bookstore.data import CLASSICS
from bookstore.demo.listeners import (
    READER,
    mails_table,
    recommendations_table,
    recommended,
    search_table,
    searched,
)
from bookstore.demo.outcomes import Result, rows_of
from bookstore.demo.parcels import dispatched, parcels_table
from bookstore.demo.plan import TooFewBooksError, make_plan
from bookstore.demo.play import Player, Progress
from bookstore.demo.report import balance_table, first_failure, outcomes_table, timeline_table
from bookstore.demo.screen import SECONDS_BETWEEN_LINES, Screen, flush, plain_line
from bookstore.demo.session import Session, open_stack
from bookstore.demo.shop import Shop, ShopError
from bookstore.local_stack import data_folder
from stack import StackError, Supervisor, stop_signals

REST_SECONDS = 60.0
INTERRUPTED = 130


def run_demo(seed: int | None) -> None:
    """Run and tell the user; raises typer.Exit with the code to end with."""
    chosen = random.SystemRandom().randrange(100_000) if seed is None else seed
    screen = Screen()
    try:
        code = asyncio.run(_interruptible(chosen, data_folder(), screen))
    except (StackError, ShopError, CatalogImportError, UnreachableError) as error:
        flush()
        print(f"bookstore: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    except TooFewBooksError:
        flush()
        print(
            "bookstore: too few copies are left in this catalog for another demo: start afresh "
            "with `make clean`",
            file=sys.stderr,
        )
        raise typer.Exit(2) from None
    raise typer.Exit(code)


async def _interruptible(seed: int, data_dir: Path, screen: Screen) -> int:
    """Run; the first Ctrl-C ends it in order, the second kills what is still stopping."""
    started: list[Supervisor] = []
    running = asyncio.create_task(_run(seed, data_dir, screen, started))

    def stop() -> None:
        screen.note("stopping the stack ... (Ctrl-C again kills it)" if started else "stopping ...")
        running.cancel()

    def kill() -> None:
        for supervisor in started:
            supervisor.kill_now()

    with stop_signals(stop, kill):
        try:
            return await running
        except asyncio.CancelledError:
            screen.note("stopped")
            return INTERRUPTED


async def _run(seed: int, data_dir: Path, screen: Screen, started: list[Supervisor]) -> int:
    began = time.monotonic()
    async with open_stack(data_dir, screen, started) as session, Shop(session.endpoints) as shop:
        await _import_classics(session, screen)
        with screen.waiting("waiting until every service has heard of the books"):
            await wait_for_rest(session.endpoints, timeout_seconds=REST_SECONDS)
            found = await searched(shop)
        screen.console.print("", search_table(found), "")
        run = f"{seed}-{int(time.time())}"
        plan = make_plan(seed, run, await shop.books())
        screen.step(
            f"placing {plan.expected_orders} orders, seed {seed} "
            f"(the same again: make demo ARGS=--seed={seed})"
        )
        await shop.give_contact(plan.customer_id, READER)
        progress = Progress(plan, screen.event)
        player = Player(shop, session.processes, progress)
        await _play(player, progress, screen)
        cancelled = _cancelled_order(progress.results)
        timeline = await shop.order(cancelled) if cancelled else None
        with screen.waiting("waiting for recommendations"):
            viewed, recommendations = await recommended(
                shop, f"reader-{run}", list(progress.orders.values())
            )
        with screen.waiting("waiting for a parcel"):
            parcel = await dispatched(shop, list(progress.orders.values()))
        with screen.waiting("waiting until nothing moves, then counting"):
            checks = await balance_sheet(
                session.endpoints, acknowledged=player.acknowledged, settle_seconds=REST_SECONDS
            )
        if parcel is not None:  # By now it has arrived, perhaps.
            parcel = await shop.order(parcel["order_id"])
        rows = rows_of(plan.scenarios, progress.results)
        if timeline is not None:
            screen.console.print("", timeline_table(timeline))
        screen.console.print("", outcomes_table(rows))
        screen.console.print("", parcels_table(parcel, await shop.shipments()))
        screen.console.print("", recommendations_table(viewed, recommendations, shop.titles))
        mailbox = f"{session.endpoints.notification}/mailbox"
        screen.console.print("", mails_table(await shop.mails(), mailbox))
        screen.console.print("", balance_table(checks), "")
    failure = first_failure(rows, checks)
    seconds = time.monotonic() - began
    if failure is None:
        screen.step(
            f"[bold]{len(rows)} scenarios as expected, {len(checks)} checks hold[/] "
            f"[dim]- {seconds:.1f} s in all[/]"
        )
        return 0
    flush()
    screen.fail(f"{failure} (logs: {session.logs})")
    return 1


async def _import_classics(session: Session, screen: Screen) -> None:
    with screen.importing() as listener:
        report = await import_books(CLASSICS, session.endpoints.catalog, listener)
    screen.step(
        f"catalogue: {report.books} classics in {report.seconds:.1f} s "
        f"({report.created} new, {report.unchanged} there already)"
    )


async def _play(player: Player, progress: Progress, screen: Screen) -> None:
    async def plain_lines() -> None:
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_LINES)
            progress.tell(plain_line(progress))

    telling = None if screen.is_live else asyncio.create_task(plain_lines())
    try:
        with screen.playing(progress):
            await player.play()
    finally:
        if telling is not None:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
    unsettled = progress.unsettled
    said = f"{unsettled} orders are not settled" if unsettled else "all settled"
    progress.tell(f"{said}; {plain_line(progress)}")


def _cancelled_order(results: list[Result]) -> str | None:
    """One that went through both sagas."""
    return next((each.order_id for each in results if each.outcome == "cancelled"), None)
