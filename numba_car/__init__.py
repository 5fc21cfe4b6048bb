"""numba_car: exact clipping-aware rescaling, with Numba.

For each row of a batch, find the scale eta with ``||clip(x + eta*delta, lower, upper) - x||_p = eps``.
"""

from typing import TYPE_CHECKING, Any

from numba_car._api import eta, rescale, solve
from numba_car._derivatives import eta_jvp, eta_vjp, rescale_jvp, rescale_vjp
from numba_car._noise import noise
from numba_car._norms import max_norm, norm
from numba_car._options import (
    Gradients,
    MaximizeGradients,
    ProjectGradients,
    Rescaled,
    Solution,
)
from numba_car._step_derivatives import maximize_jvp, maximize_vjp, project_jvp, project_vjp
from numba_car._steps import maximize, project
from numba_car._targets import eps_for_snr, relative_eps

if TYPE_CHECKING:
    from numba_car import kernels, ragged
    from numba_car import offline as offline  # which is not in __all__

__version__ = "0.1.0"

__all__ = [
    "Gradients",
    "MaximizeGradients",
    "ProjectGradients",
    "Rescaled",
    "Solution",
    "eps_for_snr",
    "eta",
    "eta_jvp",
    "eta_vjp",
    "kernels",
    "max_norm",
    "maximize",
    "maximize_jvp",
    "maximize_vjp",
    "noise",
    "norm",
    "project",
    "project_jvp",
    "project_vjp",
    "ragged",
    "relative_eps",
    "rescale",
    "rescale_jvp",
    "rescale_vjp",
    "solve",
]


def __getattr__(name: str) -> Any:
    if name in ("kernels", "offline", "ragged"):
        # Nothing else imports numba before the first call.
        from importlib import import_module

        return import_module(f"numba_car.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
