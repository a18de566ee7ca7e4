"""The files that say how the project is installed and checked agree with each other."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOW, END = map(
    int, re.findall(r"3\.(\d+)", tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
)
WORKFLOW = (ROOT / ".github/workflows/tests.yml").read_text()


def test_one_range_of_pythons() -> None:
    assert f"Python 3.{LOW} to 3.{END - 1}" in (ROOT / "README.md").read_text()
    versions = re.search(r"python: \[(.*)\]", WORKFLOW)
    assert versions is not None
    assert versions[1] == ", ".join(f'"3.{minor}"' for minor in range(LOW, END))


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize(("minor", "fits"), [(LOW - 1, False), (LOW, True), (END - 1, True), (END, False)])
def test_make_takes_only_these_pythons(minor: int, fits: bool, tmp_path: Path) -> None:
    """With a Python that takes itself for another, make ends at the first step or goes on to the second."""
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\n[ "$1" = -m ] && echo makes the environment && exit 9\n'
        f'code="import sys; sys.version_info = (3, {minor}, 0); exec(sys.argv.pop(1))"\n'
        'shift\nexec python3 -c "$code" "$@"\n'
    )
    python.chmod(0o755)
    call = ["make", "-C", str(ROOT), "install", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode != 0
    assert ("makes the environment" in done.stdout) == fits
    assert (f"use 3.{LOW} to 3.{END - 1}" in done.stderr) != fits


@pytest.mark.parametrize("name", ["requirements.txt", "demo/requirements.txt", "tests/requirements.txt"])
def test_requirements_are_bounded_and_explained(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    needed = [line for line in lines if line and not line.startswith(("#", "-r "))]
    assert needed
    for line in needed:
        assert re.fullmatch(r"[a-z0-9-]+>=[\d.]+,<[\d.]+", line), line
    assert len({line.split(">")[0] for line in needed}) == len(needed)


def test_the_workflow_runs_tests_that_are_there() -> None:
    files = re.findall(r"tests/test_\w+\.py", WORKFLOW)
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []
