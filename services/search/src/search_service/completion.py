"""Which of the texts that were found are completions of what was typed, likeliest first.

Guarantee: each has every typed word, the last perhaps only begun; texts that differ in case,
accents and punctuation only are one.
"""

from collections.abc import Iterable, Sequence

from search_service.text import index_words, key, title_key

_Rank = tuple[int, int, str]


def completions(texts: Iterable[str], words: Sequence[str], limit: int) -> list[str]:
    """Texts that begin with the words, then those that have them later; the shorter first."""
    ranked: dict[str, tuple[_Rank, str]] = {}
    for text in texts:
        if (rank := _rank(text, words)) is not None:
            ranked.setdefault(key(text), (rank, text))
    return [text for _, text in sorted(ranked.values())][:limit]


def _rank(text: str, words: Sequence[str]) -> _Rank | None:
    """None for a text that lacks one of the words."""
    folded, begun = key(text), " ".join(words)
    if folded.startswith(begun) or title_key(text).startswith(begun):
        return (0, len(text), folded)
    if f" {begun}" in folded:
        return (1, len(text), folded)
    there = index_words(text)
    if all(word in there for word in words[:-1]) and any(w.startswith(words[-1]) for w in there):
        return (2, len(text), folded)
    return None
