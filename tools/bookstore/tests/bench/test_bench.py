"""The benchmark's own arithmetic: percentiles, schedules, accounting, and an honest open loop."""

import asyncio
import math
import os
import subprocess
import sys

import pytest
from aiohttp import web

from bookstore.bench import bench_stack, load_generator, probes, workload
from bookstore.bench.figures import (
    CounterFellBack,
    Key,
    Sample,
    Spread,
    by_item,
    by_owner,
    difference,
    percentile,
    rates,
    spent,
    total,
)
from bookstore.bench.load_generator import LoadPlan
from bookstore.bench.marks import Mark

CPU = Key("cpu", "order-web")
CALLS = Key("aws calls", "order-web", "PutEvents")


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1.0), (1, 1.0), (50, 50.0), (99, 99.0), (99.1, 100.0), (100, 100)]
)
def test_percentile_is_a_measured_value(percent: float, expected: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == expected


def test_percentile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(percentile([], 50))
    assert Spread.of([]).count == 0


def test_one_slow_answer_of_a_hundred_shows_in_the_maximum_and_not_in_p99() -> None:
    spread = Spread.of([1.0] * 99 + [500.0])
    assert (spread.p50_ms, spread.p99_ms, spread.max_ms) == (1.0, 1.0, 500.0)


def test_arrivals_are_fixed_by_the_seed_and_have_the_rate_asked_for() -> None:
    arrivals = workload.arrival_seconds(seed=7, rate=100, seconds=15)
    assert arrivals == workload.arrival_seconds(seed=7, rate=100, seconds=15)
    assert arrivals != workload.arrival_seconds(seed=8, rate=100, seconds=15)
    assert len(arrivals) == 1500
    assert arrivals == sorted(arrivals)
    assert 0 <= arrivals[0] < arrivals[-1] <= 15


def test_orders_follow_from_the_seed_and_name_the_prices_of_the_books() -> None:
    books = workload.books(seed=1, count=20)
    orders = workload.orders(1, 200, "someone", books)
    assert orders == workload.orders(1, 200, "someone", workload.books(seed=1, count=20))
    prices = {book["book_id"]: book["price"] for book in books}
    for order in orders:
        ids = [line["book_id"] for line in order["lines"]]
        assert len(ids) == len(set(ids))
        assert all(line["unit_price"] == prices[line["book_id"]] for line in order["lines"])
    assert {len(order["lines"]) for order in orders} == set(workload.LINES)


def test_what_an_idle_stack_spends_while_it_settles_is_not_the_orders() -> None:
    before = Sample(100.0, {CPU: 5.0, CALLS: 10})
    after = Sample(130.0, {CPU: 9.0, CALLS: 110})
    costs = spent(before, after, idle={CPU: 0.1}, quiet_seconds=10)
    assert costs[CPU] == pytest.approx(3.0)
    assert costs[CALLS] == 100


def test_a_load_never_earns_anything() -> None:
    quiet = Sample(0.0, {CPU: 5.0}), Sample(10.0, {CPU: 5.1})
    assert spent(*quiet, idle={CPU: 0.1}, quiet_seconds=10)[CPU] == 0


def test_a_counter_that_appears_during_the_load_counts_from_zero() -> None:
    assert difference(Sample(0.0, {}), Sample(1.0, {CALLS: 3}))[CALLS] == 3


def test_a_process_that_started_again_spoils_the_measurement() -> None:
    with pytest.raises(CounterFellBack, match="order-web started again"):
        difference(Sample(0.0, {CALLS: 30}), Sample(1.0, {CALLS: 2}))


def test_rates_are_per_second() -> None:
    assert rates(Sample(10.0, {CALLS: 5}), Sample(14.0, {CALLS: 7}))[CALLS] == 0.5


def test_costs_are_summed_by_kind_owner_and_item() -> None:
    other = Key("aws calls", "payment-worker", "PutEvents")
    costs = {CALLS: 2.0, other: 3.0, CPU: 1.0}
    assert total(costs, "aws calls") == 5
    assert by_owner(costs, "aws calls") == {"order-web": 2, "payment-worker": 3}
    assert by_item(costs, "aws calls") == {"PutEvents": 5}


def test_metrics_are_read_by_process_and_operation() -> None:
    text = """
# TYPE aws_calls_total counter
aws_calls_total{operation="PutEvents"} 12.0
aws_calls_total{operation="ReceiveMessage"} 5.0
aws_calls_created{operation="PutEvents"} 1.7e+09
# TYPE messages_handled_total counter
messages_handled_total{type="ReserveStock",outcome="done"} 4.0
messages_handled_total{type="ReserveStock",outcome="duplicate"} 1.0
# TYPE payment_gateway_request_seconds histogram
payment_gateway_request_seconds_bucket{method="post",le="+Inf"} 8.0
payment_gateway_request_seconds_count{method="post"} 8.0
payment_gateway_request_seconds_sum{method="post"} 0.1
"""
    assert probes.parse_metrics("w", text) == {
        Key(probes.AWS, "w", "PutEvents"): 12,
        Key(probes.AWS, "w", "ReceiveMessage"): 5,
        Key(probes.HANDLED, "w", "ReserveStock"): 5,
        Key(probes.GATEWAY, "w", "post"): 8,
    }


def test_processor_time_of_children_that_have_ended_counts() -> None:
    before = probes.tree_cpu_seconds(os.getpid())
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", burn], check=True)
    assert probes.tree_cpu_seconds(os.getpid()) - before >= 0.25


def test_what_others_used_of_the_machine_is_what_is_left_of_its_time() -> None:
    machine = Key(probes.MACHINE, "everything")
    seconds = 10 * (os.cpu_count() or 1)
    before = Sample(0.0, {CPU: 0.0, machine: 0.0})
    after = Sample(10.0, {CPU: 0.3 * seconds, machine: 0.8 * seconds})
    assert bench_stack.others_percent(before, after, 0.1 * seconds) == pytest.approx(40)


def test_marks_know_their_direction() -> None:
    assert Mark("calls", 2.5, 2.5).is_met
    assert not Mark("calls", 2.6, 2.5).is_met
    assert not Mark("orders", 299, 300, at_most=False).is_met
    assert str(Mark("CPU", 4.0, 5.0, " ms")) == "✓ 4 ms (≤ 5 ms)"


class _Shop:
    """Answers each order after `seconds`, one at a time, and remembers the requests' headers."""

    def __init__(self, seconds: float, status: int) -> None:
        self.headers: list[dict[str, str]] = []
        self._seconds = seconds
        self._status = status
        self._turn = asyncio.Lock()

    async def handle(self, request: web.Request) -> web.Response:
        await request.read()
        self.headers.append(dict(request.headers))
        async with self._turn:
            await asyncio.sleep(self._seconds)
        return web.Response(status=self._status)


async def _load(shop: _Shop, **plan: object) -> load_generator.LoadResult:
    app = web.Application()
    app.router.add_post("/orders", shop.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/orders"
        return await load_generator.run(LoadPlan(url=url, **plan))  # type: ignore[arg-type]
    finally:
        await runner.cleanup()


async def test_open_loop_counts_the_wait_that_a_slow_stack_causes() -> None:
    """Ten at once, 20 ms each in a row: the last one's latency is all that it had to wait."""
    result = await _load(_Shop(0.02, 202), bodies=[{}] * 10, arrivals_seconds=[0.0] * 10)
    assert result.answers == {"202": 10}
    assert max(result.latencies_ms) >= 190
    assert percentile(result.latencies_ms, 50) >= 90


async def test_closed_loop_places_each_order_once_and_asks_to_wait() -> None:
    shop = _Shop(0.0, 201)
    keys = [f"key-{n}" for n in range(25)]
    result = await _load(shop, bodies=[{}] * 25, keys=keys, clients=4, wait_seconds=30)
    assert result.answers == {"201": 25}
    assert len(result.latencies_ms) == 25
    assert sorted(headers["Idempotency-Key"] for headers in shop.headers) == sorted(keys)
    assert {headers["Prefer"] for headers in shop.headers} == {"wait=30"}


async def test_load_generator_counts_a_connection_that_fails_as_an_answer() -> None:
    plan = LoadPlan(url="http://127.0.0.1:1/orders", bodies=[{}], clients=1)
    result = await load_generator.run(plan)
    assert result.answers == {"ClientConnectorError": 1}
