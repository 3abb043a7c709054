"""The benchmark's course: start twice, rest, closed loop, open loop.

Guarantee: each phase is measured on a warm stack that has finished the work of the phase before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bookstore.bench import workload
from bookstore.bench.bench_stack import (
    BenchStack,
    Measured,
    Timings,
    fresh_folder,
    keys,
    own_cpu_seconds,
    running,
)
from bookstore.bench.figures import Key, Spread, by_item, by_owner, total
from bookstore.bench.load_generator import LoadPlan
from bookstore.bench.machine import describe
from bookstore.bench.probes import (
    AWS,
    COMMITS,
    CPU,
    GATEWAY,
    HANDLED,
    ROLLBACKS,
    SENT,
    WRITES,
)

WARM_UP_ORDERS = 300
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What the user may choose. `keys`: whether orders carry an Idempotency-Key. `listeners`:
    whether search and notification run beside the services that an order waits for.
    """

    orders: int = 2000
    clients: int = 96
    rate: float = 100.0
    seconds: float = 15.0
    seed: int = 1
    keys: bool = True
    listeners: bool = False


@dataclass(frozen=True)
class Phase:
    """One load's figures, per confirmed order where they are costs."""

    name: str
    orders: int
    orders_per_second: float
    answer_ms: Spread
    confirmed_ms: Spread
    cpu_ms: Mapping[str, float]
    cpu_ms_total: float
    generator_cpu_ms: float
    supervisor_cpu_ms: float
    others_percent: float
    aws_calls: Mapping[str, float]
    aws_calls_by_process: Mapping[str, float]
    aws_calls_total: float
    commits: Mapping[str, float]
    commits_total: float
    rollbacks_total: float
    write_transactions: float
    gateway_calls: float
    messages_sent: float
    messages_handled: float


@dataclass(frozen=True)
class Report:
    """All of a run; `asdict` of it is the JSON file."""

    machine: Mapping[str, Any]
    options: Options
    ready: Timings
    resident_mib: Mapping[str, float]
    idle_cpu_percent: Mapping[str, float]
    idle_aws_calls_per_second: float
    phases: Mapping[str, Phase]


async def run(options: Options, say: Say) -> Report:
    """Measure; raises BenchError when the run cannot be counted, StackError when nothing starts."""
    machine = describe()
    async with fresh_folder() as folder:
        say("starting on an empty folder")
        async with running(folder, listeners=options.listeners) as (_, cold_seconds):
            pass
        say("starting again")
        async with running(folder, listeners=options.listeners) as (stack, warm_seconds):
            books = await stack.list_books(options.seed)
            say(f"warming up with {WARM_UP_ORDERS} orders")
            await measure_closed(stack, books, options, "warm-up", count=WARM_UP_ORDERS)
            say("resting")
            resident = await stack.rest()
            phases: dict[str, Phase] = {}
            say(f"closed loop: {options.orders} orders by {options.clients} clients")
            phases["closed"] = await measure_closed(stack, books, options, "closed")
            if options.keys:
                half = max(options.orders // 2, options.clients)
                say(f"closed loop without Idempotency-Key: {half} orders")
                phases["closed_without_keys"] = await measure_closed(
                    stack, books, options, "closed-without-keys", count=half, with_keys=False
                )
            say(f"open loop: {options.rate:g} orders/s for {options.seconds:g} s")
            phases["open"] = await measure_open(stack, books, options)
            return Report(
                machine=machine,
                options=options,
                ready=Timings(cold_seconds, warm_seconds),
                resident_mib={name: size / 2**20 for name, size in resident.items()},
                idle_cpu_percent={
                    name: 100 * rate for name, rate in by_owner(stack.idle, CPU).items()
                },
                idle_aws_calls_per_second=total(stack.idle, AWS),
                phases=phases,
            )


async def measure_closed(
    stack: BenchStack,
    books: list[dict[str, Any]],
    options: Options,
    name: str,
    *,
    count: int | None = None,
    with_keys: bool | None = None,
) -> Phase:
    """Clients that send, wait for the outcome and send again."""
    count = count or options.orders
    use_keys = options.keys if with_keys is None else with_keys
    plan = LoadPlan(
        url=f"{stack.endpoints['order']}/orders",
        bodies=workload.orders(options.seed, count, f"bench-{name}", books),
        keys=list(keys(count, options.seed, name)) if use_keys else None,
        clients=options.clients,
    )
    return await _measure(stack, plan, name)


async def measure_open(stack: BenchStack, books: list[dict[str, Any]], options: Options) -> Phase:
    """Orders at moments fixed beforehand, nobody waiting for outcomes."""
    arrivals = workload.arrival_seconds(options.seed, options.rate, options.seconds)
    plan = LoadPlan(
        url=f"{stack.endpoints['order']}/orders",
        bodies=workload.orders(options.seed, len(arrivals), "bench-open", books),
        keys=list(keys(len(arrivals), options.seed, "open")) if options.keys else None,
        arrivals_seconds=arrivals,
    )
    return await _measure(stack, plan, "open")


async def _measure(stack: BenchStack, plan: LoadPlan, name: str) -> Phase:
    own = own_cpu_seconds()
    measured = await stack.measure(plan)
    own = own_cpu_seconds() - own
    confirmed_ms = await stack.confirmation_ms(plan.bodies[0]["customer_id"])
    return phase_of(name, measured, confirmed_ms, own)


def phase_of(
    name: str, measured: Measured, confirmed_ms: list[float], supervisor_cpu_seconds: float
) -> Phase:
    """Divide what was spent by the orders that were confirmed."""
    load, orders = measured.load, measured.orders
    costs: dict[Key, float] = {key: value / orders for key, value in measured.costs.items()}
    return Phase(
        name=name,
        orders=orders,
        orders_per_second=orders / load.seconds,
        answer_ms=Spread.of(load.latencies_ms),
        confirmed_ms=Spread.of(confirmed_ms),
        cpu_ms={process: 1000 * spent for process, spent in by_owner(costs, CPU).items()},
        cpu_ms_total=1000 * total(costs, CPU),
        generator_cpu_ms=1000 * load.cpu_seconds / orders,
        supervisor_cpu_ms=1000 * supervisor_cpu_seconds / orders,
        others_percent=measured.others_percent,
        aws_calls=by_item(costs, AWS),
        aws_calls_by_process=by_owner(costs, AWS),
        aws_calls_total=total(costs, AWS),
        commits=by_owner(costs, COMMITS),
        commits_total=total(costs, COMMITS),
        rollbacks_total=total(costs, ROLLBACKS),
        write_transactions=total(costs, WRITES),
        gateway_calls=total(costs, GATEWAY),
        messages_sent=total(costs, SENT),
        messages_handled=total(costs, HANDLED),
    )
