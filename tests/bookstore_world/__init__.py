"""The bookstore as a world of faults: its processes, its sagas to hit, its invariants."""
