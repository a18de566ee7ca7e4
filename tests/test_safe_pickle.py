"""The reader of pickled object arrays: what data files need comes back equal, everything else is refused and nothing
runs.
"""

from __future__ import annotations

import codecs
import contextlib
import datetime
import io
import os
import pickle
import pickletools
import signal
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from common.data.safe_pickle import load_objects, read_npz_object
from common.errors import InputError

PROTOCOLS = (2, 3, 4, 5)


def check_same(a: object, b: object) -> None:
    """Equal in type, shape, dtype and content, all the way down."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            check_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            check_same(x, y)
    elif isinstance(a, np.ndarray) and a.dtype.kind == "O":
        assert a.shape == b.shape
        check_same(a.ravel().tolist(), b.ravel().tolist())
    elif isinstance(a, np.ndarray | np.generic):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()
    else:
        assert a == b


def objects() -> dict[str, object]:
    """What the files of VideoPose3D's scripts hold, and what could stand beside it."""
    rng = np.random.default_rng(0)
    pose = rng.standard_normal((5, 17, 3))
    views = np.empty(2, dtype=object)
    views[:] = [pose[..., :2], pose[:3, :, :2]]
    return {
        "nested": {
            "S1": {"Walking 1": pose.astype(np.float32), "Sitting": pose},
            "S9": {"Walking": [pose, pose[:2]], "none": ()},
        },
        "integers": np.arange(-4, 5).reshape(3, 3),
        "bytes": np.arange(256).astype(np.uint8),
        "fortran": np.asfortranarray(pose),
        "transposed": pose.T,
        "strided": pose[::2, ::3],
        "big endian": pose.astype(">f8"),
        "big endian integers": np.arange(7).astype(">i4"),
        "half": pose.astype(np.float16),
        "zero-dimensional": np.array(3.5),
        "empty": np.zeros((0, 17, 3), np.float32),
        "booleans": np.array([True, False]),
        "strings": np.array(["a", "beta"]),
        "object array": views,
        "object matrix": np.array([["x", 1], [None, 2.5]], dtype=object),
        "numpy scalars": [np.float32(1.5), np.int64(-7), np.bool_(True), np.str_("x"), np.float64(np.pi)],
        "metadata": {
            "layout_name": "h36m",
            "num_joints": np.int64(17),
            "keypoints_symmetry": [[np.int32(4), 5], [1, 2]],
        },
        "plain": [1, -(2**70), 2.5, True, None, "text", "Grüße", b"raw \x00\xff", (1, (2, 3)), {}],
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", objects())
def test_data_comes_back_equal(name: str, protocol: int) -> None:
    value = objects()[name]
    if name == "empty" and protocol == 2:
        pytest.skip("protocol 2 makes empty bytes by a call of bytes(), which is not admitted; no data file needs it")
    check_same(load_objects(pickle.dumps(value, protocol)), value)


def test_metadata_of_a_dtype_is_dropped() -> None:
    marked = np.zeros(2, np.dtype("f8", metadata={"a": 1}))
    assert load_objects(pickle.dumps(marked)).dtype.metadata is None


def renamed(data: bytes, old: str, new: str) -> bytes:
    """The pickle with a module's name replaced, in the opcodes with and without a length byte."""
    before, after = old.encode(), new.encode()
    for module in (b".multiarray", b".numeric"):
        for opcode in (b"c", b"\x8c"):
            head, tail = (before + module, after + module) if opcode == b"c" else (b"", b"")
            if opcode == b"c":
                data = data.replace(b"c" + head + b"\n", b"c" + tail + b"\n")
            else:
                a, b = before + module, after + module
                data = data.replace(b"\x8c" + bytes([len(a)]) + a, b"\x8c" + bytes([len(b)]) + b)
    return data


def unframed(data: bytes) -> bytes:
    """The pickle without the frames of protocols 4 and 5, whose lengths a renaming would break."""
    out, positions = b"", [(op.name, at) for op, _, at in pickletools.genops(data)]
    ends = [at for _, at in positions[1:]] + [len(data)]
    for (name, at), end in zip(positions, ends, strict=True):
        if name != "FRAME":
            out += data[at:end]
    return out


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_both_spellings_of_numpy_s_core(core: str, protocol: int) -> None:
    value = {
        "a": np.arange(6.0).reshape(2, 3),
        "f": np.asfortranarray(np.eye(3)),
        "n": np.int64(3),
        "o": np.array([1, "x"], object),
    }
    data = unframed(pickle.dumps(value, protocol))
    ours = "numpy._core" if b"numpy._core" in data else "numpy.core"
    data = renamed(data, ours, core)
    assert core.encode() + b".multiarray" in data
    check_same(load_objects(data), value)


def test_strings_of_python_2() -> None:
    data = b"\x80\x02}q\x00U\x04nameU\x02\xe9!s."  # {"name": "\xe9!"} with Python 2's str
    assert load_objects(data) == {"name": "\xe9!"}


class Calls:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Callable, *arguments: object, state: object = None) -> None:
        self.value = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple:
        return self.value


