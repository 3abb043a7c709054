"""What the bookstore consists of on one machine: servers, simulator, and each service by role.

Guarantee: the services get nothing here but environment variables, the same that compose and AWS
give them; nothing in them knows that the stack is local.
"""

import os
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stack import (
    NEVER,
    Completed,
    EmulatorServer,
    Event,
    HttpReady,
    PortAllocator,
    PostgresServer,
    Process,
    Supervisor,
    ValkeyServer,
    find_node,
    find_python,
)
from stack.supervisor import LineSink

# Those with a database, which is named after them; those without; and which of them run on Node.
DATABASES = ("order", "catalog", "payment")
SERVICES = (*DATABASES, "search", "notification", "fulfillment")
ON_NODE = {
    "fulfillment": Path(__file__).parents[4] / "services" / "fulfillment" / "src" / "main.ts"
}
HOST = "127.0.0.1"
REGION = "us-east-1"
# Not secrets: they open nothing but this stack, which listens on this machine only.
STRIPE_API_KEY = "sk_test_local"
WEBHOOK_SECRET = "whsec_local"  # noqa: S105
UNSUBSCRIBE_KEY = "unsubscribe-local"
# As many as the demo likes; SES begins with 14.
MAILS_PER_SECOND = "500"
# A parcel's steps take hours; here one can watch them.
PACKING_SECONDS = "1"
TRANSIT_SECONDS = "1"
# What the gateway has to tell that no answer to our own requests says.
WEBHOOK_EVENTS = "payment_intent.canceled,refund.updated,refund.failed"
DATA_VARIABLE = "BOOKSTORE_DATA"

# Of each, the variable that chooses its port, and the port that it has otherwise; a service that is
# not named here takes any.
DEFAULT_PORTS = {
    "order": ("ORDER_PORT", 8001),
    "catalog": ("CATALOG_PORT", 8002),
    "payment": ("PAYMENT_PORT", 8003),
    "search": ("SEARCH_PORT", 8004),
    "notification": ("NOTIFICATION_PORT", 8005),
    "fulfillment": ("FULFILLMENT_PORT", 8006),
    "stripe": ("STRIPE_SIMULATOR_PORT", 8009),
    "postgres": ("POSTGRES_PORT", 5433),
    "valkey": ("REDIS_PORT", 6380),
    "emulator": ("AWS_EMULATOR_PORT", 4566),
}
_COLORS = {
    "order": "green",
    "catalog": "cyan",
    "payment": "magenta",
    "search": "blue",
    "notification": "red",
    "fulfillment": "white",
}


def data_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The one folder of the stack's data: BOOKSTORE_DATA, or `.local` in the working directory."""
    return Path(environment.get(DATA_VARIABLE) or Path.cwd() / ".local").absolute()


@dataclass(frozen=True)
class LocalStack:
    """A stack that may be started: its processes, and where clients reach it.

    `notices` are for the user's eyes: a line for each default port that was taken.
    """

    data_dir: Path
    processes: list[Process]
    endpoints: dict[str, str]
    notices: tuple[str, ...] = ()

    def supervisor(
        self, *, sink: LineSink | None = None, on_event: Callable[[Event], None] | None = None
    ) -> Supervisor:
        """A supervisor for it; the caller starts and stops it."""
        return Supervisor(
            self.processes,
            self.data_dir,
            endpoints=self.endpoints,
            sink=sink,
            on_event=on_event,
            lock_hint="use it, or stop it with `make down`",
        )


