"""Hypothesis profiles (HYPOTHESIS_PROFILE=thorough runs many more examples, few fewer) and options of our own."""

import gc
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# --doctest-modules would take the first for another folder's; the others put a stand-in for a GPU into the process.
_PTX_DEVICE = "support/ptx_device/"
collect_ignore = [
    "conftest.py",
    "ptx_cases.py",
    *(_PTX_DEVICE + name for name in ("plugin.py", "torch_memory.py", "site")),
]

# A shell that starts the tests in the background has them, and all that they start, ignore it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# numba makes so many objects that Python's collector takes a tenth of the time of compiling.
gc.set_threshold(100_000, 50, 100)

settings.register_profile(
    "default",
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough", settings.get_profile("default"), max_examples=3000, derandomize=False
)
settings.register_profile("few", settings.get_profile("default"), max_examples=15)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser):
    parser.addoption("--no-skips", action="store_true", help="fail if any test was skipped")
    parser.addoption(
        "--update-pages", action="store_true", help="write the table of frameworks that was found"
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    # The processes of pytest-xdist report to the one that has a reporter.
    if session.config.getoption("--no-skips") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
