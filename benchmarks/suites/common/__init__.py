"""Batches, calls, timers and what is compared, for the asv suites and the report."""
