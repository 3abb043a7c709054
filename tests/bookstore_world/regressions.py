"""Plans that have once broken an invariant, or have been near it: they are run every time.

Guarantee: each names what it showed; a plan stays here when the bug is gone.
"""

REGRESSIONS: tuple[tuple[str, str, str], ...] = ()
