"""The public names, their arguments and their docstrings: what the API promises, written down."""

import importlib
import inspect
import types

import pytest
from numpydoc.docscrape import FunctionDoc
from numpydoc.validate import validate

import numba_car as car

MODULES = ("cuda", "kernels", "offline", "ragged")
SOLVE = "keepdims=False, infeasible='saturate', method='auto', num_threads=None"
STEP = "p=2, bounds=(0.0, 1.0), axis=None"
PROBLEM = f"{STEP}, dim=None, {SOLVE}"
TANGENTS = "tangent_x=None, tangent_delta=None, tangent_eps=None"
ROW = "p, lower, upper"
REDUCTION = f"{STEP}, dim=None, keepdims=False, num_threads=None"

SOLVERS = {  # for arrays of any kind, and for host arrays on a GPU
    "eta": f"(x, delta, eps, *, {PROBLEM})",
    "max_norm": f"(x, delta, *, {REDUCTION})",
    "rescale": f"(x, delta, eps, *, {PROBLEM}, side='nearest', step=None, out=None, "
    "full_output=False)",
    "solve": f"(x, delta, eps, *, {PROBLEM})",
}
STEPS = {
    "norm": f"(x, delta, eta, *, {REDUCTION})",
    "project": f"(x, z, eps, *, {STEP}, dim=None, method='auto', num_threads=None, side='nearest', "
    "out=None)",
    "maximize": f"(x, g, eps, *, {STEP}, dim=None, num_threads=None, side='nearest', out=None)",
    "project_jvp": f"(x, z, eps, tangent_x=None, tangent_z=None, tangent_eps=None, *, {STEP}, "
    "num_threads=None)",
    "project_vjp": f"(x, z, eps, grad_out, *, {STEP}, num_threads=None)",
    "maximize_jvp": f"(x, g, eps, tangent_x=None, tangent_g=None, tangent_eps=None, *, {STEP}, "
    "num_threads=None)",
    "maximize_vjp": f"(x, g, eps, grad_out, *, {STEP}, num_threads=None)",
}

IN_PARTS = "p=2, bounds=(0.0, 1.0), num_threads=None"
SOLVER = PROBLEM.replace("axis=None, dim=None, keepdims=False, ", "")
RAGGED = {  # for rows of different lengths
    "eta": f"(x, delta, eps, *, offsets=None, {SOLVER})",
    "max_norm": f"(x, delta, *, offsets=None, {IN_PARTS})",
    "maximize": f"(x, g, eps, *, offsets=None, {IN_PARTS}, side='nearest')",
    "norm": f"(x, delta, eta, *, offsets=None, {IN_PARTS})",
    "project": "(x, z, eps, *, offsets=None, p=2, bounds=(0.0, 1.0), method='auto', "
    "num_threads=None, side='nearest')",
    "rescale": f"(x, delta, eps, *, offsets=None, {SOLVER}, side='nearest', step=None)",
    "solve": f"(x, delta, eps, *, offsets=None, {SOLVER})",
}

