"""Plans that have once broken an invariant: they are run every time.

Guarantee: each names what it showed; a plan stays here when the bug is gone.
"""

REGRESSIONS: tuple[tuple[str, str, str], ...] = (
    (
        "mails/erased-at-once",
        "script:tell(ContactErased):reorder "
        "notification-worker-2:send_raw_email(Your order is confirmed):crash_after",
        "an erasure withholds what waits, not what is being sent",
    ),
)
