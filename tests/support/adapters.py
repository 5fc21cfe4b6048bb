"""What docs/howto/attacks.md puts in the place of other libraries' projections, without what comes from them."""

import numpy as np

import numba_car as car

UNBOUNDED = (None, None)


def projection(values, eps, norm_p, *, suboptimal=True):
    """Project perturbations onto a ball, as `art.utils.projection` does with suboptimal=False."""
    radii = np.broadcast_to(eps, values.shape).reshape(len(values), -1)[:, 0]
    return car.project(np.zeros_like(values), values, radii, p=float(norm_p), bounds=UNBOUNDED)


class InBox:
    """Project onto ball and box at once: a base class of foolbox's attacks by gradient descent."""

    p, bounds = 2, (0.0, 1.0)

    def project(self, x, x0, epsilon):
        return car.project(x0, x, epsilon, p=self.p, bounds=self.bounds)


def l1_projection(x, y, eps):
    """Return by what to change x + y, as AutoAttack's `L1_projection` does."""
    return car.project(x, x + y, eps, p=1) - (x + y)


def projecting_in_place(inputs, p):
    """Return what projects perturbations of these inputs in [0, 1] in place, as those of adv_lib's `fmn` do."""

    def project_(δ, ε):  # noqa: PLC2401 - the names of the arguments there
        return δ.copy_(car.project(inputs, inputs + δ, ε, p=p) - inputs)

    return project_


def manipulation_from(base):
    """Return a class of secml-torch's manipulations whose constraints are the ball and [0, 1] at once."""

    class InBall(base):
        def __init__(self, radius, p):
            super().__init__([], [])
            self.radius, self.p = radius, p

        def __call__(self, x, delta):
            nearest = car.project(x, x + delta.data, self.radius, p=self.p)
            delta.data = nearest - x
            v = x + delta
            v.data = nearest
            return v, delta

    return InBall
