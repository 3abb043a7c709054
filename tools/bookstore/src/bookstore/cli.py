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
    help="Run, try and measure the bookstore on this machine.\n\nBegin with `bookstore demo`, or "
    "`bookstore up` and then, in another terminal, the others.",
)
catalog = typer.Typer(no_args_is_help=True, help="Fill the catalog of a running stack with books.")
app.add_typer(catalog, name="catalog", rich_help_panel="Operate what runs")

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="CATALOG_URL",
        metavar="URL",
        help="The catalog's address.",
        show_default="of the stack that runs here, else http://127.0.0.1:8002",
    ),
]

JsonFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Also write all figures to FILE, unrounded.")
]

ProcessName = Annotated[
    str, typer.Argument(help="Such as payment-worker; `bookstore status` lists them.")
]


@app.command(rich_help_panel="Run")
def demo(
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="Make the choices of the run that printed this seed.",
            show_default="another each time",
        ),
    ] = None,
) -> None:
    """Place real orders through the whole platform, faults included; show the balance sheet.

    Takes about 20 seconds. Uses the stack that `bookstore up` runs here, or else starts one of its
    own and stops it at the end; the orders stay in the data folder (.local, or BOOKSTORE_DATA).

    Exits with 0 if every order came to its expected end and every invariant holds, 1 if not, 2 if
    it could not run, 130 after Ctrl-C.
    """
    from bookstore.demo.command import run_demo

    run_demo(seed)


@app.command(rich_help_panel="Run")
def up() -> None:
    """Start the local stack in this terminal; Ctrl-C stops all of it.

    Data are kept in .local, or in the folder that BOOKSTORE_DATA names. Ports are chosen by
    ORDER_PORT, CATALOG_PORT, PAYMENT_PORT, STRIPE_SIMULATOR_PORT, POSTGRES_PORT, REDIS_PORT and
    AWS_EMULATOR_PORT; a default one that is taken is replaced, and a line says by which.
    """
    from bookstore import stack_commands

    stack_commands.up()


@app.command(rich_help_panel="Run")
def down() -> None:
    """Stop a stack that runs in another terminal."""
    from bookstore import stack_commands

    stack_commands.down()


@app.command(rich_help_panel="Run")
def status() -> None:
    """Show what runs, on which ports."""
    from bookstore import stack_commands

    stack_commands.status()


@app.command(rich_help_panel="Operate what runs")
def restart(name: ProcessName) -> None:
    """Restart one process of the running stack; returns when it is ready again."""
    from bookstore import stack_commands

    stack_commands.restart(name)


@app.command(rich_help_panel="Operate what runs")
def halt(name: ProcessName) -> None:
    """Stop one process of the running stack, to see how the others get along without it."""
    from bookstore import stack_commands

    stack_commands.halt(name)


@app.command(rich_help_panel="Operate what runs")
def resume(name: ProcessName) -> None:
    """Start a process that was halted; returns when it is ready."""
    from bookstore import stack_commands

    stack_commands.resume(name)


@app.command(rich_help_panel="Operate what runs")
def reindex() -> None:
    """Build the search index anew from the running catalog; searches go on meanwhile."""
    from bookstore import stack_commands

    raise typer.Exit(stack_commands.reindex())


@app.command(rich_help_panel="Operate what runs")
def kill(
    name: ProcessName,
    signal: Annotated[str, typer.Option(help="Such as SIGTERM or SIGSTOP.")] = "SIGKILL",
) -> None:
    """Kill one process of the running stack, to see how the others get along; it comes back."""
    from bookstore import stack_commands

    stack_commands.kill(name, signal)


@app.command(rich_help_panel="Run")
def logs(
    name: Annotated[str | None, typer.Argument(help="One process; all without it.")] = None,
    follow: Annotated[bool, typer.Option(help="Go on with what comes.")] = True,
) -> None:
    """Show the logs of the running stack."""
    from bookstore import stack_commands

    stack_commands.logs(name, follow)


@app.command("dead-letters", rich_help_panel="Operate what runs")
def dead_letters() -> None:
    """Show what could not be handled, and why."""
    from bookstore import dead_letter_commands

    dead_letter_commands.dead_letters()


@app.command(rich_help_panel="Operate what runs")
def redrive(
    service: Annotated[str, typer.Argument(help="Whose dead letters, such as 'payment'.")],
    reason: Annotated[
        str | None, typer.Option(help="Only those of this reason, such as contract_violation.")
    ] = None,
) -> None:
    """Send dead letters back to their queue, once their cause is mended."""
    from bookstore import dead_letter_commands

    dead_letter_commands.redrive_letters(service, reason)


@app.command(rich_help_panel="Run")
def clean() -> None:
    """Remove the stack's data: books, orders, payments, logs. The stack must be stopped."""
    from bookstore import stack_commands

    stack_commands.clean()


