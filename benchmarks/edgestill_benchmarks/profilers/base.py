"""What a profiler returns."""

Run = tuple[float, list[tuple[str, float]]]
"""One run: µs of the whole, and name and µs of each operator in the order of computation."""
