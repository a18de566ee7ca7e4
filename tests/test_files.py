"""Files are written whole or not at all, killed processes leave no lock, and what they leave is swept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.errors import InputError
from common.files import RUN_LOCK, TEMPORARY, only_run, replacing, sweep, write_text
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks and signals of POSIX")


@contextmanager
def process(body: str, *argv: object) -> Iterator[subprocess.Popen]:
    """A Python process that is past the line `print("ready", flush=True)` of its body; killed when the block ends."""
    command = [sys.executable, "-c", f"import os, sys, time\nfrom common.files import *\n{body}", *map(str, argv)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.communicate()


WRITING = """
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""
RUNNING = """
with only_run(sys.argv[1]):
    print("ready", flush=True)
    time.sleep(60)
"""
FORKED = """
with only_run(sys.argv[1]):
    child = os.fork()
    if not child:
        print("ready", flush=True)
    time.sleep(5)
"""


def test_no_glob_finds_a_file_that_is_being_written(tmp_path: Path) -> None:
    for name in ("model_1_4000.pth", "data.npz", "x" * 250 + ".mp4"):
        with replacing(tmp_path / name) as temporary:
            temporary.write_text("half")
            assert temporary.name == name  # writers tell the format by it
            assert not [path for path in tmp_path.iterdir() if path.is_file() or not path.name.startswith(TEMPORARY)]
        assert (tmp_path / name).read_text() == "half"
        (tmp_path / name).unlink()
    assert not list(tmp_path.iterdir())


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")

    def fail() -> None:
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_only_what_the_dead_left_is_swept(tmp_path: Path) -> None:
    with process(WRITING, tmp_path / "dead.pth"):
        pass
    (own,) = tmp_path.iterdir()
    assert own.name.startswith(TEMPORARY)
    (tmp_path / ".hotel").mkdir()  # not ours
    (tmp_path / ".hot").touch()
    with process(WRITING, tmp_path / "alive.pth"):
        sweep(tmp_path, "other.pth")
        assert own.exists()
        sweep(tmp_path)
        assert not own.exists()
        (alive,) = tmp_path.glob(f"{TEMPORARY}*")
        assert [path.name for path in alive.iterdir()] == ["alive.pth"]
    sweep(tmp_path, "alive.pth")
    assert {path.name for path in tmp_path.iterdir()} == {".hotel", ".hot"}


def test_a_folder_is_one_run_s_until_it_ends_or_dies(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with process(RUNNING, run) as child:
        with (
            pytest.raises(InputError, match=rf"another run is under way here \(process {child.pid} on "),
            only_run(run),
        ):
            pass
        assert (run / RUN_LOCK).exists()
    assert (run / RUN_LOCK).exists()  # the file stays after a kill, the lock does not
    (run / f"{TEMPORARY}abcdefgh").mkdir()
    with only_run(run):
        assert [path.name for path in run.iterdir()] == [RUN_LOCK]
        with pytest.raises(InputError, match="under way"), only_run(run):
            pass
    assert not list(run.iterdir())


def test_a_folder_that_was_made_for_nothing_goes_again(tmp_path: Path) -> None:
    with only_run(tmp_path / "new"):
        pass
    (tmp_path / "old").mkdir()
    with only_run(tmp_path / "old"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_loader_process_that_outlives_its_run_does_not_keep_the_lock(tmp_path: Path) -> None:
    with process(FORKED, tmp_path) as parent:
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        started = time.monotonic()
        with only_run(tmp_path):
            assert time.monotonic() - started < 4  # the child is alive


def test_without_locks_everything_works_but_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.files.fcntl", None)
    (tmp_path / f"{TEMPORARY}abcdefgh").mkdir()
    with only_run(tmp_path), only_run(tmp_path):
        write_text(tmp_path / "a.txt", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {f"{TEMPORARY}abcdefgh", "a.txt"}


def test_a_sweep_leaves_what_is_not_of_this_program_s_making(tmp_path: Path) -> None:
    (tmp_path / f"{TEMPORARY}notes").mkdir()  # another name
    own = tmp_path / f"{TEMPORARY}mythings"
    own.mkdir()
    (own / "a.txt").touch()
    (own / "b.txt").touch()  # no temporary folder holds two files
    (tmp_path / f"{TEMPORARY}abcdefgh").mkdir()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{TEMPORARY}notes", own.name}
