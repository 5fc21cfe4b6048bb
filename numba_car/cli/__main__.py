"""`python -m numba_car.cli`, for where scripts are not on the path."""

from numba_car.cli import main

main()
