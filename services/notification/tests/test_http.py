"""The service over HTTP: preferences, unsubscribing, SES's webhook, the mailbox."""

import base64
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import orjson
import pytest

from chassis import Parts
from chassis.web import build_app
from notification_service.app import SERVICE
from notification_service.mailbox import read
from notification_service.settings import NotificationSettings
from observability import configure_tracing

SECRET = "a secret of the webhook"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def open_service(aws, ses):
    """`async with open_service(**settings) as http`: the whole service but its workers."""

    @asynccontextmanager
    async def opened(**given):
        settings = NotificationSettings(
            aws_endpoint_url=aws.endpoint_url,
            unsubscribe_key="a key for tests, long enough",
            public_url="https://mail.bookstore.example/",
            **{"ses_webhook_secret": SECRET, "mailbox_url": aws.endpoint_url, **given},
        )
        tracing = configure_tracing("notification", otlp_endpoint=None, trace_file=None)
        async with SERVICE.open(settings, tracing) as resources:
            parts: Parts = await SERVICE.compose(resources)
            app = build_app(SERVICE.title, resources, parts.routers(), parts.media_types)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
                yield http
            for close in parts.closers:
                await close()

    return opened


@pytest.fixture
async def http(open_service):
    async with open_service() as client:
        yield client


@pytest.fixture
def link(desk, order):
    return desk.unsubscribing.link(order.customer_id).partition(".example")[2]


def notification(message, kind="Notification"):
    return orjson.dumps({"Type": kind, "MessageId": "1", "Message": orjson.dumps(message).decode()})


def bounce(address, kind="Permanent"):
    recipients = [{"emailAddress": address, "status": "5.1.1"}]
    told = {"bounceType": kind, "bounceSubType": "General", "bouncedRecipients": recipients}
    return {"notificationType": "Bounce", "bounce": told, "mail": {}}


def complaint(address, **given):
    told = {"complainedRecipients": [{"emailAddress": address}], **given}
    return {"notificationType": "Complaint", "complaint": told}


async def post(http, body, password=SECRET, media_type="text/plain; charset=UTF-8"):
    credentials = base64.b64encode(f"sns:{password}".encode()).decode()
    headers = {"Content-Type": media_type, "Authorization": f"Basic {credentials}"}
    return await http.post("/webhooks/ses", content=body, headers=headers)


async def test_unknown_customer_wants_all_mails(http, order):
    answer = await http.get(f"/customers/{order.customer_id}/preferences")
    assert (answer.status_code, answer.json()) == (200, {"order_mails": "all"})


async def test_preferences_are_kept_and_replaced_as_a_whole(http, order):
    path = f"/customers/{order.customer_id}/preferences"
    for wanted in ({"order_mails": "problems", "locale": "de-CH"}, {"order_mails": "all"}):
        assert (await http.put(path, json=wanted)).json() == wanted
        assert (await http.get(path)).json() == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"order_mails": "some"},
        {"order_mails": "all", "locale": None},
        {"order_mails": "all", "locale": "../de"},
        {"order_mails": "all", "email": "ada@example.com"},
    ],
)
async def test_malformed_preferences_are_refused(http, order, wanted):
    answer = await http.put(f"/customers/{order.customer_id}/preferences", json=wanted)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_following_the_link_asks_and_changes_nothing(http, desk, order, link):
    answer = await http.get(link, headers={"Accept-Language": "de-CH, en;q=0.5"})
    assert answer.status_code == 200
    assert '<html lang="de">' in answer.text
    assert '<form method="post">' in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert (await desk.profiles.get(order.customer_id)).order_mails == "all"


@pytest.mark.parametrize(
    "given",
    [
        {"data": {"List-Unsubscribe": "One-Click"}},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {},
    ],
    ids=["form", "multipart", "no body"],
)
async def test_one_click_unsubscribes(http, desk, outbox, order, link, given):
    await desk.tell(order.contact())
    assert (await http.post(link, **given)).status_code == 200
    await desk.tell(order.confirmed())
    assert outbox.calls == 0
    assert await desk.state(order, "confirmed") == "withheld/unsubscribed"


async def test_the_link_in_the_mail_is_the_one_that_works(http, desk, outbox, order):
    await desk.tell(order.contact())
    await desk.tell(order.confirmed())
    header = str(outbox.took[0]["List-Unsubscribe"])
    assert header.startswith("<https://mail.bookstore.example/unsubscribe?token=")
    path = header.strip("<>").partition(".example")[2]
    assert (await http.post(path, data={"List-Unsubscribe": "One-Click"})).status_code == 200
    assert (await desk.profiles.get(order.customer_id)).order_mails == "none"


async def test_wrong_tokens_change_nothing(http, desk, order, link):
    for path in (link[:-3] + "abc", "/unsubscribe?token=x", "/unsubscribe?token=%00.%ff"):
        for method in ("GET", "POST"):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_token")
    assert (await http.post("/unsubscribe")).status_code == 422
    assert (await desk.profiles.get(order.customer_id)).order_mails == "all"


@pytest.mark.parametrize("media_type", ["text/plain; charset=UTF-8", "application/json"])
@pytest.mark.parametrize("told", [bounce, complaint], ids=["bounce", "complaint"])
async def test_hard_bounces_and_complaints_suppress(http, desk, outbox, order, told, media_type):
    address = f"{order.customer_id}@example.com"
    body = notification(told(f"Ada <{address.upper()}>"))
    assert (await post(http, body, media_type=media_type)).status_code == 204
    await desk.tell(order.contact(email=address))
    await desk.tell(order.confirmed())
    assert outbox.calls == 0
    assert await desk.state(order, "confirmed") == "withheld/suppressed"


