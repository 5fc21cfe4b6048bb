"""The command line: `numba-car`, or `python -m numba_car` where scripts are not on the path."""

import sys


def main() -> None:
    """Run the `numba-car` command, or say what to install where its packages are missing."""
    try:
        from numba_car.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit(f"numba-car needs {error.name}; install it with: pip install 'numba_car[cli]'")
    app(prog_name="numba-car")