def module_call(module: str, name: str, argument: str) -> bytes:
    """A protocol 2 pickle that calls module.name(argument)."""
    text = argument.encode()
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"X" + len(text).to_bytes(4, "little") + text + b"\x85R."


_reconstruct = np.empty(0).__reduce__()[0]
_scalar = np.float64(1).__reduce__()[0]


def hostile(target: str) -> dict[str, object]:
    """Pickles, or objects to pickle, that have no business in a data file; the first ones would create the file
    `target`.
    """
    python = f"open({target!r}, 'w').write('x')"
    float64, thing = np.dtype("f8"), np.dtype("O")
    structured = np.dtype([("a", "O")])
    empty = (_reconstruct, np.ndarray, (0,), b"b")
    big = Calls(*empty, state=(1, (2**40, 2**40), float64, False, b""))
    return {
        "os.system": Calls(os.system, f"touch {target}"),
        "open": Calls(open, target, "w"),
        "eval": Calls(eval, python),
        "exec": Calls(exec, python),
        "by name, builtins": module_call("builtins", "eval", python),
        "by name, __builtin__": module_call("__builtin__", "eval", python),
        "by name, posix": module_call("posix", "system", f"touch {target}"),
        "by name, dotted": module_call("numpy", "ndarray.__class__", "x"),
        "numpy.load": Calls(np.load, target),
        "numpy.fromfile": Calls(np.fromfile, target),
        "numpy.memmap": module_call("numpy", "memmap", target),
        "a chain of getattr": Calls(getattr, Calls(getattr, np.ndarray, "tofile"), "__call__"),
        "pickle in pickle": Calls(pickle.loads, pickle.dumps(Calls(open, target, "w"))),
        "inside a dictionary": {"S1": {"Walking": [np.eye(2), Calls(open, target, "w")]}},
        "as a key": {Calls(open, target, "w"): 1},
        "inside an object array": np.array([Calls(open, target, "w"), 1], dtype=object),
        "as a dtype": Calls(np.dtype, Calls(open, target, "w")),
        "as the shape of an array": Calls(*empty, state=(1, Calls(open, target, "w"), float64, False, b"")),
        "codecs.encode, another encoding": Calls(codecs.encode, "text", "rot13"),
        "codecs.encode, utf-8": Calls(codecs.encode, "text", "utf-8"),
        "codecs.decode": Calls(codecs.decode, b"text", "latin1"),
        "a structured dtype": np.zeros(2, np.dtype([("a", "f8")])),
        "a structured dtype with objects": np.zeros(2, structured),
        "a dtype of subarrays": Calls(np.dtype, "3f8"),
        "a dtype by fields": Calls(np.dtype, "f8,O"),
        "a date": np.array(["2020-01-01"], "datetime64[D]"),
        "objects from raw bytes": Calls(*empty, state=(1, (1,), thing, False, b"\x41" * 8)),
        "an object scalar from raw bytes": Calls(_scalar, thing, b"\x41" * 8),
        "too few bytes": Calls(*empty, state=(1, (4,), float64, False, b"\x00" * 8)),
        "too many bytes": Calls(*empty, state=(1, (1,), float64, False, b"\x00" * 64)),
        "too short a list": Calls(*empty, state=(1, (4,), thing, False, [1])),
        "a negative size": Calls(*empty, state=(1, (-1,), float64, False, b"")),
        "a size that overflows": big,
        "a size beyond 64 bits": Calls(*empty, state=(1, (0, 2**70), float64, False, b"")),
        "a state of the wrong form": Calls(*empty, state=(1, 2)),
        "a scalar of the wrong size": Calls(_scalar, float64, b"\x00"),
        "an unknown dtype": Calls(np.dtype, "f99"),
        "a set": {1, 2},
        "a date of Python": datetime.date(2020, 1, 1),
        "a function": len,
        "a class": np.ndarray,
        "a persistent object by name": b"\x80\x02U\x03abcQ.",
        "a persistent object in text": b"Pabc\n.",
        "an extension": b"\x80\x02\x82\x01.",
        "no end": pickle.dumps([1, 2, 3])[:-1],
        "nothing": b"",
        "no pickle": b"\x93NUMPY garbage",
        "a huge length": b"\x80\x04\x8d" + b"\xff" * 8 + b"x.",
        "a huge frame": b"\x80\x04\x95" + b"\xff" * 8 + b"N.",
        "a reference to nothing": b"\x80\x02h\x05.",
        "a deep nesting": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        "a list that holds itself": b"\x80\x02]q\x00h\x00a.",
        "a dictionary key that cannot be one": b"\x80\x02}]Ns.",
    }


