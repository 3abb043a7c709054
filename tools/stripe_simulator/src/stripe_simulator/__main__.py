"""`python -m stripe_simulator`: serve one simulator until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

import uvicorn

from stripe_simulator.app import create_app
from stripe_simulator.settings import Settings, event_types
from stripe_simulator.wire import CuttableProtocol

SHUTDOWN_SECONDS = 3


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 after a clean stop, 2 when it cannot start; the reason goes to stderr."""
    try:
        settings = _parse(arguments, Settings.from_environment(os.environ))
        listener = _listen(settings)
    except (ValueError, OSError) as error:
        print(f"stripe_simulator: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.WARNING, format="stripe_simulator: %(message)s")
    logging.getLogger("uvicorn.error").addFilter(_not_a_cut)
    with listener:
        print(f"stripe_simulator: http://{settings.host}:{listener.getsockname()[1]}", flush=True)
        server(settings).run(sockets=[listener])
    return 0


class Server(uvicorn.Server):
    """Ends a stop on request as a success; uvicorn's own dies of the signal once it is done."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def server(settings: Settings) -> Server:
    """The server, configured for little CPU per request; the caller brings the socket."""
    return Server(
        uvicorn.Config(
            create_app(settings),
            loop="uvloop",
            http=CuttableProtocol,
            ws="none",
            lifespan="on",
            access_log=False,
            log_level="warning",
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )


def _not_a_cut(record: logging.LogRecord) -> bool:
    """A connection that was cut as told is no error, though the server heard no answer."""
    return "without starting response" not in record.getMessage()


def _listen(settings: Settings) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OSError(
            f"cannot listen on {settings.host}:{settings.port} ({error.strerror});"
            " choose another with --port or STRIPE_SIMULATOR_PORT"
        ) from None
    return listener


def _parse(arguments: list[str] | None, settings: Settings) -> Settings:
    parser = argparse.ArgumentParser(
        prog="python -m stripe_simulator",
        description="A local Stripe for card payments, with faults on request.",
        epilog="Environment: STRIPE_SIMULATOR_HOST, STRIPE_SIMULATOR_PORT, STRIPE_SIMULATOR_DATA,"
        " STRIPE_SIMULATOR_REFUND_SECONDS, STRIPE_API_KEY, STRIPE_WEBHOOK_URL,"
        " STRIPE_WEBHOOK_SECRET, STRIPE_WEBHOOK_EVENTS, STRIPE_WEBHOOK_RETRY_SECONDS.",
    )
    parser.add_argument("--host", default=settings.host, help="default: %(default)s")
    parser.add_argument("--port", type=int, default=settings.port, help="0 picks a free one")
    parser.add_argument(
        "--data",
        type=Path,
        default=settings.data_file,
        metavar="FILE",
        help="keep all state in this journal; without it, in memory only",
    )
    parser.add_argument("--webhook-url", default=settings.webhook_url, metavar="URL")
    parser.add_argument("--webhook-events", metavar="TYPES", help="comma-separated, * for all")
    given = parser.parse_args(arguments)
    if not 0 <= given.port <= 65535:
        raise ValueError(f"--port must be from 0 to 65535, not {given.port}")
    return dataclasses.replace(
        settings,
        host=given.host,
        port=given.port,
        data_file=given.data,
        webhook_url=given.webhook_url,
        webhook_events=event_types(given.webhook_events)
        if given.webhook_events
        else settings.webhook_events,
    )


if __name__ == "__main__":
    sys.exit(main())
