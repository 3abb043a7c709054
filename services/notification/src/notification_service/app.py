"""The composition root: everything the notification service consists of, wired.

Guarantee: importing it reads no environment and connects to nothing.
"""

from contextlib import AsyncExitStack
from datetime import timedelta

from fastapi import APIRouter

from chassis import Parts, QueueWorker, Resources, Service
from messaging import reactor
from notification_service.api import (
    FORMS,
    mailbox_routes,
    operator_routes,
    preference_routes,
    unsubscribe_routes,
)
from notification_service.courier import Courier
from notification_service.handlers import Handlers, reactions
from notification_service.mailbox import Mailbox
from notification_service.mails import Writer
from notification_service.pace import Pace
from notification_service.pages import Pages
from notification_service.profiles import Profiles
from notification_service.ses import Ses, open_ses
from notification_service.settings import NotificationSettings
from notification_service.store import Mails
from notification_service.sweep import Sweep
from notification_service.table import Table
from notification_service.titles import Titles
from notification_service.tokens import Unsubscribing
from notification_service.webhooks import MEDIA_TYPES, ses_webhook


async def compose(resources: Resources) -> Parts:
    """Wire the service's parts onto open resources."""
    settings = resources.settings
    assert isinstance(settings, NotificationSettings)
    opened = AsyncExitStack()
    client = resources.clients.get("ses")
    if client is None:  # As a rule: those that resources open try again by themselves.
        client = await open_ses(
            opened, region=settings.aws_region, endpoint_url=settings.aws_endpoint_url
        )
    table = Table(resources.dynamodb, resources.table("mails"))
    mails, profiles = Mails(table), Profiles(table)
    unsubscribing = Unsubscribing(settings.unsubscribe_key, settings.public_url)
    grace = timedelta(seconds=settings.contact_grace_seconds)
    courier = Courier(
        mails,
        profiles,
        Writer(settings.mail_sender, unsubscribing),
        Ses(client),
        Pace(table, per_second=settings.mails_per_second),
        lease=timedelta(seconds=settings.mail_lease_seconds),
        grace=grace,
    )
    handlers = Handlers(courier, profiles, Titles(table))
    mailbox = Mailbox(settings.mailbox_url, resources.connect) if settings.mailbox_url else None
    if mailbox is not None:
        opened.push_async_callback(mailbox.close)
    interval = timedelta(seconds=settings.mail_sweep_seconds)

    def routers() -> list[APIRouter]:
        pages = Pages()
        return [
            preference_routes(profiles),
            unsubscribe_routes(profiles, unsubscribing, pages),
            ses_webhook(profiles, settings.ses_webhook_secret),
            operator_routes(mails),
            mailbox_routes(mailbox, pages),
        ]

    return Parts(
        routers=routers,
        workers=[
            QueueWorker(resources, reactor(reactions(handlers), resources.inbox)),
            Sweep(mails, courier, interval=interval, grace=grace),
        ],
        closers=[opened.aclose],
        media_types={"/unsubscribe": FORMS, "/webhooks/ses": MEDIA_TYPES},
    )


SERVICE = Service(
    name="notification",
    title="Notification",
    package="notification_service",
    settings=NotificationSettings,
    compose=compose,
)
