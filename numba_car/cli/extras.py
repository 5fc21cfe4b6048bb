"""What a command needs beyond the library itself."""

from importlib import import_module

import click


def require(extra: str, *modules: str) -> None:
    """Stop with one line that says what to install, unless every module can be imported."""
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"this command needs {error.name}; install it with: pip install 'numba_car[{extra}]'"
            ) from error
