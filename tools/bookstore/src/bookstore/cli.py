"""The `bookstore` command: a table of contents.

Guarantee: nothing is imported but what the chosen command needs, so `bookstore --help` is instant.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run, try and measure the bookstore on this machine.",
)
catalog = typer.Typer(no_args_is_help=True, help="Fill the catalog.")
app.add_typer(catalog, name="catalog")

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="CATALOG_URL",
        help="The catalog's address.  [default: the running stack's, else http://127.0.0.1:8002]",
    ),
]

ProcessName = Annotated[str, typer.Argument(help="Such as payment-worker; see `status`.")]


@app.command()
def demo(
    seed: Annotated[
        int | None, typer.Option(help="Repeat a run's choices.  [default: another each time]")
    ] = None,
) -> None:
    """Place real orders through the whole platform, faults included; show the balance sheet.

    Uses the stack that runs here, or starts one for as long as it takes. Exits with 0 if every
    order came to its expected end and every invariant holds, 1 if not, 2 if it could not run.
    """
    from bookstore.demo.command import run_demo

    run_demo(seed)


@app.command()
def up() -> None:
    """Start the local stack in this terminal; Ctrl-C stops all of it."""
    from bookstore import stack_commands

    stack_commands.up()


@app.command()
def down() -> None:
    """Stop a stack that runs in another terminal."""
    from bookstore import stack_commands

    stack_commands.down()


@app.command()
def status() -> None:
    """Show what runs, on which ports."""
    from bookstore import stack_commands

    stack_commands.status()


@app.command()
def restart(name: ProcessName) -> None:
    """Restart one process of the running stack; returns when it is ready again."""
    from bookstore import stack_commands

    stack_commands.restart(name)


@app.command()
def kill(
    name: ProcessName,
    signal: Annotated[str, typer.Option(help="Such as SIGTERM or SIGSTOP.")] = "SIGKILL",
) -> None:
    """Kill one process of the running stack, to see what follows."""
    from bookstore import stack_commands

    stack_commands.kill(name, signal)


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="One process; all without it.")] = None,
    follow: Annotated[bool, typer.Option(help="Go on with what comes.")] = True,
) -> None:
    """Show the logs of the running stack."""
    from bookstore import stack_commands

    stack_commands.logs(name, follow)


@app.command("dead-letters")
def dead_letters() -> None:
    """Show what could not be handled, and why."""
    from bookstore import dead_letter_commands

    dead_letter_commands.dead_letters()


@app.command()
def redrive(
    service: Annotated[str, typer.Argument(help="Whose dead letters, such as 'payment'.")],
    reason: Annotated[
        str | None, typer.Option(help="Only those of this reason, such as contract_violation.")
    ] = None,
) -> None:
    """Send dead letters back to their queue, once their cause is mended."""
    from bookstore import dead_letter_commands

    dead_letter_commands.redrive_letters(service, reason)


@app.command()
def clean() -> None:
    """Remove the stack's data."""
    from bookstore import stack_commands

    stack_commands.clean()


@catalog.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV (, ; or tab) or JSON Lines, in UTF-8.")],
    url: Url = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="Take FIELD from COLUMN; repeatable."),
    ] = None,
    format_: Annotated[
        Literal["csv", "jsonl"] | None,
        typer.Option("--format", help="If the file's name does not tell."),
    ] = None,
    currency: Annotated[
        str, typer.Option(help="Currency of prices that do not name theirs.")
    ] = "EUR",
    require_price: Annotated[
        bool, typer.Option("--require-price", help="Refuse rows without a price; invent no stock.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check the file, send nothing.")
    ] = False,
    errors: Annotated[
        Path | None, typer.Option("--errors", help="Write faulty rows here, as JSON Lines.")
    ] = None,
) -> None:
    """Import a file of books. Safe to run again: what is there already stays as it is.

    Columns are found by their names: title (original_title), authors (author), isbn13 (isbn),
    language (lang, language_code), year (publication_year, original_publication_year), subjects
    (genres, tags), price (amount) as in 12.99, price_minor in cents, currency, stock (quantity),
    source_id (book_id, id). Only title and authors are required; several authors or subjects are
    divided by ; or ,. A row without a price or stock gets a made-up one, the same on each run. Of
    two rows that are the same book the first counts.

    Exits with 0 if every row is in the catalog, 1 if some are not, 2 if the file cannot be used
    or the catalog does not answer.
    """
    from bookstore.catalog_import.command import run_import

    run_import(
        file,
        url,
        overrides=map_ or [],
        format_=format_,
        currency=currency,
        require_price=require_price,
        dry_run=dry_run,
        errors_file=errors,
    )


@catalog.command("seed")
def seed(url: Url = None) -> None:
    """Import the starting catalogue: a few hundred classics in the public domain."""
    from bookstore.catalog_import.command import run_import
    from bookstore.data import CLASSICS

    run_import(CLASSICS, url)


@app.command("bench")
def bench(
    orders: Annotated[int, typer.Option(min=1, help="Orders of the closed loop.")] = 2000,
    clients: Annotated[int, typer.Option(min=1, max=1000, help="Clients at once.")] = 96,
    rate: Annotated[float, typer.Option(min=0.1, help="Orders a second, open loop.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, help="Length of the open loop.")] = 15,
    json: Annotated[Path | None, typer.Option(help="Write all figures here.")] = None,
    seed: Annotated[int, typer.Option(help="Which books and orders.")] = 1,
    idempotency_keys: Annotated[
        bool,
        typer.Option(
            "--idempotency-keys/--no-idempotency-keys",
            help="Send an Idempotency-Key with each order, and measure without them besides.",
        ),
    ] = True,
) -> None:
    """Measure a fresh stack: orders/s, latencies, CPU and calls an order, memory, start."""
    from bookstore.bench.commands import run_bench
    from bookstore.bench.scenario import Options

    run_bench(Options(orders, clients, rate, seconds, seed, idempotency_keys), json)


@app.command("bench-peers")
def bench_peers(
    sagas: Annotated[int, typer.Option(min=1, help="Sagas a turn.")] = 1000,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 2,
    clients: Annotated[int, typer.Option(min=1, max=1000, help="Our clients at once.")] = 96,
    json: Annotated[Path | None, typer.Option(help="Write all figures here.")] = None,
    seed: Annotated[int, typer.Option(help="Which books and orders.")] = 1,
) -> None:
    """Compare with DBOS Transact: the same saga work, the same PostgreSQL, in turns."""
    from bookstore.bench.commands import run_bench_peers

    run_bench_peers(sagas, rounds, clients, seed, json)
