"""Many callers at once, forks, interrupts, and the number of threads."""

import ast
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import numba_car as car
from numba_car._cpu import threads
from tests.support import callers
from tests.support.callers import DELTA, X

ROOT = Path(__file__).parent.parent


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("count", [400, pytest.param(10_000, marks=pytest.mark.large)])
def test_calls_from_everywhere_at_once(count):
    """In a process of its own, which an abort or a hang ends."""
    found = subprocess.run(
        [sys.executable, "-m", "tests.support.callers", str(count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=callers.LIMIT + 120,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-5000:]
    assert sum(ast.literal_eval(found.stdout).values()) == count


def in_child(queue):
    queue.put(car.eta(X, DELTA, 5.0, num_threads=3).tobytes())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork.. was called.*JAX:RuntimeWarning")  # where it is loaded
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_process_started_after_use(method):
    expected = car.eta(X, DELTA, 5.0, num_threads=3)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=in_child, args=(queue,))
    process.start()
    assert queue.get(timeout=120) == expected.tobytes()
    process.join(timeout=120)
    assert process.exitcode == 0


def test_the_first_error_stops_the_rest():
    done = []

    def task(index):
        if index == 3:
            raise RuntimeError("three")
        done.append(index)

    with pytest.raises(RuntimeError, match="three"):
        threads.run(task, 10_000, 4)
    assert len(done) < 10_000


def test_an_interrupt_waits_for_the_helpers(monkeypatch):
    """Whatever interrupts the caller, nobody is at work any more once it is raised."""
    at_work = threading.Event()
    finish = threading.Event()
    finished = []
    real_wait, waits = threads.wait, []

    def interrupted_wait(futures):
        waits.append(futures)
        if len(waits) == 1:
            raise KeyboardInterrupt
        finish.set()
        return real_wait(futures)

    def task(index):
        if threading.current_thread() is not threading.main_thread():
            at_work.set()
            finish.wait(timeout=60)
            finished.append(index)
        else:
            at_work.wait(timeout=60)

    monkeypatch.setattr(threads, "wait", interrupted_wait)
    with pytest.raises(KeyboardInterrupt):
        threads.run(task, 2, 2)
    assert len(finished) == 1


@pytest.mark.parametrize("is_served", [True, False])
def test_work_that_a_failed_submit_left_in_the_pool_is_waited_for(monkeypatch, is_served):
    """The pool queues it, cannot start a thread, and then one that served another caller is free."""
    at_work, left, finished, queue = threading.Event(), threading.Event(), [], []

    class Pool:
        def submit(self, *call):
            queue.append(call)
            if is_served:
                threading.Thread(target=call[0], args=call[1:]).start()
            raise RuntimeError("can't start new thread")

    def task(index):
        if threading.current_thread() is not threading.main_thread():
            at_work.set()
            left.wait(timeout=0.3)  # which the caller, if it waits, never sets
            finished.append(index)
        elif is_served:
            at_work.wait(timeout=60)

    monkeypatch.setattr(threads, "_helpers", lambda count: Pool())
    threads.run(task, 2, 2)
    assert len(finished) == is_served
    left.set()
    function, *arguments = queue[0]
    if not is_served:
        function(*arguments)  # late, and to no effect
    assert len(finished) == is_served


def test_every_task_runs_once():
    done = []
    threads.run(done.append, 1000, 4)
    assert sorted(done) == list(range(1000))


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_interrupt_leaves_a_library_that_works():
    found = run_python(
        """
        import os, signal, threading, time
        import numpy as np
        import numba_car as car
        x = np.random.default_rng(0).random((2000, 3000))
        delta = np.random.default_rng(1).standard_normal(x.shape)
        expected = car.eta(x[:5], delta[:5], 5.0)
        def interrupt():
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt).start()
        start = time.perf_counter()
        try:
            while time.perf_counter() < start + 30:
                car.eta(x, delta, 5.0, num_threads=2)
            print("not interrupted")
        except KeyboardInterrupt:
            print((car.eta(x[:5], delta[:5], 5.0, num_threads=2) == expected).all())
        """
    )
    assert found.stdout == "True\n", found.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_interrupt_ends_a_call_of_minutes():
    """Were it only served after the call, `run_python` would give up."""
    found = run_python(
        """
        import os, signal, threading, time
        import numpy as np
        import numba_car as car
        x = np.broadcast_to(np.linspace(0.1, 0.9, 3000), (200_000, 3000))
        car.eta(x[:2], x[:2], 5.0, p=0.5)  # compiles
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            car.eta(x, x, 5.0, p=0.5, num_threads=2)
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert found.stdout == "interrupted\n", found.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource.setrlimit")
@pytest.mark.parametrize("method", ["newton", "sort"])
def test_too_little_memory_is_a_memory_error(method):
    """As under `ulimit -v`: any allocation may be the one that fails, and the library goes on after."""
    found = run_python(
        f"""
        import resource
        import numpy as np
        import numba_car as car
        x = np.broadcast_to(np.linspace(0.1, 0.9, 3_000_000, dtype=np.float32), (4, 3_000_000))
        def call(rows, n):
            return car.rescale(x[:rows, :n], x[:rows, :n], 0.1, p=3.5, method={method!r}, num_threads=2)
        expected = call(2, 1000), call(1, 500_000)  # compiles
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        outcomes = set()
        for spare in range(0, 200, 20):
            resource.setrlimit(resource.RLIMIT_AS, (used + (spare << 20), -1))
            try:
                call(4, 3_000_000)
                outcomes.add("done")
            except MemoryError:
                outcomes.add("MemoryError")
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        again = call(2, 1000), call(1, 500_000)
        print(sorted(outcomes), all((a == b).all() for a, b in zip(expected, again)))
        """
    )
    assert found.stdout == "['MemoryError', 'done'] True\n", found.stderr


def test_after_the_interpreter_began_to_shut_down():
    found = run_python(
        """
        import atexit
        import numpy as np
        import numba_car as car
        x = np.full((500, 1000), 0.5)
        atexit.register(lambda: print(car.eta(x, x, 0.1, num_threads=4).sum() > 0))
        car.eta(x, x, 0.1, num_threads=4)
        """
    )
    assert found.stdout == "True\n", found.stderr


def test_default_threads_respect_the_affinity():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
    code += "from numba_car._cpu.threads import default_threads; print(default_threads())"
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system has no CPU affinity")
    found = run_python(code, NUMBA_CAR_NUM_THREADS="")
    assert found.stdout == "1\n", found.stderr


def test_the_environment_sets_the_threads(monkeypatch):
    monkeypatch.setenv("NUMBA_CAR_NUM_THREADS", "7")
    assert threads.default_threads() == 7


@pytest.mark.parametrize("setting", ["0", "-1", "two", "1.5"])
def test_a_bad_setting_is_named(monkeypatch, setting):
    monkeypatch.setenv("NUMBA_CAR_NUM_THREADS", setting)
    with pytest.raises(ValueError, match=f"NUMBA_CAR_NUM_THREADS.*{setting}"):
        car.eta(X, DELTA, 5.0)
