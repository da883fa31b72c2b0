"""Micro-benchmarks for pytest-benchmark; see `make bench`."""
