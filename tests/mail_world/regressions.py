REGRESSIONS: tuple[tuple[str, str, str], ...] = ()
