"""From a file to books: formats, columns, line numbers, duplicates."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bookstore.catalog_import import Options, UsageError, read_books
from bookstore.catalog_import.books import Books, Defaults

Written = Callable[[str, str | bytes], Path]


def books_of(path: Path, **columns: str) -> Books:
    return read_books(path, Options(columns=columns))[0]


def titles(found: Books) -> list[str]:
    return [book.body["title"] for book in found.books]


def errors(found: Books) -> list[tuple[int, str]]:
    return [(error.line, error.why) for error in found.errors]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_csv_is_read_with_any_delimiter_and_bom(
    written: Written, delimiter: str, bom: bytes
) -> None:
    rows = [["Title", "Author", "ISBN-13", "Publication Year", "Lang"],
            ["Émile", "Rousseau", "9780141439518", "1762", "fre"]]  # fmt: skip
    text = "\r\n".join(delimiter.join(row) for row in rows)
    (book,) = books_of(written("books.csv", bom + text.encode())).books
    assert book.line == 2
    assert book.body["title"] == "Émile"
    assert book.body["isbn"] == "9780141439518"
    assert (book.body["year"], book.body["language"]) == (1762, "fr")


def test_json_lines_are_read_in_the_catalogs_own_form(written: Written) -> None:
    line = (
        '{"title": "Iliad", "authors": ["Homer"], "subjects": ["War"], "language": "grc",'
        ' "year": -750, "price": {"amount_minor": 990, "currency": "USD"}, "initial_stock": 0}'
    )
    (book,) = books_of(written("books.jsonl", f"\n{line}\n")).books
    assert book.line == 2
    assert book.body == {
        "title": "Iliad", "authors": ["Homer"], "subjects": ["War"], "language": "grc",
        "year": -750, "price": {"amount_minor": 990, "currency": "USD"}, "initial_stock": 0,
    }  # fmt: skip


def test_bad_rows_are_named_by_the_line_they_start_on(written: Written) -> None:
    path = written(
        "books.csv",
        'title,author,year\n"A\nlong\ntitle",Ann,1900\n\n,Bob,1901\nC,,1902\nD,Dan,soon\nE,Eve,1\n',
    )
    found = books_of(path)
    assert [(book.line, book.body["title"]) for book in found.books] == [
        (2, "A long title"), (9, "E"),
    ]  # fmt: skip
    assert errors(found) == [
        (6, "has no title"), (7, "has no authors"), (8, "year 'soon' is not a year"),
    ]  # fmt: skip


def test_an_open_quote_spoils_only_its_own_row(written: Written) -> None:
    path = written(
        "books.csv", 'title,author,year\nA,Ann,1\n"B,Bob,2\nC,Cid,3\n"D, d",Dan,4\nE,Eve,5\n'
    )
    found = books_of(path)
    assert titles(found) == ["A", "C", "D, d", "E"]
    assert [line for line, _ in errors(found)] == [3]


def test_a_row_of_another_width_is_bad_and_empty_extra_cells_are_not(written: Written) -> None:
    found = books_of(written("b.csv", "title,author\nA,Ann,,\nB, b,Bob\nC\nD,Dan\n"))
    assert titles(found) == ["A", "D"]
    assert errors(found) == [
        (3, "has 3 fields where the header has 2"), (4, "has 1 fields where the header has 2"),
    ]  # fmt: skip


def test_a_cell_beyond_the_csv_limit_is_a_bad_row(written: Written) -> None:
    found = books_of(written("b.csv", f"title,author\n{'x' * 200_000},Ann\nB,Bob\n"))
    assert titles(found) == ["B"]
    assert [line for line, _ in errors(found)] == [2]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.csv", b"title,author\nCaf\xe9,Ann\nB,Bob\n"),
        ("b.jsonl", b'\n{"title": "Caf\xe9", "author": "Ann"}\n{"title": "B", "author": "Bob"}\n'),
    ],
)
def test_bytes_that_are_not_utf8_spoil_only_their_row(
    written: Written, name: str, content: bytes
) -> None:
    found = books_of(written(name, content))
    assert titles(found) == ["B"]
    ((line, why),) = errors(found)
    assert line == 2
    assert "not UTF-8" in why


def test_json_that_is_none_is_a_bad_row(written: Written) -> None:
    found = books_of(
        written("b.jsonl", '{"title": "A", "author": "Ann"}\n{"title": \n[1]\n{"title": 1}\n')
    )
    assert titles(found) == ["A"]
    assert [line for line, _ in errors(found)] == [2, 3, 4]


def test_map_takes_another_column_and_the_next_alias_fills_gaps(written: Written) -> None:
    path = written("b.csv", "title,original_title,author\nShort,Long,Ann\n,Only,Bob\n")
    assert titles(books_of(path)) == ["Short", "Only"]
    assert titles(books_of(path, title="original_title")) == ["Long", "Only"]


def test_a_row_without_a_usable_isbn_is_imported_without(written: Written) -> None:
    path = written(
        "b.csv",
        "title,author,isbn,isbn13\nA,Ann,439023483,9.78043902348e+12\nB,Bob,812971060,\nC,Cid,,\n"
        "D,Dan,,9.78e+12\n,Eve,1,\n",
    )
    found = books_of(path)
    assert [book.body.get("isbn") for book in found.books] == ["9780439023481", None, None, None]
    assert found.notes == {"isbn invalid": 1, "isbn missing": 2}
    assert [error.line for error in found.errors if error.severity == "warning"] == [3]


def test_of_two_rows_that_are_the_same_book_the_first_counts(written: Written) -> None:
    path = written(
        "b.csv",
        "title,author,year,isbn\nDune,Herbert,1965,9780141439518\nDune 2,Other,1,014143951-3\n"
        "Emma,Austen,1815,\nEMMA,austen,1815,\nEmma,Austen,1816,\n",
    )
    found = books_of(path)
    assert titles(found) == ["Dune", "Emma", "Emma"]
    assert errors(found) == [
        (3, "duplicate: same isbn 9780141439518 as line 2; skipped, the first one counts"),
        (5, "duplicate: same title, authors and year as line 4; skipped, the first one counts"),
    ]


def test_rows_alike_that_the_file_numbers_apart_are_two_books(written: Written) -> None:
    path = written("b.csv", "id,title,author\n1,Emma,Austen\n2,Emma,Austen\n2,Emma,Austen\n")
    first, second = (books_of(path) for _ in range(2))
    ids = [book.body["book_id"] for book in first.books]
    assert ids == [book.body["book_id"] for book in second.books]
    assert len(set(ids)) == 2
    assert [error.line for error in first.errors] == [4]


def test_files_that_number_different_books_alike_do_not_overwrite_each_other(
    written: Written,
) -> None:
    ours, theirs = (
        books_of(written(f"{title}.csv", f"id,title,author\n1,{title},Austen\n"))
        for title in ("Emma", "Persuasion")
    )
    assert ours.books[0].body["book_id"] != theirs.books[0].body["book_id"]


def test_a_uuid_is_kept_as_the_book_id(written: Written) -> None:
    book_id = "6F1C2B9E-4A57-5D0B-9C1E-2F3A4B5C6D7E"
    (book,) = books_of(written("b.csv", f"book_id,title,author\n{book_id},A,Ann\n")).books
    assert book.body["book_id"] == book_id.lower()


def test_made_up_prices_and_stock_are_the_same_on_each_run(written: Written) -> None:
    path = written("b.csv", "title,author\n" + "".join(f"T{n},Ann\n" for n in range(200)))
    bodies = [book.body for book in books_of(path).books]
    assert bodies == [book.body for book in books_of(path).books]
    assert len({body["price"]["amount_minor"] for body in bodies}) > 20
    assert all(499 <= body["price"]["amount_minor"] < 4000 for body in bodies)
    assert all(5 <= body["initial_stock"] <= 100 for body in bodies)


def test_require_price_makes_nothing_up(written: Written) -> None:
    path = written("b.csv", "title,author,price\nA,Ann,9.90\nB,Bob,\n")
    found = read_books(path, Options(defaults=Defaults("USD", require_price=True)))[0]
    assert [book.body["price"] for book in found.books] == [
        {"amount_minor": 990, "currency": "USD"}
    ]
    assert "initial_stock" not in found.books[0].body
    assert errors(found) == [(3, "has no price")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("b.csv", "", "is empty"),
        ("b.csv", "name,author\nA,Ann\n", "--map title=COLUMN"),
        ("b.csv", "title,year\nA,1\n", "--map authors=COLUMN"),
        ("b.csv", "title,author\nA,Ann\n".encode("utf-16"), "UTF-16"),
        ("b.json", '[{"title": "A"}]', "one object a line"),
        ("b.jsonl", "title,author\nA,Ann\n", "no line is a JSON object"),
        ("b.xlsx", b"PK\x03\x04\x00\x00", "--format"),
    ],
)
def test_a_file_that_cannot_be_used_says_what_to_do(
    written: Written, name: str, content: str | bytes, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        books_of(written(name, content))


def test_a_missing_file_and_a_folder_are_usage_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            books_of(path)


def test_map_of_an_unknown_column_lists_the_columns(written: Written) -> None:
    with pytest.raises(UsageError, match=r"it?.*title, author"):
        books_of(written("b.csv", "title,author\nA,Ann\n"), year="jahr")
