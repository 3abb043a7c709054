"""HTML from Python calls.

Guarantee: text is escaped; only what these functions have made goes into a page as it is.
"""

from html import escape

_VOID = frozenset({"br", "meta"})


class Markup(str):
    """HTML that is whole and safe."""

    __slots__ = ()


def element(
    name: str, /, *content: str | Markup, **attributes: str | float | bool | None
) -> Markup:
    """One element. `class_` and `for_` stand for `class` and `for`, `data_x` for `data-x`.

    An attribute that is None or False is left out, one that is True has no value.
    """
    opening = name
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        opening += f" {key.rstrip('_').replace('_', '-')}"
        if value is not True:
            opening += f'="{escape(str(value))}"'
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{joined(*content)}</{name}>")


def joined(*content: str | Markup) -> Markup:
    """These one after the other."""
    return Markup("".join(each if isinstance(each, Markup) else escape(each) for each in content))


def table(
    head: list[str | Markup], rows: list[Markup], *, caption: str, class_: str = ""
) -> Markup:
    """A table that scrolls by itself where the screen is narrow."""
    columns = [element("th", each, scope="col") for each in head]
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", element("tr", *columns)),
            element("tbody", *rows),
            class_=class_ or None,
        ),
        class_="scroll",
        role="region",
        aria_label=caption,
        tabindex="0",
    )


def row(head: str | Markup, *cells: str | Markup, class_: str | None = None) -> Markup:
    """A table's row: its head and its cells; cells that look like numbers stand to the right."""
    return element(
        "tr",
        element("th", head, scope="row"),
        *(element("td", each, class_="number" if _is_number(each) else None) for each in cells),
        class_=class_,
    )


def _is_number(text: str) -> bool:
    return text.removeprefix('<b class="wrong">')[:1].isdigit()
