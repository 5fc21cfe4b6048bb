"""Programs that write tables, such as ``python -m benchmarks.report``; asv's benchmarks are in `suites`."""
