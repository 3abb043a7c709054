"""The guards of the notification service, each taken out once: what its fault tests have to notice.

Guarantee: every passage is the product's own text; one that has changed makes the list fail.
"""

from faults.mutants import Mutant

COURIER, STORE, DOMAIN = (f"notification_service.{name}" for name in ("courier", "store", "domain"))
PROFILES, HANDLERS = "notification_service.profiles", "notification_service.handlers"
INBOX, REACTIONS = "idempotency.inbox", "messaging.reactions"

_BEGIN = """\
        begun = await self._mails.begin(
            mail, profile, owner=str(uuid.uuid4()), lease_ms=self._lease_ms
        )
"""
_SEND = """\
            ses_id = await self._ses.send(raw, sender=self._writer.sender, to=profile.email)
"""

MUTANTS = (
    Mutant(
        "sent-before-begun",
        30,
        "a mail is begun in the table before it is sent",
        COURIER,
        _BEGIN,
        "        early = await self._ses.send(raw, sender=self._writer.sender, to=profile.email)\n"
        + _BEGIN,
        also=((COURIER, _SEND, "            ses_id = early\n"),),
        killers=(
            (
                "mails/confirmed",
                "notification-worker:transact_write_items(mail confirmed+order+profile+suppressed+shard):error_before",
            ),
            (
                "mails/confirmed",
                "notification-worker:transact_write_items(mail confirmed+order+profile+suppressed+shard):crash_after",
            ),
        ),
    ),
    Mutant(
        "settled-mail-is-taken-up",
        62,
        "a mail that has come to its end stays there",
        COURIER,
        "        if mail is None or mail.state in TERMINAL:\n",
        "        if mail is None:\n",
        also=(
            (
                STORE,
                '                    condition="#s = :waiting AND attempts = :before",\n',
                '                    condition="(#s = :waiting OR attempts = :before)",\n',
            ),
            (STORE, '            gone.append("facts")\n', ""),
        ),
        killers=(("mails/rejected", ""),),
    ),
    Mutant(
        "no-stage-mark",
        16,
        "a mail that begins marks how far its order has got",
        STORE,
        "        stage = STAGES.get(mail.key.kind)\n",
        "        stage: int | None = None\n",
        killers=(("mails/backwards", ""),),
    ),
    Mutant(
        "nothing-superseded",
        16,
        "a mail that a later one has overtaken is withheld",
        DOMAIN,
        "    if STAGES.get(mail.key.kind, mark.stage) < mark.stage:\n",
        "    if False:\n",
        killers=(("mails/backwards", ""),),
    ),
    Mutant(
        "order-not-held",
        16,
        "while a mail is on its way, none of the same order is begun",
        STORE,
        '        free = "(attribute_not_exists(hold_owner) OR hold_ends_ms <= :now)"\n',
        '        free = "(hold_ends_ms <= :now OR NOT hold_ends_ms <= :now)"\n',
        also=((DOMAIN, "    if mark.holds(now_ms):\n", "    if False:\n"),),
        killers=(
            (
                "mails/two-workers",
                "notification-worker:send_raw_email(Your order is confirmed):late",
            ),
        ),
    ),
    Mutant(
        "unknown-mail-frees-its-order",
        41,
        "a mail that may still be on its way holds its order until its lease is over",
        STORE,
        "{}, free_order=False)",
        "{}, free_order=True)",
        killers=(
            (
                "mails/contact-late",
                "notification-worker:send_raw_email(Your order is confirmed):late",
            ),
        ),
    ),
    Mutant(
        "sent-again-after-a-lost-answer",
        41,
        "whoever has heard no answer does not ask again, as SDKs do",
        COURIER,
        "        except Unanswered as unanswered:\n",
        "        except Unanswered as lost:\n"
        "            await self._refused(begun, Refused(lost.code))\n"
        "        except ArithmeticError as unanswered:\n",
        killers=(
            (
                "mails/confirmed",
                "notification-worker:send_raw_email(Your order is confirmed):error_after",
            ),
        ),
    ),
    Mutant(
        "sent-on-a-lease-that-is-over",
        24,
        "whoever stood still until the lease may end sends nothing",
        COURIER,
        "            if self._mails.now_ms + self._ses.limit_seconds * 1000 > begun.lease_ends_ms:\n",
        "            if False:\n",
        killers=(
            (
                "mails/two-workers",
                "notification-worker:transact_write_items(mail confirmed+order+profile+suppressed+shard):pause_after",
            ),
        ),
    ),
    Mutant(
        "lease-ignored",
        24,
        "a mail that somebody is sending is theirs until their lease is over",
        COURIER,
        "            if now < mail.lease_ends_ms:\n",
        "            if False:\n",
        killers=(
            (
                "mails/cancelled",
                "notification-worker:transact_write_items(mail cancelled+order+profile+suppressed+shard):pause_after",
            ),
        ),
    ),
    Mutant(
        "lease-without-end",
        23,
        "the mail of a worker that died ends as unknown",
        COURIER,
        "            if now < mail.lease_ends_ms:\n",
        "            if True:\n",
        killers=(
            (
                "mails/confirmed",
                "notification-worker:transact_write_items(mail confirmed+order+profile+suppressed+shard):crash_after",
            ),
        ),
    ),
    Mutant(
        "refused-mail-not-put-back",
        20,
        "a mail that was refused for now waits again",
        COURIER,
        "        await self._mails.put_back(mail)\n",
        "",
        killers=(
            (
                "mails/confirmed",
                "notification-worker:send_raw_email(Your order is confirmed):refuse",
            ),
        ),
    ),
    Mutant(
        "recorded-before-handled",
        22,
        "a message is recorded as handled after it was",
        REACTIONS,
        "        await reaction.handler(payload, message)\n"
        "        return await inbox.record(message.id, message.type)\n",
        "        if not await inbox.record(message.id, message.type):\n"
        "            return False\n"
        "        await reaction.handler(payload, message)\n"
        "        return True\n",
        killers=(
            (
                "mails/confirmed",
                "notification-worker:transact_write_items(mail confirmed+due confirmed+shard):crash_before",
            ),
        ),
    ),
    Mutant(
        "copy-counted",
        15,
        "a copy of a handled message is not counted",
        INBOX,
        '                    "ConditionExpression": "attribute_not_exists(pk)",\n',
        "",
        killers=(
            (
                "mails/confirmed",
                "notification-worker:delete_message_batch(OrderConfirmed):error_before",
            ),
        ),
    ),
    Mutant(
        "conflict-taken-for-success",
        9,
        "a record that met another transaction is written again",
        INBOX,
        "            if known is None:\n",
        "            if not known:\n",
        killers=(
            (
                "mails/confirmed",
                "notification-worker:transact_write_items(ContactProvided+notification-inbox key):refuse",
            ),
        ),
    ),
    Mutant(
        "contact-version-ignored",
        16,
        "an older contact replaces no newer one",
        PROFILES,
        '                    condition="attribute_not_exists(version) OR version < :version",\n',
        '                    condition="attribute_not_exists(version) OR attribute_exists(version)",\n',
        killers=(("mails/contact-changes", "script:tell(ContactProvided):late"),),
    ),
    Mutant(
        "contact-not-compared",
        40,
        "a mail is begun only for the contact that it was written for",
        STORE,
        '                    "revision = :revision",\n',
        '                    "revision >= :revision",\n',
        killers=(
            (
                "mails/contact-changes",
                "notification-worker:transact_write_items(profile)#2:pause_after",
            ),
        ),
    ),
    Mutant(
        "erased-mail-sent-later",
        46,
        "what waited for a contact that is to be forgotten is sent to no later one",
        HANDLERS,
        "            await self._courier.withhold_waiting(event.customer_id)\n",
        "            pass\n",
        killers=(("mails/erased", ""),),
    ),
    Mutant(
        "erasure-takes-what-is-being-sent",
        24,
        "an erasure leaves a mail that is being sent to whoever sends it",
        COURIER,
        "                if mail.state is State.SENDING:\n",
        "                if False:\n",
        killers=(
            (
                "mails/erased-at-once",
                "script:tell(ContactErased):reorder notification-worker-2:send_raw_email(Your order is confirmed):crash_after",
            ),
        ),
    ),
    Mutant(
        "contact-wakes-nobody",
        16,
        "a contact sends what has waited for it",
        HANDLERS,
        "        await self._courier.deliver_waiting(event.customer_id)\n",
        "",
        killers=(("mails/contact-late", ""),),
    ),
    Mutant(
        "nobody-sweeps",
        39,
        "a mail that nothing else will settle is looked after",
        "notification_service.sweep",
        "        overdue = await self._mails.due(PAGE)\n",
        "        overdue: list[Due] = []\n",
        killers=(("mails/no-contact", ""),),
    ),
)
