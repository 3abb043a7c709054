"""ISBN-10 and ISBN-13: clean, check, convert.

Guarantee: what comes out is thirteen digits with a right check digit (ISO 2108), or nothing.
"""

import re

# Spreadsheets drop the leading zeros of an ISBN-10; more than three never occur in a real one.
_SHORTEST_ISBN10 = 7
_NOISE = re.compile(r"^(isbn(-1[03])?:?)|[\s\-\u2010-\u2015]", re.IGNORECASE)
_SPREADSHEET_FLOAT = re.compile(r"^\d(\.\d+)?e\+?\d+$", re.IGNORECASE)


def is_spreadsheet_float(text: str) -> bool:
    """True for '9.78043902348e+12': the digits are gone, so it says no more than an empty cell."""
    return _SPREADSHEET_FLOAT.match(text.strip()) is not None


def to_isbn13(text: str) -> str | None:
    """The ISBN-13 that `text` means: with or without hyphens, 'ISBN' or a trailing '.0'.

    An ISBN-10 may have lost its leading zeros. None when it is no ISBN or a digit is wrong.
    """
    digits = _NOISE.sub("", text.strip()).removesuffix(".0").upper()
    if len(digits) == 13:
        return digits if _is_isbn13(digits) else None
    if _SHORTEST_ISBN10 <= len(digits) <= 10:
        return _from_isbn10(digits.zfill(10))
    return None


def _is_isbn13(digits: str) -> bool:
    if not (digits.isascii() and digits.isdigit() and digits.startswith(("978", "979"))):
        return False
    return _check_digit13(digits[:12]) == digits[12]


def _from_isbn10(digits: str) -> str | None:
    if re.fullmatch(r"[0-9]{9}[0-9X]", digits) is None or digits == "0" * 10:
        return None
    values = [10 if digit == "X" else int(digit) for digit in digits]
    if sum(weight * value for weight, value in zip(range(10, 0, -1), values, strict=True)) % 11:
        return None
    body = "978" + digits[:9]
    return body + _check_digit13(body)


def _check_digit13(body: str) -> str:
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(body))
    return str(-total % 10)
