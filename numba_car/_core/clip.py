"""The gradients of a coordinate that is clipped to its bounds, and to within some reach of x."""

from numba_car._jit import formula


@formula
def pull_back(x, z, lower, upper, reach, g):
    """Return the gradients of x, z, lower, upper and the reach of z clipped to all of these, given that of the result."""
    low, high = x - reach, x + reach
    above, below = z >= min(upper, high), z <= max(lower, low)
    below = below & (not above)
    by_upper, by_lower = above & (upper <= high), below & (lower >= low)
    by_reach = (above & (not by_upper)) | (below & (not by_lower))
    nothing = 0.0 * g
    return (
        g if by_reach else nothing,
        nothing if above | below else g,
        g if by_lower else nothing,
        g if by_upper else nothing,
        (g if above else -g) if by_reach else nothing,
    )


@formula
def push_forward(x, z, lower, upper, reach, of_x, of_z, of_reach):
    """Return the tangent of z clipped as in `pull_back`, given those of x, z and the reach."""
    slopes = pull_back(x, z, lower, upper, reach, 1.0)
    return slopes[0] * of_x + slopes[1] * of_z + slopes[4] * of_reach
