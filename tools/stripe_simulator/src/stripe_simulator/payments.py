"""The endpoints that move money: parameters to domain calls.

Guarantee: every parameter is checked before the domain is touched, so an invalid request changes
nothing.
"""

from __future__ import annotations

from stripe_simulator import forms, intents, refunds
from stripe_simulator.calls import Answer, Call, intent_body
from stripe_simulator.cards import find_card
from stripe_simulator.charges import Charge
from stripe_simulator.errors import StripeError, invalid
from stripe_simulator.forms import Params
from stripe_simulator.ids import new_id
from stripe_simulator.intents import Intent

# Stripe's minimum charge amounts in minor units; 50 where a currency is not listed here.
MINIMUM_AMOUNTS = {"gbp": 30, "jpy": 50, "chf": 50, "sek": 300, "nok": 300, "dkk": 250, "pln": 200}
DEFAULT_MINIMUM = 50
# Stripe supports up to eight digits.
MAXIMUM_AMOUNT = 99_999_999
# fmt: off
CURRENCIES = frozenset((
    "usd", "aed", "ars", "aud", "bgn", "brl", "cad", "chf", "clp", "cny", "cop",
    "czk", "dkk", "egp", "eur", "gbp", "hkd", "huf", "idr", "ils", "inr", "isk",
    "jpy", "kes", "krw", "mad", "mxn", "myr", "ngn", "nok", "nzd", "pen", "php",
    "pln", "qar", "ron", "rsd", "sar", "sek", "sgd", "thb", "try", "twd", "uah",
    "uyu", "vnd", "zar",
))
# fmt: on

# fmt: off
CONFIRM_PARAMETERS = frozenset((
    "payment_method", "payment_method_types", "payment_method_options", "return_url",
    "off_session", "error_on_requires_action", "receipt_email", "setup_future_usage",
    "use_stripe_sdk", "capture_method", "expand",
))
CREATE_PARAMETERS = CONFIRM_PARAMETERS | frozenset((
    "amount", "currency", "automatic_payment_methods", "confirm", "confirmation_method",
    "customer", "description", "metadata", "statement_descriptor",
    "statement_descriptor_suffix", "transfer_group", "shipping",
))
REFUND_PARAMETERS = frozenset(
    ("payment_intent", "charge", "amount", "reason", "metadata", "expand")
)
# fmt: on


def create_intent(call: Call) -> Answer:
    params = call.params
    forms.only(params, CREATE_PARAMETERS)
    amount = forms.integer(params, "amount")
    if amount is None:
        raise invalid("Missing required param: amount.", "amount", "parameter_missing")
    currency = forms.required(params, "currency").lower()
    if currency not in CURRENCIES:
        raise invalid(f"Invalid currency: {currency[:10]}", "currency")
    _check_amount(amount, currency)
    confirming = forms.boolean(params, "confirm")
    types = forms.items(params, "payment_method_types")
    automatic = forms.branch(params, "automatic_payment_methods")
    if types and automatic is not None:
        raise invalid(
            "You may only specify one of these parameters: automatic_payment_methods,"
            " payment_method_types."
        )
    if types and "card" not in types:
        raise invalid("The simulator takes cards only.", "payment_method_types")
    intent = Intent(
        id=new_id("pi_"),
        created=int(call.changes.at),
        amount=amount,
        currency=currency,
        capture_method=forms.one_of(
            params, "capture_method", ("automatic", "automatic_async", "manual"), "automatic_async"
        ),
        confirmation_method=forms.one_of(
            params, "confirmation_method", ("automatic", "manual"), "automatic"
        ),
        metadata=forms.metadata(params),
        automatic_payment_methods=None if types else _automatic_methods(automatic),
        description=forms.text(params, "description"),
        customer=forms.text(params, "customer"),
        return_url=forms.text(params, "return_url"),
    )
    payment_method = forms.text(params, "payment_method")
    if payment_method is not None:
        find_card(payment_method)
    if not confirming:
        if forms.boolean(params, "off_session"):
            raise invalid("off_session can only be used with confirm=true.", "off_session")
        if payment_method is not None:
            intents.use_method(intent, payment_method)
        call.changes.announce("payment_intent.created", intent)
        return 200, intent_body(call, intent)
    if payment_method is None:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
            "payment_method",
            "parameter_missing",
        )
    _require_return_url(intent)
    call.changes.announce("payment_intent.created", intent)
    intents.use_method(intent, payment_method)
    return _confirm(call, intent)


def _check_amount(amount: int, currency: str) -> None:
    minimum = MINIMUM_AMOUNTS.get(currency, DEFAULT_MINIMUM)
    if amount < minimum:
        code = "amount_too_small" if amount > 0 else "parameter_invalid_integer"
        raise invalid(f"Amount must be at least {minimum} {currency}", "amount", code)
    if amount > MAXIMUM_AMOUNT:
        raise invalid(
            f"Amount must be no more than {MAXIMUM_AMOUNT} {currency}", "amount", "amount_too_large"
        )


