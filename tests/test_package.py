"""The package as it is shipped: what is in the wheel, what importing costs, what the names lead to."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import nlprep
import nlprep.core.training
from benchmarks.results import with_table

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["nlprep", "vision", "multimodal", "cli"]
HEAVY = ["torch", "transformers", "gensim", "faiss", "numba", "scipy", "matplotlib", "datasets", "rich", "pandas"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    # Built from a copy: setuptools leaves a build folder behind, and an old one would leak into the wheel.
    source = tmp_path_factory.mktemp("source")
    for name in ["pyproject.toml", "README.md", "LICENSE", *PACKAGES]:
        (source / name).symlink_to(ROOT / name)
    output = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(output), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = output.iterdir()
    return zipfile.ZipFile(built)


@pytest.mark.slow
def test_the_wheel_holds_the_four_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    (metadata,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops == {*PACKAGES, metadata}
    modules = {str(path.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    shipped = {name for name in names if not name.startswith(metadata)}
    assert shipped == modules | {f"{package}/py.typed" for package in PACKAGES}
    assert f"{metadata}/licenses/LICENSE" in names


PEERS_APART = {"cca_zoo", "kornia", "normflows", "pythae", "zuko"}
"""What benchmarks run by another Python, whose versions of other packages are not ours."""


def imported_packages(sources: dict[str, str]) -> dict[str, str]:
    """The third-party packages that modules import, each with one module that does.

    Args:
        sources: The text of each module, by its name.
    """
    packages: dict[str, str] = {}
    for name, text in sources.items():
        for node in ast.walk(ast.parse(text)):
            named: list[str] = []
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                named = [node.module]
            for module in named:
                packages.setdefault(module.partition(".")[0], name)
    return {package: name for package, name in packages.items() if package not in sys.stdlib_module_names}


def distributions_of(packages: dict[str, str], ours: set[str]) -> set[str]:
    known = packages_distributions()
    return {normalized(known[package][0]) for package in packages if package not in ours}


def normalized(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def declared() -> tuple[set[str], set[str]]:
    """What is needed to run, and what is needed to develop besides."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return (
        {normalized(requirement) for requirement in project["project"]["dependencies"]},
        {normalized(requirement) for requirement in project["dependency-groups"]["dev"]},
    )


def test_constraints_pin_every_direct_dependency() -> None:
    runtime, dev = declared()
    pinned = {normalized(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    assert (runtime | dev) - pinned == set()


@pytest.mark.slow
def test_the_wheel_requires_what_its_modules_import_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    sources = {name: wheel.read(name).decode() for name in wheel.namelist() if name.endswith(".py")}
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    required = {
        normalized(line.removeprefix("Requires-Dist: "))
        for line in wheel.read(metadata).decode().splitlines()
        if line.startswith("Requires-Dist: ")
    }
    assert distributions_of(imported_packages(sources), set(PACKAGES)) == required


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "examples"])
@pytest.mark.slow
def test_what_developers_import_is_declared(folder: str) -> None:
    paths = list((ROOT / folder).rglob("*.py"))
    ours = {*PACKAGES, "benchmarks", "no_such_module_as_this", *PEERS_APART, *(path.stem for path in paths)}
    imported = imported_packages({str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths})
    runtime, dev = declared()
    assert distributions_of(imported, ours) <= runtime | dev


def test_importing_is_light() -> None:
    program = "import sys, nlprep, nlprep.core.training, cli.translate; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(HEAVY) & set(done.stdout.split()) == set()


@pytest.mark.parametrize("package", [nlprep, nlprep.core.training], ids=lambda package: package.__name__)
def test_every_public_name_leads_somewhere(package) -> None:
    assert sorted(package._HOMES) == sorted(package.__all__)
    for name in package.__all__:
        found = getattr(package, name)
        assert found.__module__ == package._HOMES[name], name
        assert found.__doc__
        assert name in dir(package)
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["version"] == nlprep.__version__


def test_the_results_table_is_what_the_benchmarks_printed() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(readme) == readme


def test_the_readme_names_commands_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    readme = (ROOT / "README.md").read_text()
    for target in ("demo", "test", "check"):
        assert f"make {target}" in readme
        assert f"\n{target}: " in makefile


def test_what_the_documentation_imports_is_there() -> None:
    found = 0
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for home, names in re.findall(
            r"^from (nlprep[\w.]*) import (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE
        ):
            for name in names.split("#")[0].split(","):
                assert hasattr(importlib.import_module(home), name.strip()), f"{page.name}: {home}.{name.strip()}"
                found += 1
    assert found > 5
