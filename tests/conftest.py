"""Fixtures for several files: the small data sets, made once per session, and a way to run an entry script in this
process.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.synthetic import write_h36m, write_tiny

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def h36m_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small set in the Human3.6M layout; not to be written to."""
    return write_h36m(tmp_path_factory.mktemp("h36m"))


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of data_tiny.npz; not to be written to."""
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def main() -> Callable[..., None]:
    """main(SCRIPT, *ARGV) does in this process what `python SCRIPT ARGV` does."""

    def call(script: str, *argv: object) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [script, *map(str, argv)])
            runpy.run_path(str(ROOT / script), run_name="__main__")

    return call
