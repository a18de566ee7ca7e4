"""The reader of npz fields by a schema: what other programs write is read, and nothing is read or set aside that should
not be.
"""

from __future__ import annotations

import os
import socket
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmark.mutations import DESCRIPTIONS, HEADERS, SHAPES, npy, npy_header, write_members
from common.data.npz import open_npz
from common.data.schema import FLOAT, NUMBER, TEXT, TRUTH, WHOLE, Field
from common.errors import InputError

POSE = np.arange(24, dtype=np.float32).reshape(4, 6)
SCHEMA = {
    "name": Field(TEXT, ("N",)),
    "split": Field(TEXT, ("N",), choices=("train", "test")),
    "count": Field(WHOLE, ("N",), least=1, most=9),
    "seen": Field(TRUTH, ("N",)),
    "pose": Field(FLOAT, ("N", (5, 6)), -1e3, 1e3),
    "fps": Field(NUMBER, least=0.01, most=1e5),
    "note": Field(TEXT, most=12),
}
GOOD = {
    "name": np.array(["a", "bé", "c d", "e"]), "split": np.array(["train", "test", "test", "train"]),
    "count": np.arange(1, 5),
    "seen": np.array([True, False, True, True]), "pose": POSE, "fps": np.float64(50), "note": np.array("twelve signs"),
}  # fmt: skip


def read(path: Path, *names: str) -> dict[str, np.ndarray]:
    with open_npz(path, SCHEMA, make="make it", layout="see the layout") as field:
        return {name: field(name) for name in names or SCHEMA}


def refusal(path: Path, *names: str) -> str:
    """The sentence of the refusal; little memory is taken on the way."""
    tracemalloc.start()
    with pytest.raises(InputError) as error:
        read(path, *names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    sentence = str(error.value)
    assert sentence.startswith(f"{path}: ")
    assert sentence.isprintable()
    assert len(sentence) < 500 + len(str(path))
    assert "; " in sentence
    assert peak < 20e6
    return sentence


def with_pose(folder: Path, data: bytes) -> Path:
    """An .npz whose field pose is these bytes, under a right checksum."""
    write_members(folder / "a.npz", [("pose.npy", data)], zipfile.ZIP_DEFLATED)
    return folder / "a.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes(save: Callable, tmp_path: Path) -> None:
    save(tmp_path / "a.npz", **GOOD)
    for name, values in read(tmp_path / "a.npz").items():
        np.testing.assert_array_equal(values, GOOD[name])
        assert values.dtype == GOOD[name].dtype


@pytest.mark.parametrize(
    "values",
    [
        POSE.astype(">f4"),
        POSE.astype(np.float16),
        POSE.astype(np.float64),
        np.asfortranarray(POSE),
        POSE[:, ::-1],
        POSE[:1],
    ],
)
def test_layouts_of_arrays(values: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pose=values)
    np.testing.assert_array_equal(read(tmp_path / "a.npz", "pose")["pose"], values)


WRITERS = {
    "other quotes": '{"descr": "<f4", "fortran_order": False, "shape": (4, 6)}',
    "another order": "{'shape': (4, 6), 'descr': '<f4', 'fortran_order': False}",
    "no blanks": "{'descr':'<f4','fortran_order':False,'shape':(4,6)}",
    "long numbers of Python 2": "{'descr': '<f4', 'fortran_order': False, 'shape': (4L, 6L), }",
    "more blanks": " { 'descr' : '<f4' , 'fortran_order' : False , 'shape' : ( 4 , 6 , ) , } \n",
}


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("writer", WRITERS)
def test_headers_of_other_writers(writer: str, version: tuple[int, int], tmp_path: Path) -> None:
    path = with_pose(tmp_path, npy(WRITERS[writer], version) + POSE.tobytes())
    np.testing.assert_array_equal(read(path, "pose")["pose"], POSE)


@pytest.mark.parametrize("header", HEADERS, ids=lambda text: repr(text[:20]))
def test_headers_that_are_none(header: str, tmp_path: Path) -> None:
    assert "field pose" in refusal(with_pose(tmp_path, npy(header) + POSE.tobytes()), "pose")


@pytest.mark.parametrize("descr", sorted(set(DESCRIPTIONS) - {"'<f4'"}))
def test_types_that_do_not_fit(descr: str, tmp_path: Path) -> None:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (4, 6), }}"
    assert "field pose" in refusal(with_pose(tmp_path, npy(header) + POSE.tobytes()), "pose")


