"""The mutator of benchmark/mutate.py, in short: damaged and hostile files are refused with a sentence or read right."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from benchmark import mutate, mutations

NEEDS = {"checkpoint": "torch", "keypoints": "cv2", "poses": "cv2"}
CASES = 30

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits of memory are those of Linux")


@pytest.mark.parametrize("reader", sorted(mutate.READERS.keys() - {"run"}))  # going on with a run takes seconds a case
def test_refused_with_a_sentence_or_read_right(reader: str, worker: mutate.Worker) -> None:
    if importlib.util.find_spec(NEEDS.get(reader, "numpy")) is None:
        pytest.skip(f"{NEEDS[reader]} is not installed")
    wrong = []
    for number in range(CASES):
        outcome = worker.judge(mutate.Case(reader, number, 1))
        if outcome.kind in mutate.WRONG:
            wrong.append(outcome)
    assert not wrong


@pytest.fixture(scope="module")
def worker() -> mutate.Worker:
    worker = mutate.Worker(memory=768 * 2**20, patience=60)
    yield worker
    worker.close()


def read_badly(kind: str) -> object:
    """A reader that goes wrong in one way."""

    def read(path) -> object:
        data = path.read_bytes()
        if data == GOOD:
            return data.hex()
        if kind == "traceback":
            raise KeyError("x")
        if kind == "memory":
            raise MemoryError
        if kind == "sentence":
            raise mutate.InputError("two\nlines")
        return np.nan if kind == "not finite" else "other values"

    return mutate.Reader(lambda folder: folder / "a.npz", read)


GOOD = b"PK, or something like it, that is long enough to be changed in some place"


@pytest.mark.parametrize("kind", ["traceback", "memory", "sentence", "not finite", "unnoticed"])
def test_what_goes_wrong_is_seen(kind: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutate, "mutations", lambda _: mutations.RAW[:1])
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.npz").write_bytes(GOOD)
    reader = read_badly(kind)
    outcome = mutate.judge(mutate.Case("x", 0, 0), reader, tmp_path / "good" / "a.npz", "", tmp_path / "case")
    assert outcome.kind == kind
    assert outcome.mutation == "flip_bit"


def test_cases_can_be_repeated(tmp_path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    path = mutate.READERS["Human3.6M 3D"].make(good)
    for way in dict.fromkeys(mutations.mutations(path)):
        files = []
        for copy in ("a.npz", "b.npz"):
            (tmp_path / copy).write_bytes(path.read_bytes())
            way(tmp_path / copy, np.random.default_rng(5))
            files.append((tmp_path / copy).read_bytes() if (tmp_path / copy).is_file() else b"")
        assert files[0] == files[1]
