"""What several test files share: the oracle, drawn rows, checks, and programs that run for minutes."""