@pytest.mark.parametrize("shape", SHAPES, ids=lambda text: repr(text[:20]))
def test_shapes_that_do_not_fit(shape: str, tmp_path: Path) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    assert "field pose" in refusal(with_pose(tmp_path, npy(header) + POSE.tobytes()), "pose")


def put(name: str, place: object, value: object) -> dict[str, np.ndarray]:
    values = np.array(GOOD[name], dtype=object if name in ("name", "split") else None)
    values[place] = value
    return {name: values.astype(str) if values.dtype == object else values}


BAD = {
    "0-d": ({"name": np.array("a")}, "name is text (), not texts (N,)"),
    "one axis more": (
        {"count": np.ones((4, 1), int)},
        "count is int64 (4, 1), not whole numbers (4,) as field name has them",
    ),
    "fewer rows": ({"pose": POSE[:3]}, "pose is float32 (3, 6), not floats (4, 5 or 6) as field name has them"),
    "no rows": ({"name": np.zeros(0, "U1")}, "name is text (0,)"),
    "objects": ({"count": np.array([1, 2, 3, None])}, "count is pickled objects (4,), not whole numbers"),
    "structured": ({"pose": np.zeros((4, 6), [("a", "f4")])}, "header is not that of a plain array"),
    "bytes": ({"name": np.array([b"a"] * 4)}, "name is |S1 (4,), not texts"),
    "a date": ({"count": np.zeros(4, "M8[s]")}, "count is datetime64[s] (4,)"),
    "fractions": ({"count": np.ones(4)}, "count is float64 (4,), not whole numbers"),
    "wide floats": ({"pose": POSE.astype(np.longdouble)}, "field pose"),
    "complex": ({"fps": np.complex128(50)}, "fps is complex128 (), not one number"),
    "truth in numbers": ({"seen": np.ones(4, int)}, "seen is int64 (4,), not bool (4,)"),
    "bytes for truth": ({"seen": np.frombuffer(b"\x01\x00\x07\x01", bool)}, "neither true nor false"),
    "NaN": (put("pose", (2, 3), np.nan), "pose, entry 2, 3 is nan, not a number from -1000 to 1000"),
    "infinity": (put("pose", (0, 0), -np.inf), "entry 0, 0 is -inf"),
    "too large": (put("pose", (3, 5), 1e30), "entry 3, 5 is 1e+30"),
    "too small": (put("count", 1, 0), "count, entry 1 is 0, not a number from 1 to 9"),
    "one number too large": ({"fps": np.float64(1e300)}, "fps is 1e+300, not a number from 0.01 to 100000"),
    "another choice": (put("split", 2, "val"), "split, entry 2 is 'val', not 'train' or 'test'"),
    "control characters": (
        put("name", 2, "\x1b[31m"),
        r"name, entry 2 is '\x1b[31m', with characters that cannot be printed",
    ),
    "a new line": (put("name", 0, "a\nb"), "cannot be printed"),
    "a zero within": (put("name", 0, "a\0b"), "cannot be printed"),
    "half a character": ({"note": np.array("\ud800")}, "cannot be printed"),
    "no character": ({"note": np.full(1, 0x7FFFFFFF, np.uint32).view("U1")[0:1].reshape(())}, "do not exist"),
    "a long text": ({"note": np.array("thirteen signs")}, "a text of 14 characters, more than 12"),
    "a long name": (put("name", 1, "x" * 300), "a text of 300 characters"),
}


