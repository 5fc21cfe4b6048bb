"""Values as JSON has them."""

import math
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Turn tuples and arrays into lists, keys into text, and what JSON has no number for as well."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
