"""Row-level jitted functions, for calls from a user's own ``@njit`` code."""
