"""What is in a mail: headers, texts, amounts; and that nobody can put anything else into it."""

import html
import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import default

import pytest

from contracts.models.common import Money
from notification_service.domain import Kind, Mail, Profile, State
from notification_service.languages import LANGUAGES, reader, texts
from notification_service.mails import Unwritable, Writer
from notification_service.tokens import Unsubscribing

EUR = {"amount_minor": 123456, "currency": "EUR"}
FACTS = {
    "confirmed": {
        "lines": [{"book_id": "b-1", "quantity": 2, "unit_price": EUR}],
        "total": {"amount_minor": 246912, "currency": "EUR"},
    },
    "refunded": {"amount": EUR},
    "cancelled": {"refunded": EUR},
    "rejected": {"reason": "out_of_stock"},
}
REASONS = [code for code in texts("en")["reason"] if code not in ("timeout", "other")]


@pytest.fixture
def writer(desk):
    return desk.writer


def mail(order, kind, **facts):
    return Mail(order.key(kind), State.WAITING, 1_768_473_030_000, 0, facts or FACTS[kind])


def profile(order, **given):
    return Profile(order.customer_id, **{"email": "ada@example.com", **given})


def parsed(writer, order, kind="confirmed", facts=None, **given):
    raw = writer.write(mail(order, kind, **(facts or {})), profile(order, **given))
    return message_from_bytes(raw, policy=default)


def part(message, subtype):
    return message.get_body((subtype,)).get_content()


