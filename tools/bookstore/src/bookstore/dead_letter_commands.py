"""`bookstore dead-letters | redrive`: what could not be handled, and the way back.

Guarantee: looking changes nothing; a redrive loses nothing.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from rich.console import Console
from rich.table import Table

from bookstore.local_stack import REGION, SERVICES, data_folder
from bookstore.stack_commands import told_plainly
from contracts import load_topology
from messaging.dead_letters import look, redrive
from stack import StackError, read_state

console = Console()


def dead_letters() -> None:
    """Show what lies in the running stack's dead-letter queues, and why."""

    async def show() -> None:
        async with AsyncExitStack() as stack:
            sqs = await _sqs(stack)
            table = Table("service", "message", "subject", "reason", "received")
            for service in SERVICES:
                _, dead = await _urls(sqs, service)
                for letter in await look(sqs, dead):
                    table.add_row(
                        service,
                        letter.type,
                        letter.subject,
                        f"{letter.reason_code}: {letter.reason}",
                        str(letter.receives),
                    )
            console.print(table if table.row_count else "no dead letters")

    with told_plainly():
        asyncio.run(show())


def redrive_letters(service: str, reason_code: str | None = None) -> None:
    """Send a service's dead letters back to its queue, once their cause is mended."""

    async def send_back() -> int:
        async with AsyncExitStack() as stack:
            sqs = await _sqs(stack)
            queue, dead = await _urls(sqs, service)
            return await redrive(sqs, dead, queue, reason_code=reason_code)

    with told_plainly():
        if service not in SERVICES:
            raise StackError(f"no service {service!r}: there are {', '.join(SERVICES)}")
        console.print(f"{asyncio.run(send_back())} sent back to {service}")


async def _sqs(stack: AsyncExitStack) -> Any:
    from aiobotocore.session import AioSession

    session = AioSession()
    session.set_credentials("test", "test")
    endpoint = read_state(data_folder())["endpoints"]["aws"]
    return await stack.enter_async_context(
        session.create_client("sqs", endpoint_url=endpoint, region_name=REGION)
    )


async def _urls(sqs: Any, service: str) -> tuple[str, str]:
    names = load_topology().services[service]
    queue = await sqs.get_queue_url(QueueName=names.queue.name)
    dead = await sqs.get_queue_url(QueueName=names.dead_letters.name)
    return queue["QueueUrl"], dead["QueueUrl"]
