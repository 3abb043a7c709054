"""What the fault tests have found in the notification service so far.

Guarantee: each entry stays when its bug is gone.
"""

from faults.findings import Bug

BUGS = (
    Bug(
        title="A mail that had been sent was withheld from its customer's erasure",
        cause=(
            "An erasure withheld every mail that was not settled, also one that was being sent: "
            "its record then said that it never was, though it had arrived, and its order was "
            "free for a later mail while it was still on its way. It is left to its sender now, "
            "and the erasure comes again until that is settled (notification_service.courier)."
        ),
        plan="mails/erased-at-once script:tell(ContactErased):reorder "
        "notification-worker-2:send_raw_email(Your order is confirmed):crash_after",
        layer="exhaustive",
        invariant="I6",
    ),
)
