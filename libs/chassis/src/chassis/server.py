"""Runs a service in one of its roles, from start to graceful end.

Guarantee: on SIGTERM or SIGINT the process takes nothing new, finishes what it has in hand,
publishes what it committed, and exits; a background task that dies takes the process with it,
so that whoever supervises it can start a whole one.

    web     HTTP API                worker   consumer and sweeps
    all     both in one process     migrate  bring the database's schema up to date, then exit
"""

import argparse
import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Iterator, Sequence

import uvicorn
import uvloop
from pydantic import ValidationError

from chassis.resources import Worker
from chassis.service import CannotStart, Service
from chassis.settings import ServiceSettings
from chassis.web import build_app
from observability import configure_logging, configure_tracing

log = logging.getLogger(__name__)

# Kubernetes and ECS kill after 30 s, `docker stop` after 10 s: what is at work gets the first part,
# and the sending of its results what is then left.
SHUTDOWN_SECONDS = 8.0
WORK_SECONDS = 6.0
# Requests and messages leave next to no cycles behind, so looking for them after each 700 new
# objects (Python's default) is wasted: a fourteenth of the CPU time of a busy worker.
GC_THRESHOLDS = (20_000, 20, 50)
# What shells say of a program that Ctrl-C ended: 128 + SIGINT.
INTERRUPTED = 130


def main(service: Service, argv: Sequence[str] | None = None) -> None:
    """The entry point of `python -m <package> web|worker|all|migrate`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {service.package}", description=f"{service.title}: one service, by role."
    )
    parser.add_argument("role", choices=service.roles)
    role = parser.parse_args(argv).role
    try:
        settings = service.settings()
    except ValidationError as error:
        for problem in error.errors():
            variable = "_".join(str(part) for part in problem["loc"]).upper()
            print(f"{service.package}: {variable}: {problem['msg']}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    configure_logging(
        f"{service.name}-{role}", level=settings.log_level, json=settings.log_format == "json"
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if role == "migrate":
            runner.run(service.migrate(settings))
        elif role in service.commands:
            with contextlib.suppress(KeyboardInterrupt):
                sys.exit(runner.run(_once(service, settings, role)))
            sys.exit(INTERRUPTED)
        else:
            try:
                sys.exit(runner.run(_serve(service, settings, role)))
            except CannotStart as error:
                print(f"{service.package}: {error}", file=sys.stderr)  # noqa: T201
                sys.exit(2)


class _Uvicorn(uvicorn.Server):
    """Signals are ours: they end the workers too, not only the web server."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _once(service: Service, settings: ServiceSettings, command: str) -> int:
    """Do one thing on open resources."""
    tracing = configure_tracing(service.name, otlp_endpoint=None, trace_file=None)
    async with service.open(settings, tracing, command) as resources:
        return await service.commands[command](resources)


async def _serve(service: Service, settings: ServiceSettings, role: str) -> int:
    tracing = configure_tracing(
        f"{service.name}-{role}",
        otlp_endpoint=settings.otel_exporter_otlp_endpoint,
        trace_file=settings.trace_file,
    )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopping.set)
    async with service.open(settings, tracing, role) as resources:
        parts = await service.compose(resources)
        workers: list[Worker] = []
        if role in ("worker", "all"):
            workers.extend(parts.workers)
            workers.extend(resources.keepers)
        if role in ("web", "all"):
            workers.extend(parts.web_workers)
        routers = parts.routers() if role != "worker" else ()
        app = build_app(service.title, resources, routers, parts.media_types, parts.check)
        server = _Uvicorn(
            uvicorn.Config(
                app,
                host=settings.http_host,
                port=settings.http_port,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",  # no websockets here, and their library costs memory
                timeout_graceful_shutdown=int(SHUTDOWN_SECONDS / 2),
                timeout_keep_alive=75,
            )
        )
        # What starting up needed is garbage now; what is left lives as long as the process, so the
        # collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        code = await _run_until(stopping, server, workers, resources.senders)
        for close in parts.closers:
            await close()
    tracing.shutdown()
    return code


async def _run_until(
    stopping: asyncio.Event,
    server: uvicorn.Server,
    workers: Sequence[Worker],
    senders: Sequence[Worker],
) -> int:
    """Run all until asked to stop or until one of them ends by itself; 0 if it was asked."""
    serving = asyncio.create_task(server.serve(), name="web server")
    sending = [asyncio.create_task(s.run(), name=type(s).__name__) for s in senders]
    working = [asyncio.create_task(w.run(), name=type(w).__name__) for w in workers]
    asked = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait(
        [asked, serving, *sending, *working], return_when=asyncio.FIRST_COMPLETED
    )
    failed = [task for task in done if task is not asked]
    for task in failed:
        reason = task.exception() if not task.cancelled() else None
        log.critical("%s ended by itself; the process ends too", task.get_name(), exc_info=reason)
    # First what takes work in, then what sends the results out.
    server.should_exit = True
    for worker in workers:
        worker.stop()
    began = asyncio.get_running_loop().time()
    await _settle([serving, *working], WORK_SECONDS)
    for sender in senders:
        sender.stop()
    used = asyncio.get_running_loop().time() - began
    await _settle(sending, SHUTDOWN_SECONDS - used)
    asked.cancel()
    return 1 if failed else 0


async def _settle(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        log.warning("%s did not finish in time; its messages will come again", task.get_name())
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
