"""Plans that have once broken an invariant, or have been near it: they are run every time.

Guarantee: each names what it showed; a plan stays here when the bug is gone.
"""

REGRESSIONS: tuple[tuple[str, str, str], ...] = (
    (
        "confirmed",
        "order-web:commit(ReserveStock):crash_before order-web:put_item(order key):repeat",
        "a key that is taken over by a write that the client repeats is its owner's",
    ),
    (
        "confirmed",
        "order-worker:commit(ReconcilePayments+ReconcileStock):crash_after "
        "order-web:put_events(ReconcilePayments+ReconcileStock):partial",
        "a sweep marks only what the bus has taken",
    ),
    (
        "two-workers",
        "order-worker-2:commit(PaymentAuthorized):pause_before",
        "a stale owner that wakes before its COMMIT overwrites nothing",
    ),
    (
        "stock=3 workers=2 good*1! good*2 declined*1 good*1",
        "catalog-worker:commit(ReserveStock):crash_after payment-worker:commit(AuthorizePayment):"
        "error_after",
        "orders that meet on one shelf",
    ),
)
