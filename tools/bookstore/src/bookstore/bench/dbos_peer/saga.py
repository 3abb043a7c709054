"""The place_order saga as a DBOS Transact workflow, run by a process of its own.

Guarantee: it does what our saga does to stock and order (rows locked in a fixed order, checked,
once each), durably, and no more: where DBOS leaves a choice, it gets the cheaper one.

    reserve_stock -> authorize_payment -> capture_payment -> confirm_order

The payment steps call nobody outside, while ours ask the simulated gateway over HTTP. There is no
HTTP in front, no bus, no queue. A plan comes as one line of JSON on standard input, a line with
versions answers it; then each line `go N` is answered by a line of JSON with figures.
"""

# mypy: disable-error-code="import-not-found,untyped-decorator,no-any-return"
import json
import resource
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import psycopg
from dbos import DBOS, DBOSConfig

SCHEMA = """
CREATE TABLE IF NOT EXISTS books (
    book_id uuid PRIMARY KEY,
    on_hand integer NOT NULL CHECK (on_hand >= 0),
    reserved integer NOT NULL CHECK (reserved >= 0),
    sold integer NOT NULL
) WITH (fillfactor = 80);
CREATE TABLE IF NOT EXISTS orders (
    order_id uuid PRIMARY KEY,
    status text NOT NULL,
    lines jsonb NOT NULL,
    payment text
) WITH (fillfactor = 80);
"""
# One statement a step, so that a step is one round trip and one commit. Repeating a step changes
# nothing, as DBOS asks of steps: the first part then finds no row, and so do the others.
RESERVE = """
WITH placed AS (
    INSERT INTO orders VALUES (%s, 'pending', %s) ON CONFLICT DO NOTHING RETURNING order_id
), locked AS (
    SELECT book_id FROM books WHERE book_id = ANY(%s) AND EXISTS (SELECT FROM placed)
    ORDER BY book_id FOR UPDATE
)
UPDATE books SET on_hand = on_hand - copies, reserved = reserved + copies
FROM locked JOIN unnest(%s::uuid[], %s::integer[]) AS line (id, copies) ON id = locked.book_id
WHERE books.book_id = locked.book_id
"""
CONFIRM = """
WITH confirmed AS (
    UPDATE orders SET status = 'confirmed', payment = %s
    WHERE order_id = %s AND status = 'pending' RETURNING order_id
), locked AS (
    SELECT book_id FROM books WHERE book_id = ANY(%s) AND EXISTS (SELECT FROM confirmed)
    ORDER BY book_id FOR UPDATE
)
UPDATE books SET reserved = reserved - copies, sold = sold + copies
FROM locked JOIN unnest(%s::uuid[], %s::integer[]) AS line (id, copies) ON id = locked.book_id
WHERE books.book_id = locked.book_id
"""


class Connections:
    """One connection a thread, with prepared statements: psycopg at its cheapest."""

    def __init__(self) -> None:
        self.url = ""
        self._local = threading.local()

    def execute(self, statement: str, parameters: tuple[Any, ...]) -> None:
        """One statement, committed by itself."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = psycopg.connect(self.url, autocommit=True, prepare_threshold=1)
            self._local.connection = connection
        connection.execute(statement, parameters)


connections = Connections()


@DBOS.step()
def reserve_stock(order_id: str, lines: dict[str, int]) -> None:
    """Store the order and set its books aside."""
    ids = sorted(lines)
    copies = [lines[book_id] for book_id in ids]
    connections.execute(RESERVE, (order_id, json.dumps(lines), ids, ids, copies))


@DBOS.step()
def authorize_payment(order_id: str) -> str:
    """Asks nobody."""
    return f"pi_{order_id}"


@DBOS.step()
def capture_payment(payment: str) -> str:
    """Asks nobody."""
    return payment


@DBOS.step()
def confirm_order(order_id: str, lines: dict[str, int], payment: str) -> str:
    """Settle the order and sell its books."""
    ids = sorted(lines)
    copies = [lines[book_id] for book_id in ids]
    connections.execute(CONFIRM, (payment, order_id, ids, ids, copies))
    return "confirmed"


@DBOS.workflow()
def place_order(order_id: str, lines: dict[str, int]) -> str:
    """The saga without its compensations, which this load does not need."""
    reserve_stock(order_id, lines)
    payment = capture_payment(authorize_payment(order_id))
    return confirm_order(order_id, lines, payment)


def run(
    count: int, clients: int, orders: list[dict[str, int]], pool: ThreadPoolExecutor
) -> dict[str, Any]:
    """`count` sagas by `clients` threads, each waiting for its outcome before the next."""
    numbers = iter(range(count))
    outcomes: list[str] = []
    latencies_ms: list[float] = []

    def client() -> None:
        for number in numbers:
            began = time.perf_counter()
            outcomes.append(place_order(str(uuid.uuid4()), orders[number % len(orders)]))
            latencies_ms.append((time.perf_counter() - began) * 1000)

    cpu, began = _cpu_seconds(), time.perf_counter()
    for future in [pool.submit(client) for _ in range(clients)]:
        future.result()
    return {
        "confirmed": outcomes.count("confirmed"),
        "seconds": time.perf_counter() - began,
        "cpu_seconds": _cpu_seconds() - cpu,
        "latencies_ms": latencies_ms,
    }


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def prepare(plan: dict[str, Any]) -> None:
    """Tables and books."""
    with psycopg.connect(plan["url"]) as connection, connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        cursor.executemany(
            "INSERT INTO books VALUES (%s, %s, 0, 0) ON CONFLICT DO NOTHING",
            [(book_id, plan["stock"]) for book_id in plan["books"]],
        )


def main() -> None:
    """Prepare, warm up, then obey standard input until it closes."""
    plan = json.loads(sys.stdin.readline())
    connections.url = plan["url"]
    prepare(plan)
    config: DBOSConfig = {
        "name": "peer",
        "system_database_url": plan["system_url"],
        "sys_db_pool_size": plan["pool_size"],
        "log_level": "ERROR",
        "console_log_level": "ERROR",
        "enable_otlp": False,
        "use_listen_notify": plan["listen_notify"],
    }
    DBOS(config=config)
    DBOS.launch()
    clients, orders = plan["clients"], plan["orders"]
    with ThreadPoolExecutor(clients) as pool:
        run(plan["warm_up"], clients, orders, pool)
        versions = {name: version(name) for name in ("dbos", "psycopg", "sqlalchemy")}
        print(json.dumps(versions), flush=True)
        for line in sys.stdin:
            print(json.dumps(run(int(line.split()[1]), clients, orders, pool)), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main()