@pytest.fixture
def patience() -> Iterator[None]:
    """Fail, rather than wait, where reading takes more than 20 seconds."""

    def give_up(*_: object) -> None:
        raise AssertionError("reading took more than 20 seconds")

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("name", hostile(""))
def test_hostile_pickles_are_refused(name: str, protocol: int, tmp_path: Path, patience: None) -> None:
    target = tmp_path / "created"
    value = hostile(str(target))[name]
    data = value if isinstance(value, bytes) else pickle.dumps(value, protocol)
    with pytest.raises(ValueError, match=r"."):
        load_objects(data)
    file = tmp_path / "data.npz"
    write_npz(file, "positions_3d", data)
    with pytest.raises(InputError, match=r"data\.npz: field positions_3d cannot be read: .+"):
        read_npz_object(file, "positions_3d")
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]


@pytest.mark.parametrize("name", ["os.system", "open", "eval", "exec", "by name, builtins", "pickle in pickle"])
def test_the_same_pickles_do_run_elsewhere(name: str, tmp_path: Path) -> None:
    target = tmp_path / "created"
    value = hostile(str(target))[name]
    pickle.loads(value if isinstance(value, bytes) else pickle.dumps(value))
    assert target.exists()


def test_many_references_to_one_list_are_no_bomb(patience: None) -> None:
    bomb: list = [0]
    for _ in range(15):
        bomb = [bomb] * 10
    with pytest.raises(ValueError, match=r"."):
        load_objects(pickle.dumps(bomb))


def test_a_huge_memo_number_takes_no_memory() -> None:
    tracemalloc.start()
    with contextlib.suppress(ValueError):
        load_objects(b"\x80\x02Nr" + (2**24).to_bytes(4, "little") + b".")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


PRIME = 2**61 - 1  # whole numbers that differ by it have one hash
COSTLY = {
    "keys of one hash": b"\x80\x02}("
    + b"".join(pickle.dumps(i * PRIME, 2)[2:-1] + b"N" for i in range(1, 60_001))
    + b"u.",
    "keys of one hash, set one by one": b"\x80\x02}"
    + b"".join(pickle.dumps(i * PRIME, 2)[2:-1] + b"Ns" for i in range(1, 60_001))
    + b".",
    "nothing, very often": b"\x80\x02" + b"N" * 5_000_000 + b".",
    "empty lists, very often": b"\x80\x02" + b"]" * 5_000_000 + b".",
    "marks": b"\x80\x02" + b"(" * 5_000_000 + b".",
    "a memo without end": b"\x80\x04N" + b"\x94" * 5_000_000 + b".",
    "a number of many digits": b"I" + b"9" * 2_000_000 + b"\n.",
    "a long number": b"\x80\x02\x8b\x00\x00\x10\x00" + b"\x01" * 2**20 + b".",
    "a set": b"\x80\x04\x8f(K\x01K\x02\x90.",
    "doubled without end": b"\x80\x02](" + b"2" * 2_000_000 + b"e.",
}


