"""Benchmarks for asv, and ``python -m benchmarks.report``, which draws up the README's tables."""
