"""`python -m numba_car`: the command line, for where scripts are not on the path."""

from numba_car.cli import main

main()
