"""Print the lowest versions that pyproject.toml allows, of the package and of the extras named."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
wanted = [*project["dependencies"]]
for extra in sys.argv[1:]:
    wanted += project["optional-dependencies"][extra]
lowest = [need.replace(">=", "==") for need in wanted if not need.startswith("numba_car")]
sys.stdout.write("\n".join(lowest) + "\n")