@catalog.command("import")
def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV (divided by comma, semicolon or tab) or JSON Lines, in UTF-8.",
        ),
    ],
    url: Url = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Take FIELD from the file's COLUMN, as in title=Name; repeatable.",
        ),
    ] = None,
    format_: Annotated[
        Literal["csv", "jsonl"] | None,
        typer.Option("--format", help="The file's format.", show_default="by its name"),
    ] = None,
    currency: Annotated[
        str, typer.Option(metavar="CODE", help="Currency of prices that do not name theirs.")
    ] = "EUR",
    require_price: Annotated[
        bool,
        typer.Option(
            "--require-price", help="Refuse rows without a price; without a stock it is 0."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and check the file, send nothing.")
    ] = False,
    errors: Annotated[
        Path | None,
        typer.Option(
            "--errors", metavar="FILE", help="Also write the faulty rows to FILE, as JSON Lines."
        ),
    ] = None,
) -> None:
    """Import a file of books into the running catalog.

    Safe to run again: no book is listed twice, and one whose data differ is revised.

    A book needs title and authors. Columns are found by their names, whatever their case:

    \b
    FIELD        column
    title        title, book_title, original_title
    authors      authors, author; several are divided by ; or ,
    isbn         isbn13, isbn, isbn10
    language     language_code, language, lang
    year         original_publication_year, publication_year, year
    subjects     subjects, subject, genres, genre, tags; divided as authors are
    price        price, amount: as in 12.99
    price_minor  price_minor, amount_minor: in cents
    currency     currency
    stock        initial_stock, stock, quantity
    source_id    source_id, book_id, work_id, id

    A row without a price or a stock gets a made-up one, the same on each run. Of two rows that are
    the same book the first counts.

    Exits with 0 if every row is in the catalog, 1 if some are not (each is named on standard
    error), 2 if the file cannot be used or the catalog does not answer, 130 after Ctrl-C.
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


@app.command("bench", rich_help_panel="Measure")
def bench(
    orders: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="Closed loop: how many orders.")
    ] = 2000,
    clients: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, max=1000, help="Closed loop: clients at once.")
    ] = 96,
    rate: Annotated[
        float, typer.Option(metavar="NUMBER", min=0.1, help="Open loop: orders a second.")
    ] = 100,
    seconds: Annotated[
        float, typer.Option(metavar="NUMBER", min=1, help="Open loop: its length.")
    ] = 15,
    json: JsonFile = None,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="Decides which books and orders.")
    ] = 1,
    idempotency_keys: Annotated[
        bool,
        typer.Option(
            "--idempotency-keys/--no-idempotency-keys",
            help="Send a key with each order, and repeat the closed loop without; or only without.",
            show_default="with keys",
        ),
    ] = True,
    listeners: Annotated[
        bool,
        typer.Option(
            "--listeners",
            help="With search, notification and fulfillment, which no order waits for.",
        ),
    ] = False,
) -> None:
    """Measure a fresh stack: orders/s, latencies, CPU and calls an order, memory, start.

    The stack is a temporary one on free ports, beside whatever runs. Closed loop: each client sends
    its next order once the last has its outcome, which shows the most that the stack can do. Open
    loop: orders come at their own times, whether the stack keeps up or not, which shows how long
    customers wait. Takes about three minutes; docs/performance.md explains every figure.

    Exits with 0 if it could be measured, whatever the figures, and 2 if not.
    """
    from bookstore.bench.commands import run_bench
    from bookstore.bench.scenario import Options

    run_bench(Options(orders, clients, rate, seconds, seed, idempotency_keys, listeners), json)


@app.command("bench-peers", rich_help_panel="Measure")
def bench_peers(
    sagas: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="Sagas in a turn.")] = 1000,
    rounds: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="Turns that each of both gets.")
    ] = 2,
    clients: Annotated[
        int,
        typer.Option(
            metavar="NUMBER", min=1, max=1000, help="Clients at once, in the bookstore's turns."
        ),
    ] = 96,
    json: JsonFile = None,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="Decides which books and orders.")
    ] = 1,
) -> None:
    """Compare with DBOS Transact: the same saga work, the same PostgreSQL, in turns.

    `make bench-peers` installs it first, into an environment of its own.
    """
    from bookstore.bench.commands import run_bench_peers

    run_bench_peers(sagas, rounds, clients, seed, json)


@app.command("search-eval", rich_help_panel="Measure")
def search_eval(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Books, as `bookstore catalog import` takes them."),
    ],
    sample: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="How many of the books to ask for.")
    ] = 2000,
    seed: Annotated[
        int, typer.Option(metavar="NUMBER", help="Decides which books and typing errors.")
    ] = 1,
    json: JsonFile = None,
) -> None:
    """Measure the embedded search on a file of books: what is found, how high, how fast.

    Indexes the file in a temporary folder, then asks for books by their title, whole, begun or
    misspelt, and by their author. Takes about a minute; docs/search.md explains the figures.

    Exits with 0 if it could be measured, whatever the figures, and 2 if not.
    """
    from bookstore.search_eval.command import run_search_eval

    run_search_eval(file, sample, seed, json)
