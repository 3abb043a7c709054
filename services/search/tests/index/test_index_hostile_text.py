"""Texts that no honest customer types, or only by accident."""

from collections.abc import Awaitable, Callable

import pytest

from search_service.index import Book, Filters, Query, SearchIndex

MakeBook = Callable[..., Book]
Fill = Callable[..., Awaitable[None]]

HOSTILE = {
    "operators": "title:emma AND (NOT -x OR +y) ^2 ~3 *? [a TO b] {c} \\ / && || !",
    "quotes": "\"emma ' “”",
    "long": "emma " * 2000,
    "one long word": "e" * 10_000,
    "many words": " ".join(f"word{n}" for n in range(3000)),
    "emoji": "🎉🎉 👩‍👩‍👧",
    "nul": "em\0ma \0",
    "punctuation": "!?.,;:-_()[]{}'\"",
    "right to left": "\u202e\u05e1\u05e4\u05e8\u202c الحرب والسلام",
    "half a surrogate pair": "emma \ud83d",
    "script": "<script>alert(1)</script>",
    "combining": "e" + "\u0301" * 5000,
    "newlines": "\r\n\t\v\u2028",
    "regex": ".*(a+)+$",
    "chinese": "红楼梦" * 1000,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", HOSTILE)
async def test_no_text_whatever_raises_or_takes_long(
    index: SearchIndex, fill: Fill, book: MakeBook, kind: str
) -> None:
    await fill(*(book(f"Emma Word{n}") for n in range(200)))
    text = HOSTILE[kind]
    found = await index.search(Query(text))
    assert all("<script" not in html for hit in found.hits for html in hit.highlights.values())
    await index.search(Query(text, Filters(subjects=(text,), languages=(text,), decades=(10**30,))))
    await index.complete(text, 10)
    assert await index.similar(text, 10) == []
    assert await index.books([text]) == {}
