"""What the found books are made of, as counts.

Guarantee: a facet's counts are of the books that all the other filters let through, so choosing a
second value of one facet shows what it would add.
"""

from collections.abc import Mapping
from typing import Any

from tantivy import Query, Searcher

from search_service.index import MAX_FACET_VALUES, FacetValue
from search_service.tantivy_queries import filtered
from search_service.tantivy_schema import FACET_FIELDS

# Counted in each segment before the most frequent are taken, so that none is lost at the seams.
_VALUES_COUNTED = 10_000


def count_facets(
    searcher: Searcher, found: Query, clauses: Mapping[str, Query]
) -> dict[str, list[FacetValue]]:
    """Facets by name, the most frequent values first, at most `MAX_FACET_VALUES` of each.

    `clauses` are the filters by facet. One pass for all facets without a filter of their own, one
    more for each that has one.
    """
    free = [name for name in FACET_FIELDS if name not in clauses]
    counted = _aggregate(searcher, _restricted(found, clauses), free)
    for name in clauses:
        others = {other: clause for other, clause in clauses.items() if other != name}
        counted |= _aggregate(searcher, _restricted(found, others), [name])
    return {name: counted[name] for name in FACET_FIELDS}


def _restricted(found: Query, clauses: Mapping[str, Query]) -> Query:
    return filtered(found, clauses.values()) if clauses else found


def _aggregate(searcher: Searcher, query: Query, names: list[str]) -> dict[str, list[FacetValue]]:
    asked = {name: {"terms": {"field": name, "size": _VALUES_COUNTED}} for name in names}
    answer: dict[str, Any] = searcher.aggregate(query, asked) if asked else {}
    return {name: _values(answer[name]["buckets"]) for name in names}


def _values(buckets: list[dict[str, Any]]) -> list[FacetValue]:
    values = [FacetValue(_text(bucket["key"]), bucket["doc_count"]) for bucket in buckets]
    values.sort(key=lambda value: (-value.count, value.value))
    return values[:MAX_FACET_VALUES]


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else str(int(value))