async def test_bounces_that_may_pass_suppress_nothing(http, desk, order):
    address = f"{order.customer_id}@example.com"
    harmless = [
        bounce(address, "Transient"),
        bounce(address, "Undetermined"),
        complaint(address, complaintFeedbackType="not-spam"),
        {"notificationType": "Delivery", "delivery": {"recipients": [address]}},
    ]
    for message in harmless:
        assert (await post(http, notification(message))).status_code == 204
    assert not await desk.profiles.is_suppressed(address)


async def test_nothing_is_believed_without_the_password(http, desk, order):
    address = f"{order.customer_id}@example.com"
    body = notification(bounce(address))
    for password in ("", "wrong", SECRET + "x"):
        refused = await post(http, body, password)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    for header in ({}, {"Authorization": "Basic !"}, {"Authorization": f"Bearer {SECRET}"}):
        headers = {"Content-Type": "text/plain", **header}
        refused = await http.post("/webhooks/ses", content=body, headers=headers)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert not await desk.profiles.is_suppressed(address)


async def test_webhook_without_a_secret_is_closed(open_service):
    async with open_service(ses_webhook_secret=None) as http:
        refused = await post(http, notification({}))
        assert (refused.status_code, refused.json()["code"]) == (404, "webhook_closed")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"Type": "Notification"}',
        b'{"Type": "Notification", "Message": "no JSON"}',
        b'{"Type": "Notification", "Message": "{\\"notificationType\\": \\"Bounce\\"}"}',
        b'{"Type": ["Notification"]}',
        b"\xff",
    ],
)
async def test_malformed_notifications_are_refused(http, body):
    refused = await post(http, body)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_notification")


async def test_subscription_is_shown_to_the_operator_and_not_fetched(http, caplog):
    caplog.set_level("INFO")
    amazons = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=abc"
    for url in (amazons, "http://169.254.169.254/latest", amazons.replace(".com/", ".com.evil/")):
        body = orjson.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": url})
        assert (await post(http, body)).status_code == 204
    assert amazons in caplog.text
    assert "169.254" not in caplog.text
    assert "evil" not in caplog.text


async def test_census_counts_by_kind_and_state(http, desk, order):
    before = (await http.get("/ops/mails")).json()
    await desk.tell(order.contact())
    await desk.tell(order.confirmed())
    after = (await http.get("/ops/mails")).json()
    assert set(after["by_kind"]) == {"confirmed", "refunded", "cancelled", "rejected"}
    sent = [each["by_kind"]["confirmed"].get("sent", 0) for each in (before, after)]
    assert sent[1] == sent[0] + 1


async def test_real_ses_takes_a_mail_and_the_mailbox_shows_it(http, new_desk, ses, order):
    desk = new_desk(ses=ses)
    hostile = '</iframe><script>alert("x")</script>'
    await desk.tell(order.contact(name="Ada O'Hara, the first"))
    await desk.tell(order.confirmed())
    assert await desk.state(order, "confirmed") == "sent"
    answer = await http.get("/mailbox")
    assert answer.status_code == 200
    assert f"{order.order_id}" in answer.text
    assert hostile not in answer.text
    assert "<script" not in answer.text
    assert all('sandbox=""' in frame for frame in re.findall(r"<iframe[^>]*>", answer.text))
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_real_ses_refuses_a_sender_that_is_not_verified_for_now(new_desk, ses, order):
    await ses.delete_identity(Identity="bookstore.example")
    desk = new_desk(ses=ses)
    await desk.tell(order.contact())
    event = order.rejected()
    with pytest.raises(Exception, match="MessageRejected") as refused:
        await desk.tell(event)
    assert "@" not in str(refused.value)
    await ses.verify_domain_identity(Domain="bookstore.example")
    await desk.tell(event)
    assert await desk.state(order, "rejected") == "sent"


async def test_mailbox_is_absent_where_mails_are_real(open_service):
    async with open_service(mailbox_url=None) as http:
        answer = await http.get("/mailbox")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_mailbox")


async def test_mailbox_says_when_the_emulator_does_not_answer(open_service):
    async with open_service(mailbox_url="http://127.0.0.1:9") as http:
        answer = await http.get("/mailbox")
        assert answer.status_code == 200
        assert "cannot be read" in answer.text


def test_both_emulators_answers_are_read_alike(desk, order):
    mail, profile = _mail(order), _profile(order)
    letter = desk.writer.letter(mail, profile)
    ministack = {
        "messages": {
            "000000000000": [
                {
                    "MessageId": "1",
                    "Source": "Bookstore <orders@bookstore.example>",
                    "To": [profile.email],
                    "Subject": letter.subject,
                    "BodyText": letter.text,
                    "BodyHtml": letter.html,
                    "Timestamp": 1_768_473_030.0,
                }
            ]
        }
    }
    raw = desk.writer.write(mail, profile).decode()
    localstack = {
        "messages": [{"Id": "1", "Region": "r", "Timestamp": "2026-01-15T10:30:30", "RawData": raw}]
    }
    (one,), (other,) = read(ministack), read(localstack)
    for name in ("message_id", "name", "subject", "sender", "to", "sent_at"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.text.splitlines() == other.text.splitlines()
    assert one.html.split() == other.html.split()
    assert one.name == f"{order.order_id}/rejected"
    assert one.sent_at == datetime(2026, 1, 15, 10, 30, 30, tzinfo=UTC)
    assert other.headers["X-Bookstore-Mail"] == one.name


def _mail(order):
    from notification_service.domain import Mail, State

    return Mail(order.key("rejected"), State.WAITING, 0, 0, {"reason": "out_of_stock"})


def _profile(order):
    from notification_service.domain import Profile

    return Profile(order.customer_id, email="ada@example.com")
