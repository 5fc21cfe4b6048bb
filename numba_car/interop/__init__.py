"""Other array libraries: one module each, imported when its arrays are first met."""
