"""The tests, a package so that `python -m tests.support.campaign` and the like can import each other."""
