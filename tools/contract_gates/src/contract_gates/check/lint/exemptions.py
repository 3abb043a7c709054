"""What may stay as it is although a rule of the house speaks against it, and why.

One guarantee: an exemption that exempts nothing any more is a finding, so the list holds only what
is needed.
"""

PAYMENT = "contracts/payment/openapi.yaml#/components/schemas/PaymentView/properties"
SEARCH = "contracts/search/openapi.yaml#/components/schemas/SearchPage/properties"
NOTIFICATION = "contracts/notification/openapi.yaml#/components/schemas"

# By rule: file and pointer, and the reason.
EXEMPTIONS: dict[str, dict[str, str]] = {
    "times-are-named-as-such": {
        "contracts/common/envelope.json#/properties/time": "CloudEvents 1.0 names it",
    },
    "ids-are-common-ids": {
        f"{PAYMENT}/intent_id": "the gateway's id, in the gateway's form",
        f"{PAYMENT}/refund_id": "the gateway's id, in the gateway's form",
    },
    "money-is-common-money": {
        f"{SEARCH}/total": "it counts books",
    },
    "properties-are-snake-case": {
        f"{NOTIFICATION}/OneClick/properties/List-Unsubscribe": "RFC 8058 names it",
        f"{NOTIFICATION}/SnsEnvelope/properties/Type": "SNS names it",
        f"{NOTIFICATION}/SnsEnvelope/properties/Message": "SNS names it",
    },
    # A limit now would refuse what was taken so far; the whole body has one.
    "strings-are-bounded": {
        f"{NOTIFICATION}/SnsEnvelope/properties/Message": "SNS sends up to 256 KB",
    },
}
