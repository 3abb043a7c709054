"""Many things in one call: a coalescing batcher and set-based SQL.

Guarantee: batching never changes an outcome, only how many calls it took.
"""

from batching.batcher import Batcher
from batching.bulk import BulkInsert, BulkUpdate
from batching.prepared import Prepared, transaction

__all__ = ["Batcher", "BulkInsert", "BulkUpdate", "Prepared", "transaction"]
