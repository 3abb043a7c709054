"""Looks after mails that nothing else will settle.

Guarantee: no mail stays waiting or sending for ever: one without a contact is withheld once the
grace is over, one whose worker died ends as unknown, one whose event died is sent after all.
"""

import asyncio
import logging
import random
from datetime import timedelta

from botocore.exceptions import BotoCoreError, ClientError

from messaging import RetryLater, interruptible_sleep
from notification_service.courier import Courier
from notification_service.domain import TERMINAL
from notification_service.store import Due, Mails

log = logging.getLogger(__name__)

PAGE = 100
LOOK_AGAIN = timedelta(minutes=5)


class Sweep:
    """A worker that goes over what is overdue, every `interval`."""

    def __init__(
        self, mails: Mails, courier: Courier, *, interval: timedelta, grace: timedelta
    ) -> None:
        self._mails = mails
        self._courier = courier
        self._interval_seconds = interval.total_seconds()
        self._grace_ms = int(grace.total_seconds() * 1000)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Sweep until `stop`; several workers may do so at once."""
        while not self._stopping.is_set():
            await interruptible_sleep(
                self._interval_seconds * random.uniform(0.5, 1.5), self._stopping
            )
            try:
                while not self._stopping.is_set() and await self.sweep() == PAGE:
                    pass
            except (ClientError, BotoCoreError, OSError, RetryLater) as error:
                log.warning("the sweep found no answer: %s", type(error).__name__)

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    async def sweep(self) -> int:
        """Look after one page of overdue mails; how many there were."""
        overdue = await self._mails.due(PAGE)
        for due in overdue:
            if self._stopping.is_set():
                break
            await self._look_after(due)
        return len(overdue)

    async def _look_after(self, due: Due) -> None:
        soon = False
        try:
            await self._courier.deliver(due.key)
        except RetryLater as early:
            soon = True
            log.info("a %s mail has to wait: %s", due.key.kind, early)
        except (ClientError, BotoCoreError, OSError):
            raise
        except Exception:  # One mail that cannot be written must not keep the others.
            log.exception("a %s mail failed", due.key.kind)
        await self._put_off(due, soon=soon)

    async def _put_off(self, due: Due, *, soon: bool) -> None:
        """Come back when something will have changed; never go round in circles at once."""
        mail = (await self._mails.situation(due.key)).mail
        if mail is None or mail.state in TERMINAL:
            await self._mails.drop(due)  # Left behind by a change of its place.
            return
        now = self._mails.now_ms
        again = now + int(LOOK_AGAIN.total_seconds() * 1000)
        grace_ends = mail.created_ms + self._grace_ms
        # One that waits for a contact: only its grace can end that, or the contact.
        waits = not soon and mail.attempts == 0 and now < grace_ends
        at = grace_ends if waits else again
        await self._mails.look_again(mail, max(at, now + 1000))
