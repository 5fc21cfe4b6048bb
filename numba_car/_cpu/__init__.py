"""Row loops and threads for NumPy arrays."""
