"""Turns one cell into one field of a book, within the limits that the contract sets.

Guarantee: each function returns a value that the Book schema accepts, or raises BadValueError with
a reason that the owner of the file can act on.
"""

import re
import unicodedata
from decimal import Decimal
from typing import Any

# The limits of contracts/common/book.json and money.json.
MAX_TITLE_CHARACTERS = 500
MAX_NAMES = 100
MAX_AUTHOR_CHARACTERS = 300
MAX_SUBJECT_CHARACTERS = 200
MIN_YEAR, MAX_YEAR = -4000, 2200
MAX_PRICE_MINOR = 99_999_999_99
MAX_STOCK = 1_000_000

UNDETERMINED_LANGUAGE = "und"  # ISO 639-2

# ISO 639-2 codes whose BCP 47 form is the shorter one (RFC 5646, section 2.2.1).
_LANGUAGE_PAIRS = """
    ara=ar ben=bn bul=bg cat=ca chi=zh zho=zh cze=cs ces=cs dan=da dut=nl nld=nl eng=en est=et
    fin=fi fre=fr fra=fr ger=de deu=de gre=el ell=el heb=he hin=hi hrv=hr hun=hu ice=is isl=is
    ind=id ita=it jpn=ja kor=ko lat=la lav=lv lit=lt may=ms msa=ms nor=no per=fa fas=fa pol=pl
    por=pt rum=ro ron=ro rus=ru san=sa slo=sk slk=sk slv=sl spa=es srp=sr swe=sv tam=ta tha=th
    tur=tr ukr=uk urd=ur vie=vi
"""
_SHORTER_LANGUAGE = dict(pair.split("=") for pair in _LANGUAGE_PAIRS.split())
_LANGUAGE_TAG = re.compile(r"^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$")
_WHOLE_NUMBER = re.compile(r"^[+-]?\d{1,15}(\.0+)?$")
_ERA = re.compile(r"^(\d{1,4})\s*(bce?|ce|ad)$", re.IGNORECASE)
_DATE = re.compile(r"^(\d{4})-\d{2}(-\d{2})?([T ].*)?$")
_PRICE = re.compile(r"^(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?)$")
_MONEY_SIGNS = {"€": "EUR", "$": "USD", "£": "GBP"}
_NAME_SUFFIX = re.compile(r"^(jr|sr|ii|iii|iv|ph\.?d|m\.?d)\.?$", re.IGNORECASE)
# ISO 4217: the currencies whose minor unit is not a hundredth.
_MINOR_DIGITS = {
    **dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "UGX", "VND", "XAF", "XOF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


class BadValueError(ValueError):
    """The cell cannot be what its column says; `str()` says why."""


def text(value: Any, field: str) -> str:
    """One line of text, Unicode NFC, runs of white space collapsed; '' for an empty cell."""
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        raise BadValueError(f"{field} is not text")
    line = " ".join(unicodedata.normalize("NFC", str(value)).split())
    if line.isprintable():
        return line
    for character in line:
        if unicodedata.category(character) == "Cs":
            raise BadValueError(f"{field} has bytes that are not UTF-8")
        if unicodedata.category(character) == "Cc":
            raise BadValueError(f"{field} has a control character (U+{ord(character):04X})")
    return line


def title(value: Any) -> str:
    line = text(value, "title")
    if not line:
        raise BadValueError("has no title")
    if len(line) > MAX_TITLE_CHARACTERS:
        raise BadValueError(f"title is longer than {MAX_TITLE_CHARACTERS} characters")
    return line


def authors(value: Any) -> list[str]:
    names = _names(value, "authors", MAX_AUTHOR_CHARACTERS)
    if not names:
        raise BadValueError("has no authors")
    return names


def subjects(value: Any) -> list[str]:
    return _names(value, "subjects", MAX_SUBJECT_CHARACTERS)


def _names(value: Any, field: str, max_characters: int) -> list[str]:
    """A list, or text split at ';' or '|' if it has one, else at ','; each name once."""
    if isinstance(value, list):
        parts = [text(part, field) for part in value]
    else:
        line = text(value, field)
        divider = next((mark for mark in ";|" if mark in line), ",")
        parts = [part.strip() for part in line.split(divider)]
    names: list[str] = []
    for part in parts:
        if names and _NAME_SUFFIX.match(part):  # 'Martin Luther King, Jr.' is one man.
            names[-1] += f", {part}"
        elif part and part not in names:
            names.append(part)
    if len(names) > MAX_NAMES:
        raise BadValueError(f"has more than {MAX_NAMES} {field}")
    if any(len(name) > max_characters for name in names):
        raise BadValueError(f"{field}: one is longer than {max_characters} characters")
    return names


def language(value: Any) -> str:
    """A BCP 47 tag: 'eng' -> 'en', 'en_us' -> 'en-US', '' -> 'und'."""
    line = text(value, "language").replace("_", "-")
    if not line:
        return UNDETERMINED_LANGUAGE
    primary, *rest = line.split("-")
    primary = _SHORTER_LANGUAGE.get(primary.lower(), primary.lower())
    tag = "-".join([primary, *(part.upper() if len(part) == 2 else part for part in rest)])
    if len(tag) > 35 or _LANGUAGE_TAG.match(tag) is None:
        raise BadValueError(f"language {line!r} is not a language code (such as en or pt-BR)")
    return tag


def year(value: Any) -> int | None:
    """'2008.0', '-750', '750 BC' and '1999-05-01' are all years; None for an empty cell."""
    line = text(value, "year").replace("\u2212", "-")
    if not line:
        return None
    if _WHOLE_NUMBER.match(line):
        number = int(line.split(".")[0])
    elif era := _ERA.match(line):
        number = int(era[1]) * (-1 if era[2].lower().startswith("b") else 1)
    elif date := _DATE.match(line):
        number = int(date[1])
    else:
        raise BadValueError(f"year {_quoted(line)} is not a year")
    if not MIN_YEAR <= number <= MAX_YEAR:
        raise BadValueError(f"year {number} is not between {MIN_YEAR} and {MAX_YEAR}")
    return number


def stock(value: Any) -> int | None:
    """Whole copies; None for an empty cell."""
    number = _whole(value, "stock")
    if number is not None and not 0 <= number <= MAX_STOCK:
        raise BadValueError(f"stock {number} is not between 0 and {MAX_STOCK}")
    return number


def price_minor(value: Any) -> int | None:
    """A price in minor units (cents); None for an empty cell."""
    number = _whole(value, "price_minor")
    if number is not None and not 0 <= number <= MAX_PRICE_MINOR:
        raise BadValueError(f"price_minor {number} is not between 0 and {MAX_PRICE_MINOR}")
    return number


def price(value: Any, currency_code: str) -> tuple[int, str] | None:
    """A price in major units ('12.99', '12,99 €', 'USD 12') as minor units and currency.

    A sign or code in the cell wins over `currency_code`. None for an empty cell.
    """
    line = text(value, "price")
    if not line:
        return None
    bare = line
    for sign, currency_of_sign in _MONEY_SIGNS.items():
        if sign in bare:
            bare, currency_code = bare.replace(sign, "").strip(), currency_of_sign
    if code := re.search(r"^[A-Z]{3}(?= ?\d)|(?<=\d)[A-Z]{3}$|(?<=\d )[A-Z]{3}$", bare):
        currency_code = code[0]
        bare = bare.replace(currency_code, "").strip()
    if _PRICE.match(bare) is None:
        raise BadValueError(f"price {_quoted(line)} is not an amount such as 12.99")
    if re.fullmatch(r"\d{1,3},\d{3}", bare):
        raise BadValueError(f"price {_quoted(line)} could be thousands or decimals; write a point")
    grouped = "." in bare or bare.count(",") > 1
    amount = Decimal(bare.replace(",", "" if grouped else "."))
    minor = amount.scaleb(_MINOR_DIGITS.get(currency_code, 2))
    if minor != minor.to_integral_value():
        raise BadValueError(f"price {_quoted(line)} has more decimals than {currency_code} has")
    if minor > MAX_PRICE_MINOR:
        raise BadValueError(f"price {_quoted(line)} is too large")
    return int(minor), currency_code


def currency(value: Any, default: str) -> str:
    """An ISO 4217 code; `default` for an empty cell."""
    code = text(value, "currency").upper() or default
    if re.fullmatch(r"[A-Z]{3}", code) is None:
        raise BadValueError(f"currency {_quoted(code)} is not a three-letter code such as EUR")
    return code


def _whole(value: Any, field: str) -> int | None:
    line = text(value, field)
    if not line:
        return None
    if _WHOLE_NUMBER.match(line) is None:
        raise BadValueError(f"{field} {_quoted(line)} is not a whole number")
    return int(line.split(".")[0])


def _quoted(line: str) -> str:
    return repr(line if len(line) <= 40 else line[:39] + "…")