# What may be called, as it is called. A change here is a change for users: see CHANGELOG.md.
CONTRACT = {
    "numba_car.eta_jvp": f"(x, delta, eps, {TANGENTS}, *, {STEP}, {SOLVE})",
    "numba_car.eta_vjp": f"(x, delta, eps, grad_eta, *, {STEP}, {SOLVE})",
    "numba_car.rescale_jvp": f"(x, delta, eps, {TANGENTS}, *, {STEP}, {SOLVE})",
    "numba_car.rescale_vjp": f"(x, delta, eps, grad_out, *, {STEP}, {SOLVE})",
    **{f"numba_car.{name}": arguments for name, arguments in (SOLVERS | STEPS).items()},
    **{f"numba_car.cuda.{name}": arguments for name, arguments in SOLVERS.items()},
    **{f"numba_car.cuda.{name}": STEPS[name] for name in ("maximize", "norm", "project")},
    **{f"numba_car.ragged.{name}": arguments for name, arguments in RAGGED.items()},
    "numba_car.kernels.backward": f"(x, delta, eps, {ROW}, eta, grad_out, grad_eta, out_x, "
    "out_delta)",
    "numba_car.kernels.eta": f"(x, delta, eps, {ROW})",
    "numba_car.kernels.max_norm": f"(x, delta, {ROW})",
    "numba_car.kernels.maximize": f"(x, g, eps, {ROW}, out)",
    "numba_car.kernels.norm": f"(x, delta, eta, {ROW})",
    "numba_car.kernels.project": f"(x, z, eps, {ROW}, out)",
    "numba_car.kernels.rescale": f"(x, delta, eps, {ROW}, out)",
    "numba_car.eps_for_snr": "(x, snr_db, *, p=2, axis=None, dim=None, num_threads=None)",
    "numba_car.relative_eps": "(x, share, *, p=2, axis=None, dim=None, num_threads=None)",
    "numba_car.noise": "(shape, *, kind='gaussian', seed=0, first_row=0, "
    "dtype=<class 'numpy.float32'>, p=None, num_threads=None)",
    "numba_car.offline.rescale": "(x, delta=None, *, out, eps=None, eps_uniform=None, snr_db=None, "
    "noise=None, seed=0, p=2, bounds=(0.0, 1.0), infeasible='saturate', nan='keep', dtype=None, "
    "input_range=None, round=False, eta_out=None, report=None, plot=None, memory='2GiB', "
    "num_threads=None, device='cpu', resume=False, force=False, scheduler=None, workers=None, "
    "progress=None)",
}
FIELDS = {
    car.Gradients: ("x", "delta", "eps", "lower", "upper"),
    car.MaximizeGradients: ("x", "g", "eps", "lower", "upper"),
    car.ProjectGradients: ("x", "z", "eps", "lower", "upper"),
    car.Rescaled: ("out", "eta", "norm", "max_norm", "saturated"),
    car.Solution: ("eta", "norm", "max_norm", "saturated"),
}
BY_DIMENSION = ("eta", "max_norm", "rescale", "solve")
DOCUMENTED = (*CONTRACT, *(f"numba_car.interop.xarray.{name}" for name in BY_DIMENSION))

# numpydoc's words for what every function must have: a summary of one line; parameters, all and no
# others, in order, described; returns, described; examples, which doctest runs. "Raises" is ours.
RULES = ("GL06", "GL07", "GL08", "SS01", "SS02", "SS03", "SS06", "PR01", "PR02", "PR03", "PR07")
RULES += ("PR09", "PR10", "RT01", "RT03", "RT05", "EX01")


def named(name):
    module, _, attribute = name.rpartition(".")
    for part, package in (("xarray", "xarray"), ("cuda", "numba_cuda")):
        if module.endswith(part):
            pytest.importorskip(package, reason=f"{package} is not installed")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("module", ["numba_car", *(f"numba_car.{name}" for name in MODULES)])
def test_the_contract_has_every_public_function(module):
    values = {f"{module}.{name}": named(f"{module}.{name}") for name in named(f"{module}.__all__")}
    public = {n for n, v in values.items() if not isinstance(v, (type, types.ModuleType))}
    assert public == {name for name in CONTRACT if name.rpartition(".")[0] == module}


@pytest.mark.parametrize("name", CONTRACT)
def test_signature(name):
    signature = inspect.signature(named(name))
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    found = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    assert str(found) == CONTRACT[name]


@pytest.mark.parametrize("result", FIELDS, ids=lambda result: result.__name__)
def test_fields(result):
    assert result._fields == FIELDS[result]
    documented = validate(f"numba_car.{result.__name__}")["docstring"]
    assert "Attributes" in documented
    for field in result._fields:
        assert field in documented.partition("Attributes")[2]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstring(name):
    assert named(name).__doc__
    found = validate(name)
    assert [error for error in found["errors"] if error[0] in RULES] == []
    # Jitted functions raise nothing, and say what they give instead.
    assert ("Raises\n" in found["docstring"]) is not name.startswith("numba_car.kernels")


ARRAYS = [name for name in CONTRACT if name.count(".") == 1]
EQUAL = ("delta", "bounds", "axis", "dim", "infeasible", "num_threads", "side", "z", "g")


@pytest.mark.parametrize("name", ARRAYS)
def test_help_stands_alone(name):
    """Parameters are described where they stand, not by the name of another function that takes them."""
    for parameter in FunctionDoc(named(name))["Parameters"]:
        assert parameter.type
        assert "As for" not in " ".join(parameter.desc)


@pytest.mark.parametrize("parameter", EQUAL)
def test_a_parameter_has_one_description(parameter):
    found = [FunctionDoc(named(name))["Parameters"] for name in ARRAYS]
    assert len({(p.type, *p.desc) for given in found for p in given if p.name == parameter}) == 1
