"""Kinds of norms: the length of a tuple, by which numba prunes branches."""

import numba
import numpy as np

from numba_car._core.norms import GENERAL, NORM_1, NORM_2, NORM_MAX, norm_of, root, term


def test_branches_of_other_kinds_are_pruned():
    """The branch below cannot be typed for shorter tuples: numba drops it before it types anything."""

    @numba.njit
    def error_of(norm):
        kind = len(norm)
        if kind == GENERAL:
            return norm[2]
        return -1.0

    assert [error_of(norm) for norm in (NORM_1, NORM_2)] == [-1.0, -1.0]
    assert error_of(norm_of(3.5)) == norm_of(3.5)[2]


def test_norms_without_powers_compile_without_powers():
    @numba.njit
    def there_and_back(size, norm):
        return root(term(size, norm), norm)

    for p, has_powers in ((1.0, False), (2.0, False), (3.5, True)):
        norm = norm_of(p)
        np.testing.assert_allclose(there_and_back(0.7, norm), 0.7, rtol=1e-15)
        code = there_and_back.inspect_llvm(there_and_back.signatures[-1])
        assert ("@llvm.pow" in code or "@pow" in code) == has_powers, p
    assert norm_of(np.inf) is NORM_MAX