@pytest.mark.parametrize("name", BAD)
def test_fields_that_are_not_as_declared(name: str, tmp_path: Path) -> None:
    change, says = BAD[name]
    np.savez(tmp_path / "a.npz", **(GOOD | change))
    assert says in refusal(tmp_path / "a.npz")


def test_names_of_entries(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **(GOOD | put("count", 1, 0)))
    with open_npz(tmp_path / "a.npz", SCHEMA, make="", layout="") as field:
        field.axes.names["N"] = field("name").tolist()
        with pytest.raises(InputError, match="field count of N 'bé' is 0"):
            field("count")


@pytest.mark.parametrize("stated", ["as it is", "as the header says"])
def test_zip_bombs(stated: str, tmp_path: Path) -> None:
    rows = 40 * 2**20 // 6 if stated == "as it is" else 4
    path = with_pose(tmp_path, npy_header("<f4", (rows, 6)) + bytes(40 * 2**20 // 6 * 24))  # 160 MB of zeros
    assert path.stat().st_size < 200_000
    assert "field pose cannot be read" in refusal(path, "pose")


def test_much_that_is_packed_well_is_no_bomb(tmp_path: Path) -> None:
    values = np.zeros((2**20, 6), np.float32)  # 24 MB: nobody was seen
    np.savez_compressed(tmp_path / "a.npz", pose=values)
    np.testing.assert_array_equal(read(tmp_path / "a.npz", "pose")["pose"], values)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packed_in_ways_that_numpy_does_not_write(method: int, tmp_path: Path) -> None:
    write_members(tmp_path / "a.npz", [("pose.npy", npy_header("<f4", (4, 6)) + POSE.tobytes())], method)
    assert "packed in a way" in refusal(tmp_path / "a.npz", "pose")


def test_a_name_that_is_there_twice(tmp_path: Path) -> None:
    data = npy_header("<f4", (4, 6)) + POSE.tobytes()
    write_members(tmp_path / "a.npz", [("pose.npy", data), ("pose.npy", data)])
    assert "two members of the name 'pose.npy'" in refusal(tmp_path / "a.npz", "pose")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_one_bit_turned_over_anywhere(method: int, tmp_path: Path) -> None:
    write_members(tmp_path / "a.npz", [("pose.npy", npy_header("<f4", (4, 6)) + POSE.tobytes())], method)
    whole = (tmp_path / "a.npz").read_bytes()
    for place in range(len(whole)):
        (tmp_path / "a.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            np.testing.assert_array_equal(read(tmp_path / "a.npz", "pose")["pose"], POSE)
        except InputError as error:
            assert str(error).isprintable()  # noqa: PT017


NO_NPZ = {
    "nothing": "no such file",
    "a pipe": "is a pipe, a socket or a device, not a file",
    "a device": "is a pipe, a socket or a device, not a file",
    "a socket": "is a pipe, a socket or a device, not a file",
    "a folder": "is a folder, not a file",
    "a link to itself": "cannot be read",
    "a web page": "it is a web page",
    "a pointer of Git LFS": "it is a pointer of Git LFS",
    "one array": "it holds one array",
    "empty": "it is empty",
}


def make(kind: str, path: Path) -> None:
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    elif kind == "a link to itself":
        path.symlink_to(path)
    elif kind == "a web page":
        path.write_text("<!DOCTYPE html><title>Not found</title>")
    elif kind == "a pointer of Git LFS":
        path.write_text("version https://git-lfs.github.com/spec/v1\n")
    elif kind == "one array":
        path.write_bytes(npy_header("<f4", (4, 6)) + POSE.tobytes())
    elif kind == "empty":
        path.touch()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files here")
@pytest.mark.parametrize("kind", NO_NPZ)
def test_what_is_no_npz(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    path = Path("a.npz").absolute()
    make(kind, path)
    assert NO_NPZ[kind] in refusal(path)


@pytest.mark.parametrize("name", ["a\0b.npz", "x" * 3000 + ".npz"])
def test_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / name)