def visible(markup):
    body = re.sub(r"<style.*?</style>|<title.*?</title>", "", markup, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def plain_words(text):
    return " ".join(text.replace(":", " ").split())


@pytest.mark.parametrize("kind", list(Kind))
def test_mail_has_the_headers_that_programs_look_for(desk, writer, order, kind):
    message = parsed(writer, order, kind, name="Ada")
    assert message["From"] == "Bookstore <orders@bookstore.example>"
    assert message["To"] == "Ada <ada@example.com>"
    assert message["Message-ID"] == f"<{order.order_id}.{kind}@bookstore.example>"
    assert message["X-Bookstore-Mail"] == f"{order.order_id}/{kind}"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = desk.unsubscribing.link(order.customer_id)
    assert message["List-Unsubscribe"] == f"<{link}>"
    assert link in part(message, "plain")
    assert html.escape(link) in part(message, "html")
    assert message["Subject"]
    assert message["Date"]


def test_long_links_and_names_keep_the_headers_whole(writer, new_order):
    order = new_order(customer_id="c" * 64)
    name = "Ǻda von Ŝtraße, „die Größte“ " * 3
    raw = writer.write(mail(order, "confirmed"), profile(order, name=name.strip()))
    assert all(len(line) < 998 for line in raw.split(b"\r\n"))
    assert b"List-Unsubscribe: <https://" in raw
    # Not by the parser, which leaves a space between encoded words of a name.
    _, _, to = raw.partition(b"\r\nTo: ")
    decoded = str(make_header(decode_header(to.partition(b"\r\n")[0].decode())))
    assert decoded == f"{name.strip()} <ada@example.com>"


@pytest.mark.parametrize(
    "name",
    [
        "Ada\r\nBcc: all@example.com",
        "Ada\nX-Evil: 1\n\nbody",
        "Ada\x00\x0b\x0c\x85\u2028Bcc: all@example.com",
        'Ada" <evil@example.com>, "x',
        "=?utf-8?q?Ada=0D=0ABcc=3A_all=40example.com?=",
        "evil@example.com, Ada",
    ],
)
def test_no_name_can_add_a_header_or_a_recipient(writer, order, name):
    plain = parsed(writer, order)
    message = parsed(writer, order, name=name)
    assert message.keys() == plain.keys()
    assert [each.addr_spec for each in message["To"].addresses] == ["ada@example.com"]
    assert not message.defects
    greeting = [line for line in part(message, "plain").splitlines() if line.startswith("Hello")]
    assert greeting == [f"Hello {' '.join(name.replace(chr(0), ' ').split())},"]


@pytest.mark.parametrize("address", ["a..b@example.com", ".a@example.com", "o'brien+x@example.com"])
def test_odd_addresses_are_written_to_as_they_are(writer, order, address):
    (to,) = parsed(writer, order, email=address)["To"].addresses
    assert f"{to.username}@{to.domain}" == address


def test_hostile_names_are_text_and_no_markup(writer, order):
    hostile = "<script>alert(1)</script>&{{ 7*7 }}{% raw %}"
    message = parsed(writer, order, name=hostile)
    assert "<script" not in part(message, "html")
    assert hostile in visible(part(message, "html"))
    assert hostile in part(message, "plain")


@pytest.mark.parametrize("tag", ["en-GB", "de-DE", "de-CH", "fr-FR"])
@pytest.mark.parametrize("kind", list(Kind))
def test_both_parts_say_the_same(writer, order, kind, tag):
    message = parsed(writer, order, kind, name="Ada", locale=tag)
    shown = visible(part(message, "html"))
    said = re.sub(r"https://\S+|^\*|^--\s*$", "", part(message, "plain"), flags=re.M)
    for line in said.splitlines():
        for each in line.split(" = "):
            assert plain_words(each) in plain_words(shown)


def test_amounts_look_as_the_customer_writes_them(writer, order):
    assert "€2,469.12" in part(parsed(writer, order, locale="en-GB"), "plain")
    assert "2.469,12\xa0€" in part(parsed(writer, order, locale="de-DE"), "plain")
    preferred = parsed(writer, order, locale="en-GB", preferred_locale="de-DE")
    assert "2.469,12\xa0€" in part(preferred, "plain")


@pytest.mark.parametrize(
    ("currency", "amount_minor", "shown"),
    [
        ("JPY", 1999, "¥1,999"),
        ("EUR", 0, "€0.00"),
        ("KWD", 1999, "KWD\xa01.999"),
        ("RSD", 199900, "RSD\xa01,999.00"),  # CLDR shows no minor unit of it; ISO 4217 has one.
        ("USD", 9999999999, "$99,999,999.99"),
    ],
)
def test_minor_units_are_the_currencys_own(currency, amount_minor, shown):
    money = {"amount_minor": amount_minor, "currency": currency}
    assert reader("en-US").money(money) == shown


@pytest.mark.parametrize(
    ("tag", "language", "amount"),
    [
        (None, "en", "€1,234.56"),
        ("de-AT", "de", "€\xa01.234,56"),
        ("fr-FR", "en", "1\u202f234,56\xa0€"),
        ("xx-YY", "en", "€1,234.56"),
        ("de-DE-u-co-phonebk", "de", "1.234,56\xa0€"),
        ("zh-Hant-TW", "en", "€1,234.56"),
        ("tlh", "en", "€1,234.56"),
    ],
)
def test_every_locale_gets_a_mail(writer, order, tag, language, amount):
    assert reader(tag).language == language
    assert reader(tag).money(EUR) == amount
    assert parsed(writer, order, locale=tag)["Subject"] == texts(language)["confirmed"]["subject"]


def test_dates_have_words_only_in_the_language_of_the_texts():
    moment = datetime(2026, 1, 15, tzinfo=UTC)
    dates = {tag: reader(tag).date(moment) for tag in ("en-GB", "de-CH", "fr-FR")}
    assert dates == {"en-GB": "15 January 2026", "de-CH": "15. Januar 2026", "fr-FR": "15/01/2026"}


@pytest.mark.parametrize("tag", ["en", "de"])
@pytest.mark.parametrize("code", [*REASONS, "reserve_stock_timeout", "capture_payment_timeout"])
def test_known_reasons_are_told_in_words_of_their_own(writer, order, tag, code):
    told = reader(tag).reason(code)
    assert told != texts(tag)["reason"]["other"]
    assert code not in told
    message = parsed(writer, order, "rejected", {"reason": code}, locale=tag)
    assert told in part(message, "plain")


def test_unknown_reason_gets_a_general_sentence(writer, order):
    message = parsed(writer, order, "rejected", {"reason": "moon_phase"})
    assert texts("en")["reason"]["other"] in part(message, "plain")


def test_all_languages_have_the_same_texts_with_the_same_values():
    def shape(language):
        return {
            (section, key): sorted(re.findall(r"{(\w+)}", text))
            for section, entries in texts(language).items()
            for key, text in entries.items()
        }

    for language in LANGUAGES:
        assert shape(language) == shape("en")


def test_mail_that_cannot_be_written_is_a_dead_letter_that_quotes_nothing(writer, order):
    with pytest.raises(Unwritable) as refused:
        writer.write(mail(order, "confirmed", lines=[]), profile(order, name="Ada Lovelace"))
    assert "Ada" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert "UndefinedError" in str(refused.value)


def test_sender_with_a_comma_is_one_sender(order):
    unsubscribing = Unsubscribing(_secret(), "https://example.com")
    writer = Writer('"Books, Ltd" <orders@bookstore.example>', unsubscribing)
    (sender,) = parsed(writer, order)["From"].addresses
    assert (sender.display_name, sender.domain) == ("Books, Ltd", "bookstore.example")


def test_money_of_the_contract_fits(order):
    event = order.confirmed(Money(amount_minor=1, currency="EUR"))
    facts = event.model_dump(mode="json", include={"lines", "total"})
    assert facts["total"] == {"amount_minor": 1, "currency": "EUR"}


def test_token_is_good_for_its_customer_only(desk):
    links = desk.unsubscribing
    token = links.token("ada_1-x")
    assert links.customer_of(token) == "ada_1-x"
    forged = links.token("bob").partition(".")[0] + "." + token.partition(".")[2]
    for wrong in (forged, "", ".", token[:-2], token + "x", "é.é", "a" * 5000, token + "."):
        assert links.customer_of(wrong) is None


def _secret():
    from pydantic import SecretStr

    return SecretStr("another key, long enough")
