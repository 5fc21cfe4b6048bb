"""PyTorch: the same answers, its own autograd in both directions, compiled and mapped."""

import math
import subprocess
import sys

import numpy as np
import pytest

import numba_car as car
from tests.support.frameworks import powers

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

import numba_car.interop.torch

pytestmark = [
    # torch.compile's own: it warns of what its C++ compiler and its caches find.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore::UserWarning:torch"),
]

NATIVE = (torch.float32, torch.float64)


def problem(dtype=torch.float64, shape=(4, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(shape, dtype=torch.float64, generator=generator)
    delta = torch.randn(shape, dtype=torch.float64, generator=generator)
    eps = 0.1 + 0.5 * torch.rand(shape[0], dtype=torch.float64, generator=generator)
    return x.to(dtype), delta.to(dtype), eps


def with_bounds(rows=4, n=5):
    x, delta, eps = problem(shape=(rows, n))
    lower = torch.linspace(-0.2, 0, n, dtype=torch.float64)
    return x, delta, eps, lower, torch.full((rows, 1), 1.1, dtype=torch.float64)


def eta(*arrays, **options):
    return car.eta(*arrays[:3], bounds=arrays[3:], **options)


def rescale(*arrays, **options):
    return car.rescale(*arrays[:3], bounds=arrays[3:], **options)


def norm(*arrays, **options):
    return car.solve(*arrays[:3], bounds=arrays[3:], **options).norm


def max_norm(x, delta, _, lower, upper, **options):
    return car.max_norm(x, delta, bounds=(lower, upper), **options)


functions = pytest.mark.parametrize("function", [eta, rescale, norm, max_norm])


@pytest.mark.parametrize("dtype", NATIVE)
@powers
def test_values_are_those_of_numpy(p, dtype):
    x, delta, eps = problem(dtype)
    arrays = x.numpy(), delta.numpy(), eps.numpy()
    for found, expected in (
        (car.eta(x, delta, eps, p=p), car.eta(*arrays, p=p)),
        (car.rescale(x, delta, eps, p=p), car.rescale(*arrays, p=p)),
        *zip(car.solve(x, delta, eps, p=p), car.solve(*arrays, p=p), strict=True),
        (car.max_norm(x, delta, p=p), car.max_norm(*arrays[:2], p=p)),
    ):
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found.numpy(), expected, strict=True)


@functions
def test_the_operators_give_the_same_values(function):
    """What requires a gradient goes through operators; the rest straight to NumPy's way."""
    arrays = with_bounds()
    expected = function(*arrays)
    tracked = function(*(array.clone().requires_grad_() for array in arrays))
    assert tracked.requires_grad
    assert torch.equal(tracked.detach(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_floats_come_back_in_kind(dtype):
    x, delta, _ = problem(dtype, (8, 3, 16, 16))
    v = car.rescale(x, delta, 4.0)
    assert v.dtype == car.eta(x, delta, 4.0).dtype == dtype
    assert ((v >= 0) & (v <= 1)).all()
    reached = (v.double() - x.double()).flatten(1).norm(dim=1)
    assert torch.allclose(reached, torch.tensor(4.0).double(), rtol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("x", "delta", "expected"),
    [
        (torch.zeros(2, 3, dtype=torch.uint8), torch.ones(2, 3), torch.float32),
        (torch.zeros(2, 3, dtype=torch.int64), torch.ones(3).half(), torch.float16),
        (torch.zeros(2, 3, dtype=torch.float64), torch.ones(2, 3), torch.float64),
        (torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 3).long(), torch.float32),
        (0.0, torch.ones(2, 3).half(), torch.float16),
        ([[0.0, 0.0, 0.0]], torch.ones(2, 3), torch.float32),
    ],
)
def test_dtypes_promote_as_in_torch(x, delta, expected):
    assert car.eta(x, delta, 0.5).dtype == expected


@pytest.mark.parametrize("axis", [None, 1, (1, 2), (0, 2), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes_and_broadcasting(axis, keepdims):
    x, delta, _ = problem(shape=(2, 3, 4))
    delta = delta[:, :, :1].requires_grad_()
    given = {"axis": axis, "keepdims": keepdims}
    expected = car.eta(x.numpy(), delta.detach().numpy(), 0.3, **given)
    found = car.eta(x, delta, 0.3, **given)
    np.testing.assert_array_equal(found.detach().numpy(), expected)
    found.sum().backward()
    rows = np.ones_like(expected)
    pulled = car.eta_vjp(x.numpy(), delta.detach().numpy(), 0.3, rows, axis=axis)
    np.testing.assert_allclose(delta.grad.numpy(), pulled.delta, rtol=1e-12, atol=1e-12)


def test_without_bounds():
    x, delta, eps = problem()
    found = car.rescale(x, delta.requires_grad_(), eps, bounds=(None, None))
    assert torch.allclose((found - x).norm(dim=1), eps)
    (grad,) = torch.autograd.grad(found.square().sum(), delta)
    assert grad.isfinite().all()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_nothing_to_do(shape):
    x, delta = torch.zeros(shape), torch.ones(shape, requires_grad=True)
    eta = car.eta(x, delta, 1.0)
    assert eta.shape == shape[:1]
    assert (eta == 0).all()
    eta.sum().backward()
    v = car.rescale(x, delta, 1.0)
    assert v.shape == delta.grad.shape == shape
    solution = car.solve(x, delta, 1.0)
    assert solution.saturated.shape == shape[:1]


@pytest.mark.parametrize("tracked", [False, True])
def test_a_bad_row_spoils_no_other(tracked):
    x, delta, eps = problem()
    good = car.rescale(x, delta, eps)
    delta[1, 2] = math.nan
    found = car.rescale(x, delta.requires_grad_(tracked), eps)
    rows = [0, 2, 3]
    assert found[1].isnan().all()
    assert torch.equal(found[rows].detach(), good[rows])
    if tracked:
        found.sum().backward()
        assert delta.grad[rows].isfinite().all()
        assert delta.grad[1].isnan().all()


def test_out():
    x, delta, eps = problem()
    out = torch.empty_like(x)
    assert car.rescale(x, delta, eps, out=out) is out
    assert torch.equal(out, car.rescale(x, delta, eps))
    with pytest.raises(ValueError, match="shape"):
        car.rescale(x, delta, eps, out=torch.empty(3, 3))
    with pytest.raises(ValueError, match="dtype"):
        car.rescale(x, delta, eps, out=torch.empty_like(x).float())
    with pytest.raises(TypeError, match="gradient"):
        car.rescale(x, delta.requires_grad_(), eps, out=out)


def test_parameters_and_views_need_no_copy():
    x, delta, eps = problem()
    parameter = torch.nn.Parameter(delta)
    with torch.no_grad():
        found = car.rescale(x.T.contiguous().T, parameter, eps)
    assert torch.equal(found, car.rescale(x, delta, eps))


@powers
@functions
def test_derivatives(function, p):
    """First and second, backward, forward and batched, by all arguments, against differences."""
    arrays = tuple(array.requires_grad_() for array in with_bounds(2, 4))

    def call(*arrays):
        return function(*arrays, p=p)

    assert gradcheck(
        call,
        arrays,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
    )
    assert gradgradcheck(call, arrays)


@powers
def test_derivatives_of_saturated_rows(p):
    x, delta, eps, lower, upper = with_bounds(2, 4)
    arrays = x, delta, eps + 5, lower, upper
    arrays = tuple(array.requires_grad_() for array in arrays)
    for function in (eta, rescale, norm):
        assert gradcheck(lambda *a, f=function: f(*a, p=p), arrays, check_forward_ad=True)
        assert gradgradcheck(lambda *a, f=function: f(*a, p=p), arrays)


@powers
def test_third_derivatives(p):
    x, delta, eps = problem(shape=(2, 3))
    delta, eps = delta.requires_grad_(), eps.requires_grad_()

    def gradient(delta, eps):
        value = car.rescale(x, delta, eps, p=p).pow(3).sum()
        return torch.autograd.grad(value, (delta, eps), create_graph=True)

    assert gradgradcheck(gradient, (delta, eps))


def test_gradients_of_one_argument_alone():
    arrays = with_bounds()
    tracked = tuple(array.clone().requires_grad_() for array in arrays)
    expected = torch.autograd.grad(rescale(*tracked).square().sum(), tracked)
    for i, wanted in enumerate(expected):
        given = [a.clone().requires_grad_(i == j) for j, a in enumerate(arrays)]
        (found,) = torch.autograd.grad(rescale(*given).square().sum(), given[i])
        assert torch.allclose(found, wanted, rtol=1e-13)


@functions
def test_torch_func(function):
    arrays = with_bounds()
    by_delta = {"argnums": 1}
    reverse = torch.func.jacrev(function, **by_delta)(*arrays)
    assert torch.allclose(reverse, torch.func.jacfwd(function, **by_delta)(*arrays), atol=1e-12)

    def total(*arrays):
        return function(*arrays).square().sum()

    mixed = torch.func.hessian(total, **by_delta)(*arrays)
    twice = torch.func.jacrev(torch.func.jacrev(total, **by_delta), **by_delta)(*arrays)
    assert torch.allclose(mixed, twice, atol=1e-10)


@functions
@pytest.mark.parametrize("mapped", [(0,), (1,), (2,), (3,), (4,), (0, 1), (0, 1, 2, 3, 4)])
def test_vmap(function, mapped):
    arrays = list(with_bounds())
    stacks = [torch.stack([array, array * 0.9, array * 1.0]) for array in arrays]
    given = [stacks[i] if i in mapped else array for i, array in enumerate(arrays)]
    in_dims = tuple(0 if i in mapped else None for i in range(5))
    found = torch.vmap(function, in_dims=in_dims)(*given)
    one_by_one = [
        function(*(g[k] if i in mapped else g for i, g in enumerate(given))) for k in range(3)
    ]
    assert torch.equal(found, torch.stack(one_by_one))


def test_vmap_of_a_gradient():
    x, delta, eps = problem()

    def total(delta, x, eps):
        return car.rescale(x, delta, eps).square().sum()

    found = torch.vmap(torch.func.grad(total))(delta, x, eps)
    assert torch.allclose(found, torch.func.grad(total)(delta, x, eps))


def gradients_of(function, arrays):
    arrays = tuple(array.clone().requires_grad_() for array in arrays)
    return torch.autograd.grad(function(*arrays).square().sum(), arrays)


@pytest.mark.parametrize(
    ("function", "backend", "dynamic"),
    [
        (rescale, "inductor", False),
        (rescale, "inductor", True),
        (eta, "aot_eager", None),
        (norm, "aot_eager", None),
        (max_norm, "aot_eager", None),
    ],
)
def test_compiled_in_one_graph(function, backend, dynamic):
    arrays = with_bounds()
    compiled = torch.compile(function, fullgraph=True, backend=backend, dynamic=dynamic)
    assert torch.allclose(compiled(*arrays), function(*arrays), rtol=1e-14)
    tracked = tuple(array.clone().requires_grad_() for array in arrays)
    for one, other in zip(
        *(
            torch.autograd.grad(
                f(*tracked).square().sum(), tracked, allow_unused=True, materialize_grads=True
            )
            for f in (compiled, function)
        ),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=1e-12)


def test_another_number_is_not_compiled_anew():
    x, delta, _ = problem()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda eps: car.rescale(x, delta, eps), backend=counter)
    for k in range(1, 7):
        compiled(0.1 * k)
    assert counter.frame_count <= 2


def test_where_there_is_no_room_p_1_has_derivatives():
    x = torch.tensor([[1, 0.5, 0.5]], dtype=torch.float64)
    delta, g = torch.ones_like(x), torch.tensor([[1.0, 2, 3]])

    def total(x):
        return (car.rescale(x, delta, 0.3, p=1) * g).sum()

    (reverse,) = torch.autograd.grad(total(y := x.clone().requires_grad_()), y)
    assert torch.allclose(torch.func.grad(total)(x), reverse)
    assert torch.allclose(reverse, torch.tensor([[2.5, 2, 3]], dtype=torch.float64))


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_derivatives_by_small_and_large_delta(scale):
    x, delta, _ = problem(torch.float32)
    g = torch.rand(x.shape)

    def total(delta):
        return (car.rescale(x, delta, 0.3) * g).sum()

    plain = torch.func.grad(total)(delta)
    for scaled in (
        torch.func.grad(total)(delta * scale),
        torch.autograd.grad(total(d := (delta * scale).requires_grad_()), d)[0],
    ):
        assert torch.allclose(scaled * scale, plain, rtol=1e-3, atol=1e-5)


def test_lists_are_as_precise_as_the_tensors_beside_them():
    x, delta, _ = problem(shape=(2, 3))
    for eps in (0.1, [0.1, 0.2]):
        tracked = car.eta(x, delta.clone().requires_grad_(), eps, bounds=([-0.1] * 3, 1.1))
        expected = car.eta(x.numpy(), delta.numpy(), eps, bounds=([-0.1] * 3, 1.1))
        np.testing.assert_array_equal(tracked.detach().numpy(), expected)


def test_x_may_be_out_by_its_own_rounding():
    x, delta = torch.tensor([[0.7, 0.2]]).half(), torch.ones(1, 2, requires_grad=True)
    assert car.eta(x, delta, 0.1, bounds=(0.0, 0.6999)).isfinite()


COMPILED_FIRST = """
import torch, numba_car as car
x, delta = torch.rand(4, 5), torch.randn(4, 5)
found = torch.compile(lambda x, delta: car.rescale(x, delta, 0.3), fullgraph=True)(x, delta)
print((found - x).norm(dim=1))
"""


class Noised(torch.utils.data.Dataset):
    """Images that are rescaled where they are loaded."""

    def __init__(self, x, delta):
        self.x, self.delta = x, delta

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return car.rescale(self.x[index], self.delta[index], 0.4, axis=-1, num_threads=2)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork.. was called.*JAX:RuntimeWarning")  # where it is loaded
def test_workers_of_a_data_loader_after_use_in_their_parent():
    x, delta, _ = problem(shape=(12, 70_000), dtype=torch.float32)
    expected = car.rescale(x, delta, 0.4, num_threads=2)  # starts threads, which workers lack
    loader = torch.utils.data.DataLoader(
        Noised(x, delta), 4, num_workers=2, timeout=120, multiprocessing_context="fork"
    )
    assert torch.equal(torch.cat(list(loader)), expected)


def test_the_first_call_of_a_process_may_be_compiled():
    found = subprocess.run(
        [sys.executable, "-c", COMPILED_FIRST], capture_output=True, text=True, check=True
    )
    assert found.stdout == "tensor([0.3000, 0.3000, 0.3000, 0.3000])\n"


TASK = (2.0, [-1], "float64", "float64", "saturate", "auto", None)


@pytest.mark.parametrize("name", ["eta", "rescale", "solve", "max_norm"])
def test_opcheck(name):
    x, delta, eps = problem()
    arrays = [x, delta, eps[:, None], torch.zeros(1, 1).double(), torch.ones(1, 1).double()]
    if name in ("eta", "rescale"):
        arrays = [array.requires_grad_() for array in arrays]
    opcheck(getattr(torch.ops.numba_car, name).default, (*arrays, *TASK))


@pytest.mark.parametrize("wanted", [[True] * 5, [False, True, True, False, False]])
@pytest.mark.parametrize("of_rescale", [True, False])
def test_opcheck_of_the_gradients(of_rescale, wanted):
    x, delta, eps = problem()
    eta = car.eta(x, delta, eps, keepdims=True)
    bounds = torch.zeros(1, 1).double(), torch.ones(1, 1).double()
    upstream = torch.rand(4, 1).double(), torch.rand(4, 5).double() if of_rescale else None
    tensors = [x, delta, eps[:, None], *bounds, eta, *upstream]
    tensors = [t if t is None else t.clone().requires_grad_(i != 5) for i, t in enumerate(tensors)]
    opcheck(torch.ops.numba_car.gradients.default, (*tensors, wanted, *TASK))


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"x": 1.5}, ValueError, "x must lie within its bounds"),
        ({"eps": -1.0}, ValueError, "eps must be finite and not negative"),
        ({"eps": torch.ones(3)}, ValueError, "eps of shape"),
        ({"p": 0}, ValueError, r"p must be in \(0, inf\]"),
        ({"axis": 2}, ValueError, "axis 2 is out of bounds"),
        ({"method": "best"}, ValueError, "method must be one of"),
        ({"infeasible": "raise", "eps": 9.0}, ValueError, "eps must be reachable"),
        ({"bounds": (1.0, 0.0)}, ValueError, "lower <= upper"),
        ({"bounds": (torch.zeros(7), 1.0)}, ValueError, r"bounds of shape \(7,\)"),
        ({"x": np.zeros((2, 3))}, TypeError, "one library, found numpy's in .* and torch's in"),
        ({"eps": np.zeros(2)}, TypeError, "one library"),
        ({"x": torch.zeros(2, 3, dtype=torch.complex64)}, TypeError, "integers or floats"),
        ({"eps": "much"}, TypeError, "eps must"),
        ({"x": torch.zeros(2, 3, device="meta")}, TypeError, "one device"),
    ],
)
def test_bad_input(tracked, change, error, words):
    x, delta = torch.full((2, 3), 0.5), torch.ones(2, 3, requires_grad=tracked)
    given = {"x": x, "delta": delta, "eps": 0.1} | change
    if isinstance(given["x"], float):
        given["x"] = torch.full((2, 3), given["x"])
    with pytest.raises(error, match=words):
        car.rescale(**given)


