"""The settings of a run: the arguments that its result depends on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import numba_car as car
from numba_car._noise import KINDS, check_seed
from numba_car._options import Options, check_options
from numba_car._problem import PRECISIONS, as_numeric, check_eps
from numba_car.offline.arguments import check_choice, check_one_of
from numba_car.offline.bounds import array_as_json

# A resumed run may name its files otherwise, and no byte of the result depends on the others.
_NOT_COMPARED = ("x", "delta", "num_threads", "with_eta")


@dataclass(frozen=True)
class Settings:
    """The arguments of a run that its result depends on, as plain values; see `rescale`."""

    x: str
    delta: str | None
    eps: Any  # a number, an array of one per row, the name of a file, or None
    noise: str | None
    seed: int
    eps_uniform: tuple[float, float] | None
    p: float
    bounds: tuple[Any, Any]
    infeasible: str
    nan: str
    dtype: str | None
    input_range: tuple[float, float] | None
    round: bool
    with_eta: bool
    num_threads: int | None
    device: str = "cpu"
    snr_db: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return all settings for the report, with a checksum in place of an array's elements."""
        bounds = [array_as_json(bound) for bound in self.bounds]
        return asdict(self) | {"eps": array_as_json(self.eps), "bounds": bounds}

    def compared(self) -> dict[str, Any]:
        """Return what must be equal for two runs on equal files to write the same bytes."""
        found = {k: v for k, v in self.as_json().items() if k not in _NOT_COMPARED}
        eps, *bounds = (
            "a file" if isinstance(value, str) else value
            for value in (found["eps"], *found["bounds"])
        )
        return found | {"eps": eps, "bounds": bounds, "numba_car": car.__version__}

    def check(self) -> None:
        """Raise ValueError or TypeError where a setting is not allowed, whatever the files hold."""
        check_one_of(delta=self.delta, noise=self.noise)
        check_one_of(eps=self.eps, eps_uniform=self.eps_uniform, snr_db=self.snr_db)
        check_choice("noise", self.noise, (None, *KINDS))
        check_choice("nan", self.nan, ("keep", "fail"))
        check_choice(
            "dtype", self.dtype, (None, *(name for name in PRECISIONS if name != "bfloat16"))
        )
        check_choice("device", self.device, ("cpu", "cuda"))
        check_choice("infeasible", self.infeasible, ("saturate", "nan", "raise"))
        check_options(Options(num_threads=self.num_threads))
        check_seed("seed", self.seed)
        if isinstance(self.eps, np.ndarray):
            check_eps(as_numeric("eps", self.eps))
        if not (self.snr_db is None or isinstance(self.snr_db, (int, float))):
            raise TypeError(f"snr_db must be a number, found {self.snr_db!r}")
        if self.eps_uniform and self.eps_uniform[0] < 0:
            raise ValueError(f"eps_uniform must not be negative, found {self.eps_uniform[0]:g}")
