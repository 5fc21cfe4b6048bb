"""What the package promises about itself: imports, layers, names, vectorised loops, the cache."""

import ast
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import numba_car as car
import numba_car._cpu
from numba_car import _jit, _problem
from numba_car._core.norms import norm_of
from numba_car._cpu import (
    newton_double_double,
    pipeline,
)
from numba_car._cpu.tuning import plan_of

PACKAGE = Path(car.__file__).parent

# Each layer may import from itself and from those after it.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("offline",),
    ("__init__", "cuda", "kernels", "ragged"),
    ("_ragged",),
    ("_ragged_call",),
    ("_step_kernels",),
    ("_derivatives", "_step_derivatives"),
    ("_targets",),
    ("_api", "_noise", "_norms", "_steps"),
    ("interop",),
    ("_dispatch",),
    ("_numpy",),
    ("_numpy_derivatives", "_numpy_steps"),
    ("_results",),
    ("_cpu", "_cuda"),
    ("_problem",),
    ("_layout", "_types"),
    ("_options",),
    ("_core",),
    ("_extras", "_jit"),
)
# The command line may ask the latter two for what `info` shows.
OPEN_TO_THE_CLI = {"numba_car._extras", "numba_car._jit", "numba_car._cpu.threads"}


def run_python(code, *options, **environment):
    found = subprocess.run(
        [sys.executable, *options, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return found.stdout + found.stderr


def layer_of(module):
    name = [*module.split("."), "__init__"][1]
    return next(depth for depth, names in enumerate(LAYERS) if name in names)


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("numba_car"):
            yield from (
                f"{node.module}.{alias.name}" if node.module == "numba_car" else node.module
                for alias in node.names
            )
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("numba_car"))


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_imports_go_down(path):
    own = "numba_car." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    public = {"numba_car", *(f"numba_car.{name}" for name in (*car.__all__, "__version__"))}
    for found in imports_of(path):
        target = "numba_car.__init__" if found in public else found
        if own.startswith("numba_car.cli"):
            allowed = target.startswith(
                ("numba_car.cli", "numba_car.offline", "numba_car.__init__")
            )
            assert allowed or target in OPEN_TO_THE_CLI, f"{own} imports {target}"
        elif target.startswith("numba_car.interop") and own == "numba_car._dispatch":
            continue  # the one door upwards, opened by a call with a framework's arrays
        elif own != "numba_car.__init__":
            assert layer_of(target) >= layer_of(own), f"{own} imports {target}"


def test_importing_imports_no_numba():
    code = "import sys, numba_car; print([m for m in sys.modules if m.split('.')[0] == 'numba'])"
    assert run_python(code) == "[]\n"
    code = "import sys, numba_car; print('numba_car.offline' in sys.modules)"
    assert run_python(code) == "False\n"


WITHOUT_LIBRARIES = """
import sys
from importlib import import_module
from numba_car._dispatch import _INTEROP
for library in (*_INTEROP, "numba_cuda"):
    sys.modules[library] = None
for name in ("cuda", *(f"interop.{name}" for name in sorted({*_INTEROP.values()} - {"cuda"}))):
    try:
        import_module(f"numba_car.{name}")
    except ImportError as error:
        print(error)
"""


def test_a_library_that_is_missing():
    extras = ["dask", "foolbox", "jax", "pandas", "tensorflow", "torch", "xarray"]
    of_cuda, *found = run_python(WITHOUT_LIBRARIES).splitlines()
    assert "numba-cuda: pip install 'numba_car[cuda13]'" in of_cuda
    assert len(found) == len(extras)
    for line, extra in zip(found, extras, strict=True):
        package = "eagerpy" if extra == "foolbox" else extra
        cure = f"install it with: pip install 'numba_car[{extra}]'"
        assert line == f"numba_car.interop.{package} needs {package}; {cure}"


def test_every_public_name_exists():
    assert sorted(car.__all__) == car.__all__
    for name in car.__all__:
        assert getattr(car, name) is not None
    assert callable(car.offline.rescale)
    with pytest.raises(AttributeError, match="nothing"):
        car.nothing  # noqa: B018


@pytest.mark.parametrize("method", ["newton", "sort"])
def test_a_norm_of_another_kind(monkeypatch, method):
    """A longer tuple takes the ways of a general p, without double-double arithmetic: see CONTRIBUTING."""
    rng = np.random.default_rng(0)
    x, delta = rng.random((3, 50)), rng.standard_normal((3, 50))

    def results(p):
        found = car.solve(x, delta, [0.1, 1.0, 9.0], p=p, method=method)
        gradients = car.eta_vjp(x, delta, 0.5, 1.0, p=p, method=method)[:3]
        return *found, car.rescale(x, delta, 0.5, p=p, method=method), *gradients

    def longer(p, dtype):
        plan = plan_of(p, dtype)
        return plan._replace(norm=(*norm_of(p), *[0.0] * 5))

    def general(p, dtype):
        return plan_of(p, dtype)._replace(norm=norm_of(p))

    monkeypatch.setattr(pipeline, "plan_of", general)
    expected = results(2.5)
    monkeypatch.setattr(pipeline, "plan_of", longer)
    monkeypatch.setattr(newton_double_double, "solve_rows", None)
    for found, same in zip(results(2.5), expected, strict=True):
        np.testing.assert_array_equal(found, same)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (5, 1)])
