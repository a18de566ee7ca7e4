"""Results replace nothing but results of the same source; an error leaves no empty folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from common.errors import InputError
from demo.results import LONGEST_NAME, Results, name_after

NAMES = ("clip.mp4", "poses.csv")
MESSAGES = {"folder": r"poses\.csv: is a folder", "lock": r"run\.lock: is not the lock"}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """The source of the results."""
    path = tmp_path / "A" / "clip.mp4"
    path.parent.mkdir()
    path.write_text("film")
    return path


def write(
    folder: Path, source: Path, text: str = "1", names: tuple[str, ...] = NAMES, inputs: tuple[Path, ...] = ()
) -> None:
    """A run that writes `text` into each of its results."""
    with Results(folder, source, names, (source, *inputs)) as results:
        for name in names:
            with results.writing(name) as path:
                path.write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != "written.json"}


def check_refused(message: str, folder: Path, *args: object, **options: object) -> None:
    """A run is refused, and changes nothing."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match=rf"{message}.*--output") as caught:
        write(folder, *args, **options)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_same_source_may_write_again_by_any_spelling(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write(out, video, "1")
    assert content(out) == dict.fromkeys(NAMES, "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(out)
    (tmp_path / "link.mp4").symlink_to(video)
    for number, (folder, source) in enumerate(
        [("out/", "A/clip.mp4"), ("./A/../out", "link.mp4"), ("link", "A/../A/clip.mp4")]
    ):
        write(Path(folder), Path(source), f"again {number}")
        assert content(out) == dict.fromkeys(NAMES, f"again {number}")
    shutil.copytree(out, tmp_path / "copy")  # with other times
    write(tmp_path / "copy", video, "2")
    assert content(tmp_path / "copy") == dict.fromkeys(NAMES, "2")


def test_another_source_of_the_same_name_is_refused(video: Path, tmp_path: Path) -> None:
    other = tmp_path / "B" / "clip.mp4"
    other.parent.mkdir()
    other.write_text("another film")
    write(tmp_path / "out", video)
    check_refused(rf"is a result of {video}", tmp_path / "out", other)
    write(tmp_path / "out", other, names=("other.csv",))  # what replaces nothing is fine


@pytest.mark.parametrize("how", ["file", "changed", "link", "dangling", "folder", "same", "lock"])
def test_a_file_that_is_somebody_elses_stays(how: str, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    path = out / "poses.csv"
    (tmp_path / "mine").write_text("mine")
    if how == "file":
        path.write_text("mine")
    elif how == "changed":
        write(out, video)
        path.write_text("mine")
    elif how == "link":
        path.symlink_to(tmp_path / "mine")
    elif how == "dangling":
        path.symlink_to(tmp_path / "nothing")
    elif how == "folder":
        (path / "mine").mkdir(parents=True)
    elif how == "same":
        path.hardlink_to(tmp_path / "mine")
    elif how == "lock":
        (out / "run.lock").write_text("mine")
    before = sorted((path.name, path.is_symlink(), path.is_file() and path.read_bytes()) for path in out.iterdir())
    with pytest.raises(
        InputError, match=MESSAGES.get(how, "was not written by this program, or was changed since")
    ) as caught:
        write(out, video)
    assert "\n" not in str(caught.value)
    assert (
        sorted((path.name, path.is_symlink(), path.is_file() and path.read_bytes()) for path in out.iterdir()) == before
    )


@pytest.mark.parametrize("link", ["", "symbolic", "hard"])
def test_an_input_is_never_replaced(link: str, video: Path, tmp_path: Path) -> None:
    check_refused("is read by this run", video.parent, video)
    out = tmp_path / "out"
    write(out, video)
    given = out / "clip.mp4"  # a result of this program is the source of the next run
    if link:
        given = tmp_path / "other.mp4"
        given.symlink_to(out / "clip.mp4") if link == "symbolic" else given.hardlink_to(out / "clip.mp4")
    check_refused("is read by this run", out, given)
    check_refused("is read by this run", out, video, inputs=(given,))
    check_refused(
        "is read by this run", out, out / "new.mp4", names=("new.mp4",)
    )  # what a camera is still to be recorded to


def test_a_file_that_comes_while_the_work_goes_on_stays(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Results(out, video, NAMES) as results:
        (out / "clip.mp4").write_text("mine")
        with pytest.raises(InputError, match="was not written by this program"), results.writing("clip.mp4") as path:
            path.write_text("results")
    assert content(out) == {"clip.mp4": "mine"}


def test_a_run_that_is_killed_before_it_renames_can_be_done_again(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write(out, video, "1")
    rename = Path.replace

    def killed(path: Path, target: Path) -> Path:
        return rename(path, target) if target.name == "written.json" else 1 / 0

    for text in ("2", "3"):
        monkeypatch.setattr(Path, "replace", killed)
        with pytest.raises(ZeroDivisionError):
            write(out, video, text)
        monkeypatch.undo()
        assert content(out)["clip.mp4"] == "1"
    write(out, video, "4")
    assert content(out) == dict.fromkeys(NAMES, "4")


def test_a_stage_may_start_from_a_file_of_the_folder_that_it_writes_to(video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, video, names=("poses.npz", *NAMES))
    write(out, out / "poses.npz", "again", names=("poses.mp4", "poses.csv"))
    write(out, video, "more", names=("poses.npz", *NAMES))
    assert content(out) == dict.fromkeys(("poses.npz", *NAMES), "more") | {"poses.mp4": "again"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "hot-written 1", "source": "a", "files": {"a": 3}}', "\ufeff[" * 9]
)
def test_a_record_that_is_none_is_refused(text: str, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "written.json").write_text(text)
    check_refused(r"written\.json: is not the record", out, video)


@pytest.mark.parametrize("source", ["a\0b", "\ud800", "", "x" * 5000])
def test_a_record_of_a_source_that_cannot_be_is_no_crash(source: str, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, video)
    record = json.loads((out / "written.json").read_text())
    (out / "written.json").write_text(json.dumps(record | {"source": source}))
    check_refused("is a result of", out, video)


def test_an_error_leaves_no_empty_folder(video: Path, tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        with Results(folder, video, NAMES) as results, results.writing("poses.csv"):
            assert folder.is_dir()
            raise InputError("bad")

    (tmp_path / "old").mkdir()
    for folder in (tmp_path / "old" / "a" / "b", tmp_path / "new" / "out"):
        with pytest.raises(InputError, match="bad"):
            broken(folder)
    assert list((tmp_path / "old").iterdir()) == []
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_is_refused(video: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clip\.mp4: is not a folder; give the name of a folder by --output"):
        write(video, video)
    for folder in (video / "x", tmp_path / ("x" * 300)):
        with pytest.raises(InputError, match="cannot be written"):
            write(folder, video)


def test_two_runs_do_not_share_a_folder(video: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with Results(tmp_path / "out", video, NAMES), pytest.raises(InputError, match="another run is under way"):
        write(tmp_path / "out", video)


def test_names_of_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shots.2"
    folder.mkdir()
    monkeypatch.chdir(folder)
    names = {
        "a.mp4": "a",
        "x/-b.c.mkv": "-b.c",
        ".": "shots.2",
        "": "shots.2",
        f"{folder}/": "shots.2",
        "..": tmp_path.name,
    }
    names |= {".mp4": ".mp4", "..mp4": "video", "...mp4": "video", "/": "video"}
    names |= {os.fsdecode(b"caf\xe9.mp4"): "caf_", "a\n\x1b[1m.mp4": "a__[1m"}
    assert {source: name_after(source) for source in names} == names
    assert len(name_after("\u6771" * 84 + ".mp4").encode()) <= LONGEST_NAME
