"""Languages and locales: which texts a customer reads, and how amounts and dates look to them.

Guarantee: every locale gets a mail. Texts fall back to English where we do not speak the language;
amounts and dates keep the customer's own way, as far as anybody knows it.
"""

import copy
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton
from babel.numbers import format_decimal

FALLBACK = "en"
LANGUAGES = ("de", "en")
# ISO 4217, where the minor unit is not a hundredth. Babel's own figures are CLDR's, which say how
# prices are shown: it drops the minor unit of the Serbian dinar, say, and an amount in minor units
# would look a hundred times as large.
_NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DIGITS = "BHD IQD JOD KWD LYD OMR TND"
_DIGITS = {
    **dict.fromkeys(_NO_DIGITS.split(), 0),
    **dict.fromkeys(_THREE_DIGITS.split(), 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}


# A currency's letters and a digit are set apart (CLDR, "currencySpacing"), which Babel leaves out.
_NEXT_TO_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")


@dataclass(frozen=True, slots=True)
class Reader:
    """Texts and formats for one locale."""

    language: str
    locale: Locale
    texts: Mapping[str, Mapping[str, str]]

    def text(self, name: str, /, **values: object) -> str:
        """The text `section.key` with its values filled in."""
        section, _, key = name.partition(".")
        return self.texts[section][key].format(**values)

    def reason(self, code: str) -> str:
        """What a customer can do about a rejection; codes that nobody foresaw get a general word.

        The codes are an open set: payment and order may add to them.
        """
        reasons = self.texts["reason"]
        if code.endswith("_timeout"):
            code = "timeout"
        return reasons.get(code, reasons["other"])

    def money(self, money: Mapping[str, Any]) -> str:
        """An amount `{"amount_minor": 1999, "currency": "EUR"}`."""
        currency = money["currency"]
        digits = _DIGITS.get(currency, 2)
        amount = Decimal(money["amount_minor"]).scaleb(-digits)
        pattern = copy.copy(self.locale.currency_formats["standard"])
        pattern.frac_prec = (digits, digits)
        text = pattern.apply(amount, self.locale, currency=currency, currency_digits=False)
        return _NEXT_TO_DIGIT.sub("\N{NO-BREAK SPACE}", text)

    def times(self, money: Mapping[str, Any], quantity: int) -> str:
        """The amount that many times."""
        return self.money({**money, "amount_minor": money["amount_minor"] * quantity})

    def number(self, value: int) -> str:
        """A number."""
        return str(format_decimal(value, locale=self.locale))

    def date(self, moment: datetime) -> str:
        """A day, in UTC: nobody told us where the customer is. In figures, where the texts are not
        in the customer's language: a month's name would be of another one.
        """
        if self.locale.language == self.language:
            return str(format_date(moment.date(), format="long", locale=self.locale))
        return str(format_skeleton("yMd", moment, locale=self.locale))


@cache
def reader(tag: str | None) -> Reader:
    """The reader of a BCP 47 tag; an unknown one is cut from its end until it is known."""
    locale = _locale(tag or FALLBACK)
    language = locale.language if locale.language in LANGUAGES else FALLBACK
    return Reader(language, locale, texts(language))


def _locale(tag: str) -> Locale:
    parts = tag.split("-")
    while parts:
        try:
            return Locale.parse("-".join(parts), sep="-")
        except (UnknownLocaleError, ValueError):
            parts.pop()
    return Locale(FALLBACK)


def accepted(header: str) -> Reader:
    """The first of our languages that an Accept-Language header names; English otherwise."""
    for choice in header.split(",")[:10]:
        language = choice.split(";")[0].split("-")[0].strip().lower()
        if language in LANGUAGES:
            return reader(language)
    return reader(FALLBACK)


@cache
def texts(language: str) -> Mapping[str, Mapping[str, str]]:
    """All texts of a language, by section and key."""
    file = files("notification_service").joinpath("texts", f"{language}.toml")
    found: dict[str, dict[str, str]] = tomllib.loads(file.read_text(encoding="utf-8"))
    return found
