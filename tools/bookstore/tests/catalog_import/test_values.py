"""Single cells: ISBN, languages, years, prices, names."""

import pytest

from bookstore.catalog_import import values
from bookstore.catalog_import.isbn import is_spreadsheet_float, to_isbn13
from bookstore.catalog_import.values import BadValueError


@pytest.mark.parametrize(
    ("written", "isbn"),
    [
        ("9780141439518", "9780141439518"),
        ("978-0-14-143951-8", "9780141439518"),
        ("ISBN 0-14-143951-3", "9780141439518"),
        ("439023483", "9780439023481"),  # A leading zero is lost.
        ("7118899", "9780007118892"),  # Three are.
        ("043965548X", "9780439655484"),
        ("43965548x", "9780439655484"),
        ("439023483.0", "9780439023481"),
    ],
)
def test_an_isbn_in_any_spelling_becomes_isbn_13(written: str, isbn: str) -> None:
    assert to_isbn13(written) == isbn


@pytest.mark.parametrize(
    "written",
    ["", "0439023484", "9780141439519", "812971060", "1234", "04390X3483", "0000000000",
     "9.78043902348e+12", "9770141439518", "٠٤٣٩٠٢٣٤٨٣"],
)  # fmt: skip
def test_a_wrong_isbn_is_none(written: str) -> None:
    assert to_isbn13(written) is None


def test_a_spreadsheet_float_is_recognized() -> None:
    assert is_spreadsheet_float("9.78043902348e+12")
    assert not is_spreadsheet_float("9780141439518")


@pytest.mark.parametrize(
    ("written", "tag"),
    [("eng", "en"), ("en-US", "en-US"), ("en_gb", "en-GB"), ("ara", "ar"), ("ger", "de"),
     ("deu", "de"), ("fil", "fil"), ("grc", "grc"), ("", "und"), (None, "und"),
     ("zh-Hant-TW", "zh-Hant-TW")],
)  # fmt: skip
def test_a_language_becomes_its_shortest_tag(written: str | None, tag: str) -> None:
    assert values.language(written) == tag


@pytest.mark.parametrize(
    ("written", "year"),
    [("2008.0", 2008), ("-750.0", -750), (-750, -750), (1999.0, 1999), ("750 BC", -750),
     ("AD 5", None), ("1999-05-01", 1999), ("", None), ("\u2212400", -400)],
)  # fmt: skip
def test_a_year_in_any_spelling_is_a_number(written: object, year: int | None) -> None:
    if written == "AD 5":
        with pytest.raises(BadValueError, match="not a year"):
            values.year(written)
    else:
        assert values.year(written) == year


@pytest.mark.parametrize(
    ("written", "currency", "price"),
    [
        ("12.99", "EUR", (1299, "EUR")),
        ("12,99 €", "USD", (1299, "EUR")),
        ("$1,299.50", "EUR", (129950, "USD")),
        ("USD 12", "EUR", (1200, "USD")),
        ("12 GBP", "EUR", (1200, "GBP")),
        ("1200", "JPY", (1200, "JPY")),
        (12.5, "EUR", (1250, "EUR")),
        ("", "EUR", None),
    ],
)
def test_a_price_becomes_minor_units(
    written: object, currency: str, price: tuple[int, str] | None
) -> None:
    assert values.price(written, currency) == price


@pytest.mark.parametrize("written", ["free", "-1", "12.999", "1,299", "1e9", "999999999999", "NaN"])
def test_a_price_that_cannot_be_one_is_refused(written: str) -> None:
    with pytest.raises(BadValueError, match="price"):
        values.price(written, "EUR")


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("J.K. Rowling, Mary GrandPré", ["J.K. Rowling", "Mary GrandPré"]),
        ("Austen, Jane; Brontë, Emily", ["Austen, Jane", "Brontë, Emily"]),
        ("Martin Luther King, Jr.", ["Martin Luther King, Jr."]),
        ("Homer, Homer", ["Homer"]),
        (["Homer", "Homer "], ["Homer"]),
    ],
)
def test_authors_are_divided_and_named_once(written: object, names: list[str]) -> None:
    assert values.authors(written) == names


def test_text_is_one_line_in_nfc() -> None:
    assert values.text("  Cafe\u0301 \n noir\u00a0", "title") == "Café noir"


@pytest.mark.parametrize("written", ["a\x00b", "a\x1b[31mb", "caf\udce9", {"x": 1}, True])
def test_text_that_would_harm_a_reader_is_refused(written: object) -> None:
    with pytest.raises(BadValueError):
        values.text(written, "title")
