"""The composition root: everything the payment service consists of, wired.

Guarantee: importing it reads no environment and connects to nothing.
"""

from datetime import timedelta

from chassis import Parts, QueueWorker, SqlResources, SqlService
from idempotency import Ledger
from messaging import Sender, Transactions, dispatcher
from payment_service.api import payment_router, webhook_router
from payment_service.gateway import Gateway
from payment_service.handlers import routes
from payment_service.notices import Notices
from payment_service.settings import PaymentSettings
from payment_service.store import METADATA, TABLES, Payments, PaymentUnitOfWork
from payment_service.sweep import GatewaySweep


async def compose(resources: SqlResources) -> Parts:
    """Wire the service's parts onto open resources."""
    settings = resources.settings
    assert isinstance(settings, PaymentSettings)
    sender = Sender(resources.service)
    gateway = Gateway(settings, resources.connect)
    payments = Payments(resources.engine, resources.outbox)
    grace = timedelta(seconds=settings.reconcile_grace_seconds)
    notices = Notices(payments, gateway, sender, grace)
    ledger = Ledger(
        resources.dynamodb,
        table=resources.table("ledger"),
        scope=resources.service,
        lease_seconds=settings.lease_seconds,
    )
    transactions = Transactions(
        outbox=resources.outbox,
        tables=TABLES,
        unit_of_work=lambda: PaymentUnitOfWork(sender),
        ledger=ledger,
    )
    sweep = GatewaySweep(
        payments,
        gateway,
        notices,
        interval=timedelta(seconds=settings.reconcile_interval_seconds),
        grace=grace,
    )
    return Parts(
        application=notices,
        routers=lambda: [
            payment_router(payments),
            webhook_router(notices, settings.stripe_webhook_secret),
        ],
        workers=[
            QueueWorker(resources, dispatcher(routes(payments, gateway), transactions)),
            sweep,
        ],
        closers=[ledger.drain, gateway.close],
    )


SERVICE = SqlService(
    name="payment",
    title="Payment",
    package="payment_service",
    settings=PaymentSettings,
    metadata=METADATA,
    tables=TABLES,
    compose=compose,
)
