"""The order service's composition root: all of its wiring, and nothing else."""

from chassis import Parts, QueueWorker, SqlResources, SqlService
from idempotency import HttpIdempotency
from messaging import Sender, Transactions, dispatcher
from order_service.api import contact_routes, order_routes
from order_service.contacts import Contacts
from order_service.handlers import ROUTES, SAGAS
from order_service.orders import Orders
from order_service.outcomes import Outcomes
from order_service.reconciler import Reconciler
from order_service.settings import OrderSettings
from order_service.store import METADATA, SAGAS_TABLE, TABLES, OrderUnitOfWork, settle_orders
from sagas import DeadlineSweeper, Orchestrator, SagaStore


async def compose(resources: SqlResources) -> Parts:
    """Wire the service onto open resources."""
    settings = resources.settings
    assert isinstance(settings, OrderSettings)
    sender = Sender(SERVICE.name)
    orchestrator = Orchestrator(SAGAS, SagaStore(SAGAS_TABLE), sender)
    outcomes = Outcomes(resources.reader)
    keys = HttpIdempotency(
        resources.dynamodb, table=resources.table("http-idempotency"), scope=SERVICE.name
    )
    orders = Orders(
        reader=resources.reader,
        outbox=resources.outbox,
        orchestrator=orchestrator,
        keys=keys,
        outcomes=outcomes,
        max_streams=settings.max_event_streams,
    )
    transactions = Transactions(
        outbox=resources.outbox,
        tables=TABLES,
        unit_of_work=lambda: OrderUnitOfWork(orchestrator, sender),
    )
    return Parts(
        application=orders,
        closers=[keys.drain],
        routers=lambda: [
            order_routes(orders, settings.max_wait_seconds),
            contact_routes(Contacts(resources.outbox, sender)),
        ],
        web_workers=[outcomes],
        workers=[
            QueueWorker(resources, dispatcher(ROUTES, transactions)),
            DeadlineSweeper(
                orchestrator,
                resources.outbox,
                settle_orders,
                interval_seconds=settings.deadline_sweep_seconds,
            ),
            Reconciler(
                resources.outbox,
                sender,
                interval_seconds=settings.reconcile_interval_seconds,
                grace_seconds=settings.reconcile_grace_seconds,
            ),
        ],
    )


SERVICE = SqlService(
    name="order",
    title="Order service",
    package="order_service",
    settings=OrderSettings,
    metadata=METADATA,
    tables=TABLES,
    compose=compose,
)