def _automatic_methods(automatic: Params | None) -> dict[str, object] | None:
    """Automatic payment methods are Stripe's default when no types are given."""
    if automatic is None:
        return {"allow_redirects": "always", "enabled": True}
    forms.only(automatic, ("enabled", "allow_redirects"))
    if not forms.boolean(automatic, "enabled"):
        return None
    redirects = forms.one_of(automatic, "allow_redirects", ("always", "never"), "always")
    return {"allow_redirects": redirects, "enabled": True}


def _require_return_url(intent: Intent) -> None:
    automatic = intent.automatic_payment_methods
    if automatic and automatic["allow_redirects"] == "always" and intent.return_url is None:
        raise invalid(
            "This PaymentIntent accepts payment methods that may redirect the customer. Pass a"
            " `return_url`, or set `automatic_payment_methods[allow_redirects]` to `never`, or"
            " `payment_method_types` to the ones you take.",
            "return_url",
        )


def confirm_intent(call: Call) -> Answer:
    params = call.params
    forms.only(params, CONFIRM_PARAMETERS)
    intent = call.store.intents.get(call.identifier, "intent")
    payment_method = forms.text(params, "payment_method")
    return_url = forms.text(params, "return_url")
    forms.boolean(params, "error_on_requires_action")  # Refused before anything changes.
    if intent.status in intents.CONFIRMABLE:
        if payment_method is not None:
            find_card(payment_method)
        intent.return_url = return_url or intent.return_url
        _require_return_url(intent)
        if payment_method is not None:
            intents.use_method(intent, payment_method)
    return _confirm(call, intent)


def _confirm(call: Call, intent: Intent) -> Answer:
    charge, declined = intents.confirm(
        intent,
        call.changes,
        off_session=call.params.get("off_session") not in (None, "", "false"),
        refuse_action=forms.boolean(call.params, "error_on_requires_action"),
    )
    return _attempt_answer(call, intent, charge, declined)


def _attempt_answer(
    call: Call, intent: Intent, charge: Charge | None, declined: StripeError | None
) -> Answer:
    if declined is not None:
        return declined.status, declined.body()
    return 200, intent_body(call, intent, charge)


def authenticate_intent(call: Call, *, succeed: bool) -> Answer:
    """Not Stripe's: plays the customer before 3-D Secure."""
    intent = call.store.intents.get(call.identifier, "intent")
    charge, declined = intents.authenticate(intent, call.changes, succeed=succeed)
    return _attempt_answer(call, intent, charge, declined)


def capture_intent(call: Call) -> Answer:
    forms.only(call.params, ("amount_to_capture", "final_capture", "metadata", "expand"))
    intent = call.store.intents.get(call.identifier, "intent")
    amount = forms.integer(call.params, "amount_to_capture")
    added = forms.metadata(call.params)
    intents.capture(intent, call.store.charge_of(intent), call.changes, amount, added)
    return 200, intent_body(call, intent)


def cancel_intent(call: Call) -> Answer:
    forms.only(call.params, ("cancellation_reason", "expand"))
    intent = call.store.intents.get(call.identifier, "intent")
    reason = forms.text(call.params, "cancellation_reason")
    if reason is not None:
        forms.one_of(call.params, "cancellation_reason", intents.CANCELLATION_REASONS, "")
    intents.cancel(intent, call.store.charge_of(intent), call.changes, reason)
    return 200, intent_body(call, intent)


def create_refund(call: Call) -> Answer:
    params, store = call.params, call.store
    forms.only(params, REFUND_PARAMETERS)
    intent_id, charge_id = forms.text(params, "payment_intent"), forms.text(params, "charge")
    if (intent_id is None) == (charge_id is None):
        raise invalid("One of payment_intent and charge is required.", "payment_intent")
    amount = forms.integer(params, "amount")
    if amount is not None and amount <= 0:
        raise invalid("Invalid positive integer", "amount", "parameter_invalid_integer")
    reason = forms.text(params, "reason")
    if reason is not None:
        forms.one_of(params, "reason", refunds.REASONS, "")
    metadata = forms.metadata(params)
    charge: Charge | None
    if intent_id is not None:
        intent = store.intents.get(intent_id, "payment_intent")
        charge = store.charge_of(intent)
    else:
        charge = store.charges.get(charge_id or "", "charge")
        intent = store.intents.get(charge.payment_intent)
    made = refunds.refund(
        intent, charge, call.changes, amount=amount, reason=reason, metadata=metadata
    )
    return 200, made.body
