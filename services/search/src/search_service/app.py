"""The search service's composition root: all of its wiring, and nothing else."""

from functools import partial

from chassis import CannotStart, NotReady, Parts, QueueWorker, Resources, Service
from idempotency import Ledger
from messaging import reactor
from search_service.api import recommendation_routes, search_routes
from search_service.breaker import (
    DYNAMODB_TIMEOUT_SECONDS,
    REDIS_TIMEOUT_SECONDS,
    Breaker,
    open_redis,
)
from search_service.errors import SearchIndexError
from search_service.feed import CatalogFeed
from search_service.handlers import Handlers
from search_service.index import SearchIndex
from search_service.interactions import Interactions
from search_service.rebuild import Rebuilder, Rebuilds
from search_service.recommendations import Recommender
from search_service.recompute import Recompute
from search_service.reindex import reindex
from search_service.results import Publication, Results
from search_service.settings import SearchSettings
from search_service.trending import Trending

# Nobody waits for workers, so their commands to Redis may take this long.
PATIENCE_SECONDS = 5.0


def open_index(settings: SearchSettings, role: str) -> SearchIndex:
    """The cluster's index if there is a cluster, else the folder's, of which one process writes."""
    if settings.opensearch_url is not None:
        from search_service.opensearch_index import OpenSearchIndex

        return OpenSearchIndex(settings.opensearch_url.get_secret_value())
    from search_service.tantivy_index import TantivyIndex

    try:
        return TantivyIndex(settings.index_path, read_only=role == "web")
    except SearchIndexError as error:  # Another writer, or another release's folder.
        raise CannotStart(str(error)) from None


async def _check(index: SearchIndex) -> None:
    """Searches are what has to work; all else degrades."""
    try:
        await index.count()
    except Exception as error:
        raise NotReady(f"The index does not answer: {type(error).__name__}") from None


async def compose(resources: Resources) -> Parts:
    """Wire the service onto open resources."""
    settings = resources.settings
    assert isinstance(settings, SearchSettings)
    index = open_index(settings, resources.role)
    url = settings.redis_url.get_secret_value()
    redis, patient = open_redis(url), open_redis(url, timeout_seconds=PATIENCE_SECONDS)
    redis_breaker = Breaker("redis", timeout_seconds=REDIS_TIMEOUT_SECONDS)
    dynamodb_breaker = Breaker("dynamodb", timeout_seconds=DYNAMODB_TIMEOUT_SECONDS)
    table = resources.table("interactions")
    interactions = Interactions(resources.dynamodb, table=table)
    trending = Trending(redis, redis_breaker)
    results = Results(redis, redis_breaker, resources.dynamodb, dynamodb_breaker, table=table)
    recommender = Recommender(index, interactions, dynamodb_breaker, results, trending)
    ledger = Ledger(resources.dynamodb, table=resources.table("ledger"), scope="search")
    # Nobody waits for the counting of events either, and one that was given up would be missing.
    patience = Breaker("redis", timeout_seconds=PATIENCE_SECONDS)
    handlers = Handlers(index, interactions, Trending(patient, patience))
    rebuilds = Rebuilds(resources.dynamodb, table=resources.table("ledger"))
    return Parts(
        application=recommender,
        routers=lambda: [
            search_routes(index),
            recommendation_routes(index, recommender, interactions, trending),
        ],
        workers=[
            QueueWorker(resources, reactor(handlers.reactions, resources.inbox)),
            Rebuilder(index, rebuilds, CatalogFeed(str(settings.catalog_url))),
            Recompute(
                interactions,
                Publication(patient, resources.dynamodb, table=table),
                ledger,
                period_seconds=settings.recompute_seconds,
            ),
        ],
        check=partial(_check, index),
        closers=[ledger.drain, index.close, redis.aclose, patient.aclose],
    )


SERVICE = Service(
    name="search",
    title="Search service",
    package="search_service",
    settings=SearchSettings,
    compose=compose,
    commands={"reindex": reindex},
)