def test_no_silent_trip_to_the_host():
    x = torch.zeros(2, 3, device="meta")
    with pytest.raises(NotImplementedError, match=r"found meta: tensor\.cpu\(\)"):
        car.eta(x, x, 0.1)


def test_tensors_of_a_gpu_have_results_there():
    """Shapes, dtypes and devices, of tensors without values: these need no GPU."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(), torch.no_grad():
        x = torch.empty(4, 3, 5, device="cuda:1", dtype=torch.float16)
        delta, eps = torch.empty_like(x), torch.empty(4, device="cuda:1")
        found = (car.rescale(x, delta, eps), *car.solve(x, delta, eps, keepdims=True))
        assert [tuple(value.shape) for value in found] == [(4, 3, 5), *4 * [(4, 1, 1)]]
        assert [value.dtype for value in found] == [*4 * [torch.float16], torch.bool]
        assert {str(value.device) for value in found} == {"cuda:1"}
        bound, by_row = (torch.empty(n, 1, 1, device="cuda:1") for n in (1, 4))
        full = [x.float(), delta.float(), by_row, bound, bound]
        upstream = by_row.double(), by_row, full[0]
        task = 2.0, [-2, -1], "float32", "float32", "saturate", "auto", None
        gradients = torch.ops.numba_car.gradients(*full, *upstream, 5 * [True], *task)
        for given, gradient in zip(full, gradients, strict=True):
            assert gradient.shape == given.shape
            assert gradient.dtype == given.dtype
            assert gradient.device == given.device
        with pytest.raises(TypeError, match=r"one device, found \['cpu', 'cuda:1'\]"):
            car.eta(x, delta, torch.empty(4))