@pytest.mark.parametrize("name", COSTLY)
def test_pickles_that_cost_much_are_refused_soon(name: str, patience: None) -> None:
    with pytest.raises(ValueError, match="it asks for"):
        load_objects(COSTLY[name])


def test_get_cannot_be_replaced() -> None:
    scalar = b"\x80\x02c" + _scalar.__module__.encode() + b"\nscalar\n"
    for target in (scalar, b"\x80\x02}", b"\x80\x02]", b"\x80\x02N"):
        with pytest.raises(ValueError, match="a state for something that has none"):
            load_objects(target + b"}U\x03getNsb.")


def test_reading_leaves_no_trace_in_the_reader() -> None:
    # BUILD with a state of two parts sets attributes of what is on the stack: here, a default of the function that
    # makes scalars.
    scalar = b"\x80\x02c" + _scalar.__module__.encode() + b"\nscalar\n"
    with pytest.raises(ValueError, match=r"."):
        load_objects(scalar + b"N}U\x0c__defaults__U\x08" + bytes(8) + b"\x85s\x86b.")
    with pytest.raises(ValueError, match=r"."):
        load_objects(scalar + b"cnumpy\ndtype\nU\x02f8\x85R\x85R.")  # a scalar without its bytes


def write_npz(path: Path, field: str, data: bytes, shape: tuple[int, ...] = ()) -> None:
    """An .npz whose only field is an object array with this pickle."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{field}.npy", buffer.getvalue() + data)


def test_a_field_of_an_npz(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    value = {"S1": {"Walking": np.eye(3)}}
    np.savez_compressed(path, positions=value, plain=np.arange(3), number=np.float64(2), text="words")
    check_same(read_npz_object(path, "positions"), value)
    check_same(read_npz_object(path, "plain"), np.arange(3))
    assert read_npz_object(path, "number") == 2
    assert read_npz_object(path, "text") == "words"
    with pytest.raises(
        InputError, match=r"data\.npz: field metadata is missing \(it holds positions, plain, number, text\)"
    ):
        read_npz_object(path, "metadata")
    with pytest.raises(InputError, match=r"nowhere\.npz: no such file"):
        read_npz_object(tmp_path / "nowhere.npz", "positions")


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_npz(part: float, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, positions={"a": np.random.default_rng(0).standard_normal((50, 17))})
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(InputError, match=r"data\.npz: not a readable \.npz file \(.+\)"):
        read_npz_object(path, "positions")


def damaged(data: bytes, times: int) -> Iterator[bytes]:
    """The data with one to three bytes changed at random."""
    rng = np.random.default_rng(1)
    for _ in range(times):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        yield bytes(changed)


def test_a_damaged_npz_never_gives_another_error(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, positions={"S1": {"a": np.arange(4.0), "b": [np.int64(3), "x"]}})
    refused = 0
    for data in damaged(path.read_bytes(), 400):
        path.write_bytes(data)
        try:
            read_npz_object(path, "positions")
        except InputError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_damaged_pickle_never_gives_another_error(protocol: int) -> None:
    value = {"S1": {"a": np.arange(4.0), "b": [np.int64(3), "x", 2**70, 1.5], "o": np.array([1, "x"], object)}}
    refused = 0
    for data in damaged(pickle.dumps(value, protocol), 400):
        try:
            load_objects(data)
        except ValueError:
            refused += 1
    assert refused > 200


def test_an_encrypted_npz(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, positions={"a": 1})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1  # the flag that says encrypted
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"data\.npz: .* is encrypted"):
        read_npz_object(path, "positions")
