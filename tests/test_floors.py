"""The folders of the tree: which may import which, so that a reader can begin at the bottom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

FLOORS = [
    "errors", "files", "arguments", "geometry", "data", "wild", "inference", "evaluation", "training", "experiment",
]  # fmt: skip
"""Of common/, from the bottom; each may import itself and what stands before it. Named so in common/__init__.py."""
SOURCES = sorted(path for folder in ("common", "model") for path in (ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules of this repository that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {
        name
        for name in names
        if name.split(".")[0] in ("common", "model", "demo", "dataset", "benchmark", "checkpoint")
    }


COMMAND = ROOT / "model" / "export.py"
"""The command line `python -m model.export`. It reads checkpoints, which stand above model/: nothing may import it."""


def test_nothing_imports_the_command_that_stands_above_its_folder() -> None:
    assert not [path for path in SOURCES if "model.export" in imported(path)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_imports_from_a_floor_above(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if path == COMMAND:
        parts = ("common", "inference")  # it may import what common/inference may
    if parts[0] == "model":
        allowed = {"model", "common.errors"}
        assert {name for name in imported(path) if name != "common" and not name.startswith(tuple(allowed))} == set()
        return
    below = FLOORS[: FLOORS.index(parts[1]) + 1] if parts[1] in FLOORS else ()
    allowed_floors = {"model", *(f"common.{floor}" for floor in below)}
    found = {
        ".".join(name.split(".")[:2]) if name.startswith("common.") else name.split(".")[0] for name in imported(path)
    }
    assert found - allowed_floors - {"common"} == set()


@pytest.mark.parametrize("module", ["common.inference.lifting", "hubconf"])
def test_the_lifter_loads_nothing_that_trains(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in sys.modules if name.startswith('common.')])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name.split(".")[1] for name in loaded} <= {"errors", "files", "geometry", "data", "inference"}
