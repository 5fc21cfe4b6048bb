"""Derivatives of functions of a row by central differences, and gradients held against them."""

from dataclasses import replace

import numpy as np
import pytest

H = 1e-6


def derivative(function, row, name, index=None):
    """Central difference of a function of the row along one number in it."""
    ends = []
    for step in (-H, H):
        value = np.array(getattr(row, name))
        value[() if index is None else index] += step
        ends.append(function(replace(row, **{name: value if index is not None else float(value)})))
    return (ends[1] - ends[0]) / (2 * H)


def check_against_differences(gradients, function, row):
    """Check the gradients of a number that is a function of an `oracle.Row`."""
    for name in ("x", "lower", "upper"):
        expected = [derivative(function, row, name, i) for i in range(row.x.size)]
        np.testing.assert_allclose(getattr(gradients, name), expected, rtol=1e-6, atol=1e-6)
    moving = np.flatnonzero(row.delta)
    expected = [derivative(function, row, "delta", i) for i in moving]
    np.testing.assert_allclose(gradients.delta[moving], expected, rtol=1e-6, atol=1e-6)
    assert gradients.eps == pytest.approx(derivative(function, row, "eps"), rel=1e-6, abs=1e-6)
