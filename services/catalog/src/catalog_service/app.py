"""The catalog service's composition root: all of its wiring, and nothing else."""

from datetime import timedelta

from catalog_service.api import book_routes, operator_routes
from catalog_service.books import Books
from catalog_service.cache import BookCache
from catalog_service.expiry import ExpirySweeper
from catalog_service.handlers import ROUTES
from catalog_service.invalidation import Invalidation
from catalog_service.settings import CatalogSettings
from catalog_service.store import StockUnitOfWork
from catalog_service.tables import MESSAGING, METADATA
from chassis import Parts, QueueWorker, SqlResources, SqlService
from messaging import Sender, Transactions, dispatcher


async def compose(resources: SqlResources) -> Parts:
    """Wire the service onto open resources."""
    settings = resources.settings
    assert isinstance(settings, CatalogSettings)
    sender = Sender(SERVICE.name)
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    cache = BookCache(redis_url, ttl_seconds=settings.book_cache_seconds)
    invalidation = Invalidation(cache)
    hold = timedelta(seconds=settings.hold_seconds)
    transactions = Transactions(
        outbox=resources.outbox,
        tables=MESSAGING,
        unit_of_work=lambda: StockUnitOfWork(sender, hold, invalidation.expect),
    )
    books = Books(resources.engine, resources.outbox, sender)
    return Parts(
        application=books,
        routers=lambda: [book_routes(books, cache), operator_routes(resources.engine)],
        workers=[
            QueueWorker(resources, invalidation.after(dispatcher(ROUTES, transactions))),
            ExpirySweeper(
                resources.outbox, sender, cache, interval_seconds=settings.expiry_sweep_seconds
            ),
        ],
        closers=[cache.close],
    )


SERVICE = SqlService(
    name="catalog",
    title="Catalog service",
    package="catalog_service",
    settings=CatalogSettings,
    metadata=METADATA,
    tables=MESSAGING,
    compose=compose,
    aws=("events", "sqs"),
)
