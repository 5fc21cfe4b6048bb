"""The files that tools beside Python read: they fit their schemas, and agree with pyproject.toml."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

import numba_car as car

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
HOME = PROJECT["urls"]["Homepage"]
SCHEMAS = {
    "citation-file-format": "CITATION.cff",
    "dependabot": ".github/dependabot.yml",
    "github-issue-config": ".github/ISSUE_TEMPLATE/config.yml",
    "github-issue-forms": ".github/ISSUE_TEMPLATE/[!c]*.yml",
    "github-workflows": ".github/workflows/*.yml",
    "readthedocs": ".readthedocs.yaml",
}
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SHELL = {"cd", "test", "python"}


def load(path):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_fit_their_schemas(schema, capsys):
    checker = pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    files = sorted(map(str, ROOT.glob(SCHEMAS[schema])))
    assert files
    options = ["--builtin-schema", f"vendor.{schema}", "--default-filetype", "yaml"]
    with pytest.raises(SystemExit) as ended:
        checker.main([*options, *files])
    assert ended.value.code in (0, None), capsys.readouterr().out


def test_one_home():
    """A fork changes one line, and this test names the other places."""
    owner = re.compile(r"https://github\.com/([^/\s]+/numba_car)\b")
    named = ("*.md", "*.cff", "docs/*.md", "recipe/*", ".github/**/*.*")
    for path in (path for pattern in named for path in ROOT.glob(pattern)):
        for found in owner.findall(path.read_text(encoding="utf-8")):
            assert f"https://github.com/{found}" == HOME, path


def test_one_version():
    assert load("CITATION.cff")["version"] == car.__version__
    assert load("recipe/recipe.yaml")["context"]["version"] == car.__version__


def test_the_recipe_needs_what_the_package_needs():
    recipe, extras = load("recipe/recipe.yaml"), PROJECT["optional-dependencies"]
    needed = {*PROJECT["dependencies"], *extras["cli"]}
    run = {need.replace(" ", "") for need in recipe["requirements"]["run"]}
    assert run - {"python>=${{python_min}}"} == needed
    entry_points = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == entry_points


def test_the_readme_has_every_extra():
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Requirements")[2]
    named = set(re.findall(r"`(\w+)`", text.partition("## Speed")[0]))
    assert set(PROJECT["optional-dependencies"]) <= named


def commands_of(workflow):
    for job in load(workflow)["jobs"].values():
        for step in job["steps"]:
            yield from step.get("run", "").splitlines()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_exists(workflow):
    commands = list(commands_of(workflow))
    assert commands
    for command in commands:
        program = command.split()[0]
        known = program in SHELL or (ROOT / program).is_file() or shutil.which(program)
        assert known or f"pip install build {program}" in "\n".join(commands), command
        for path in re.findall(r"\b(?:docs|tests|\.ci)/[\w./]+", command):
            assert (ROOT / path).exists(), command
        for extras in re.findall(r"\.\[(.*?)\]", command):
            assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), command


def test_workflows_test_the_versions_that_are_claimed():
    claimed = [
        found[1]
        for name in PROJECT["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", name))
    ]
    jobs = load(".github/workflows/tests.yml")["jobs"]
    assert jobs["python"]["strategy"]["matrix"]["python"] == claimed
    assert PROJECT["requires-python"] == f">={claimed[0]}"