def local_stack(
    data_dir: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    pick_ports: bool = False,
    service_environment: Mapping[str, str] | None = None,
    services: Collection[str] = SERVICES,
) -> LocalStack:
    """Declare the stack; raises StackError when a port that the user fixed is taken.

    `pick_ports`: take any free port, for stacks beside another. `service_environment` is given to
    every service on top of its own (tests shorten intervals, benchmarks raise pools). `services`:
    which of them run; messages to the others wait in their queues.
    """
    allocator = PortAllocator()
    ports = _choose_ports(allocator, environment, pick=pick_ports)
    postgres = PostgresServer(
        data_dir, ports["postgres"], databases=DATABASES, settings=_postgres_settings(environment)
    )
    valkey = ValkeyServer(data_dir, ports["valkey"])
    emulator = EmulatorServer(data_dir, ports["emulator"], find_python())
    urls = {name: f"http://{HOST}:{ports[name]}" for name in (*SERVICES, "stripe")}
    shared = {
        "AWS_ENDPOINT_URL": emulator.url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "LOG_FORMAT": environment.get("LOG_FORMAT", "console"),
        "LOG_LEVEL": environment.get("LOG_LEVEL", "INFO"),
        # A killed worker's messages come back this soon; in production it is 30 s.
        # Its lease is over by then, or the message would have to wait once more.
        "VISIBILITY_SECONDS": environment.get("VISIBILITY_SECONDS", "5"),
        "LEASE_SECONDS": environment.get("LEASE_SECONDS", "4"),
        **_given(environment, "OTEL_EXPORTER_OTLP_ENDPOINT", "TRACE_FILE"),
        **(service_environment or {}),
    }
    own: dict[str, dict[str, str]] = {
        "order": {},
        "catalog": {"REDIS_URL": valkey.url},
        "payment": {
            "STRIPE_API_KEY": STRIPE_API_KEY,
            "STRIPE_API_BASE": urls["stripe"],
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        },
        "search": {
            "REDIS_URL": valkey.url,
            "CATALOG_URL": urls["catalog"],
            "INDEX_PATH": str(data_dir / "search"),
            **_given(environment, "OPENSEARCH_URL"),
        },
        "notification": {
            "PUBLIC_URL": urls["notification"],
            "UNSUBSCRIBE_KEY": UNSUBSCRIBE_KEY,
            "MAILS_PER_SECOND": environment.get("MAILS_PER_SECOND", MAILS_PER_SECOND),
            "MAILBOX_URL": emulator.url,
        },
        "fulfillment": {
            "PACKING_SECONDS": environment.get("PACKING_SECONDS", PACKING_SECONDS),
            "TRANSIT_SECONDS": environment.get("TRANSIT_SECONDS", TRANSIT_SECONDS),
        },
    }
    for name in DATABASES:
        own[name]["DATABASE_URL"] = postgres.url(name)
    databases = {f"{name.upper()}_DATABASE_URL": postgres.url(name) for name in DATABASES}
    processes = [
        postgres.process(),
        valkey.process(),
        # The emulator forgets everything when it is killed, so each start applies the topology.
        replace(emulator.process(), provision=lambda: _apply_topology(emulator.url)),
        _simulator(data_dir, ports["stripe"], urls["payment"]),
        Process(
            name="prepare",
            argv=(sys.executable, "-m", "bookstore.prepare"),
            env=databases,
            readiness=Completed(),
            depends_on=(postgres.name,),
            restart=NEVER,
        ),
    ]
    for name in (each for each in SERVICES if each in services):
        color = _COLORS.get(name, "white")
        for role in ("web", "worker"):
            port = ports[name] if role == "web" else ports[f"{name}-worker"]
            processes.append(
                Process(
                    name=f"{name}-{role}",
                    argv=(*_program(name), role),
                    env={
                        **shared,
                        **own.get(name, {}),
                        "HTTP_HOST": HOST,
                        "HTTP_PORT": str(port),
                    },
                    readiness=HttpReady(f"http://{HOST}:{port}/health/ready"),
                    depends_on=("prepare", valkey.name, emulator.name, "stripe"),
                    color=color if role == "web" else f"bright_{color}",
                    port=port,
                )
            )
    workers = {f"{name}-worker": f"http://{HOST}:{ports[f'{name}-worker']}" for name in SERVICES}
    endpoints = {**urls, **workers, "aws": emulator.url, "redis": valkey.url, **databases}
    return LocalStack(data_dir, processes, endpoints, tuple(allocator.notices))


def _program(service: str) -> tuple[str, ...]:
    """What runs a service, all but its role."""
    if service in ON_NODE:
        return (str(find_node()), str(ON_NODE[service]))
    return (sys.executable, "-m", f"{service}_service")


async def _apply_topology(endpoint_url: str) -> None:
    from aiobotocore.session import AioSession

    from contracts import load_topology
    from messaging.topology import apply

    session = AioSession()
    session.set_credentials("test", "test")
    await apply(load_topology(), session, endpoint_url=endpoint_url, region=REGION)


def _choose_ports(
    allocator: PortAllocator, environment: Mapping[str, str], *, pick: bool
) -> dict[str, int]:
    ports: dict[str, int] = {}
    for name, (variable, default) in DEFAULT_PORTS.items():
        chosen = environment.get(variable)
        if pick and not chosen:
            ports[name] = allocator.pick()
            continue
        wanted = _port_number(variable, chosen) if chosen else default
        process = f"{name}-web" if name in SERVICES else name
        ports[name] = allocator.choose(process, wanted, fixed=bool(chosen), variable=variable)
    for name in SERVICES:
        if name not in ports:  # One that has no default takes any, as workers do.
            ports[name] = allocator.pick()
        ports[f"{name}-worker"] = allocator.pick()
    return ports


def _given(environment: Mapping[str, str], *names: str) -> dict[str, str]:
    """Those of the variables that are set."""
    return {name: environment[name] for name in names if environment.get(name)}


def _port_number(variable: str, text: str) -> int:
    from stack import StackError

    if not text.isdigit() or not 0 < int(text) < 65536:
        raise StackError(f"{variable} is {text!r}, and a port is a number from 1 to 65535")
    return int(text)


def _postgres_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """A laptop's stack keeps PostgreSQL durable, as production does, unless asked otherwise."""
    return {"synchronous_commit": environment.get("POSTGRES_SYNCHRONOUS_COMMIT", "on")}


def _simulator(data_dir: Path, port: int, payment_url: str) -> Process:
    return Process(
        name="stripe",
        argv=(sys.executable, "-m", "stripe_simulator"),
        env={
            "STRIPE_SIMULATOR_HOST": HOST,
            "STRIPE_SIMULATOR_PORT": str(port),
            "STRIPE_SIMULATOR_DATA": str(data_dir / "stripe.jsonl"),
            "STRIPE_API_KEY": STRIPE_API_KEY,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_WEBHOOK_URL": f"{payment_url}/webhooks/stripe",
            "STRIPE_WEBHOOK_EVENTS": WEBHOOK_EVENTS,
        },
        readiness=HttpReady(f"http://{HOST}:{port}/health/ready"),
        color="yellow",
        port=port,
    )