def test_numbers_and_numbers_by_row_have_one_type(shape):
    """The kernels, which never write to eps, are not compiled once more for what is read-only."""
    import numba

    given = np.full(shape, 0.5)
    given.flags.writeable = False
    by_row = _problem.by_row("eps", given, (5, 3), (1,))
    np.testing.assert_array_equal(by_row, np.full(5, 0.5))
    for part in (slice(0, 5), slice(1, 2), slice(2, 5)):
        array = np.ascontiguousarray(by_row[part])
        assert numba.typeof(array) == numba.typeof(np.empty(5))


CALL = """
import numpy as np, numba_car as car
from numba_car._jit import cache_folder
from numba_car._cpu.maximum_norm import solve_maximum_norm_rows as kernel  # quick to compile
print(car.eta(np.full((1, 4), 0.5), np.ones((1, 4)), 0.1, p=np.inf)[0])
print(sum(kernel.stats.cache_hits.values()), cache_folder())
"""


def test_a_cached_kernel_is_stamped_with_its_source():
    """Whatever is jitted for the CPU lies in a file whose source is part of the stamp."""
    stamped = {path for pattern in _jit._KERNEL_SOURCES for path in PACKAGE.glob(pattern)}
    compile_for_the_cpu = {"checking_loop", "entry", "formula", "kernel", "loop", "rows"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "numba_car._jit":
                names = {alias.name for alias in node.names}
                assert path in stamped or not names & compile_for_the_cpu, path


def test_kernels_are_cached(tmp_path):
    where = {"NUMBA_CAR_CACHE_DIR": str(tmp_path), "NUMBA_CAR_CACHE": "1"}
    first, second = (run_python(CALL, **where).split() for _ in range(2))
    assert first[0] == second[0] == "0.1"
    assert (first[1], second[1]) == ("0", "1")
    assert str(tmp_path) in first[2]


NEEDED = """
import sys
import numpy as np, numba_car as car
car.rescale(np.full((2, 40), 0.5), np.ones((2, 40)), 0.1)
print([m for m in sys.modules if m.startswith("numba_car") and m.endswith(("vjp", "derivatives", "steps", "grid"))])
"""


def test_a_first_call_imports_no_other_functions():
    found = run_python(NEEDED).strip()
    assert found == "['numba_car._derivatives', 'numba_car._step_derivatives', 'numba_car._steps']"


BITS = """
import hashlib
import numpy as np, numba_car as car
rng = np.random.default_rng(0)
digest = hashlib.sha256()
# Not each p with each dtype: all that is called here is compiled here.
for dtype, n in (("float32", 105), ("float32", 3000), ("float64", 105), ("float64", 3000)):
    x, delta = rng.random((100, n)).astype(dtype), rng.standard_normal((100, n)).astype(dtype)
    for p in (1, 3.5) if dtype == "float32" else (2,):
        for found in (car.rescale(x, delta, 1.0, p=p), *car.solve(x, delta, 1.0, p=p)):
            digest.update(found.tobytes())
print(digest.hexdigest())
"""


def test_kernels_from_the_cache_give_the_same_bits(tmp_path):
    """A process that compiles a kernel may run other copies of inner functions that are not inlined."""
    where = {"NUMBA_CAR_CACHE_DIR": str(tmp_path), "NUMBA_CAR_CACHE": "1"}
    assert run_python(BITS, **where) == run_python(BITS, **where)


def test_processes_that_fill_the_cache_at_once(tmp_path):
    where = {"NUMBA_CAR_CACHE_DIR": str(tmp_path), "NUMBA_CAR_CACHE": "1"}
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: run_python(CALL, **where).split(), range(3)))
    assert {eta for eta, *_ in found} == {"0.1"}
    assert run_python(CALL, **where).split()[:2] == ["0.1", "1"]


READ_ONLY = """
import errno
from numba.core import caching
def refuse(self, *arguments):
    raise OSError(errno.EROFS, "Read-only file system")
caching.IndexDataCacheFile.save = refuse
"""


def test_a_cache_on_a_read_only_file_system(tmp_path):
    where = {"NUMBA_CAR_CACHE_DIR": str(tmp_path), "NUMBA_CAR_CACHE": "1"}
    assert run_python(READ_ONLY + CALL, **where).split()[:2] == ["0.1", "0"]


def test_the_cache_can_be_turned_off(tmp_path):
    where = {"NUMBA_CAR_CACHE_DIR": str(tmp_path), "NUMBA_CAR_CACHE": "0"}
    assert run_python(CALL, **where).split() == ["0.1", "0", "None"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_turns_it_off(tmp_path):
    (tmp_path / "file").write_text("")
    where = {"NUMBA_CAR_CACHE_DIR": str(tmp_path / "file"), "NUMBA_CAR_CACHE": "1"}
    assert run_python(CALL, **where).split() == ["0.1", "0", "None"]
