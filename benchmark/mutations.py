"""What benchmark/mutate.py does to files: each mutation changes a file in place, as a generator of random numbers
says."""

from __future__ import annotations

import io
import os
import pickle
import socket
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

# ---- mutations of bytes ----


def _flip_bits(data: bytes, rng: np.random.Generator, most: int = 3) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, max(len(data), 1), rng.integers(1, most + 1)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _flip_bit(data: bytes, rng: np.random.Generator) -> bytes:
    return _flip_bits(data, rng, 1)


def _random_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, 40)):
        changed[place] = int(rng.integers(256))
    return bytes(changed)


def _truncate(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def _cut_out(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = sorted(rng.integers(0, len(data), 2).tolist())
    return data[:start] + data[stop + 1 :]


def _blank_out(data: bytes, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(0, len(data)))
    return data[:start] + bytes(min(int(rng.integers(1, 600)), len(data) - start)) + data[start + 600 :]


def _repeat(data: bytes, rng: np.random.Generator) -> bytes:
    start, stop = sorted(rng.integers(0, len(data), 2).tolist())
    return data[:stop] + data[start:stop] + data[stop:]


def _insert(data: bytes, rng: np.random.Generator) -> bytes:
    place = int(rng.integers(0, len(data)))
    return data[:place] + rng.bytes(int(rng.integers(1, 300))) + data[place:]


def _damage_end(data: bytes, rng: np.random.Generator) -> bytes:
    """Of a zip file: its directory."""
    edge = max(len(data) - 400, 0)
    return data[:edge] + _flip_bits(data[edge:], rng)


def _something_else(data: bytes, rng: np.random.Generator) -> bytes:
    array = io.BytesIO()
    np.save(array, np.arange(5.0))
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0a" * 32 + b"\nsize 12345\n"
    page = b"<!DOCTYPE html><html><body>404: Not Found</body></html>"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("notes.txt", "no data")
    others = (
        b"",
        b"\n",
        lfs,
        page,
        b"\x1f\x8b\x08" + bytes(60),
        array.getvalue(),
        archive.getvalue(),
        b"PK\x05\x06" + bytes(18),
        b"PK\x03\x04",
    )
    return others[int(rng.integers(len(others)))]


BYTES = (
    _flip_bit,
    _flip_bits,
    _random_bytes,
    _truncate,
    _cut_out,
    _blank_out,
    _repeat,
    _insert,
    _damage_end,
    _something_else,
)


# ---- what is no file ----


def _no_file(path: Path, rng: np.random.Generator) -> None:
    path.unlink()
    kind = int(rng.integers(6))
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.symlink_to("/dev/zero")
    elif kind == 2:
        path.mkdir()
    elif kind == 3:
        server = socket.socket(socket.AF_UNIX)
        folder = os.open(path.parent, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/{path.name}")  # a path of any length
        os.close(folder)
        server.close()
    elif kind == 4:
        path.symlink_to("nowhere")
    else:
        path.symlink_to(path.name)  # for ever


# ---- mutations of zip files, with checksums made anew ----


Members = dict[str, bytes]


def read_members(path: Path) -> Members:
    """The contents of a zip file by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, members: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> None:
    """Write a zip file; a name may come twice."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in members:
            info = zipfile.ZipInfo(name)  # of a fixed time, so that a case can be repeated
            info.compress_type = method
            archive.writestr(info, data)


def _any(rng: np.random.Generator, values: Iterable) -> object:
    values = list(values)
    return values[int(rng.integers(len(values)))]


def _inside(path: Path, rng: np.random.Generator) -> None:
    """Damage within one member, under a right checksum."""
    members = read_members(path)
    name = _any(rng, members)
    data = members[name] or b"x"
    # Half of the time near the beginning, where headers and names are.
    edge = int(rng.choice([min(len(data), 160), len(data)]))
    members[name] = _any(rng, BYTES)(data[:edge], rng) + data[edge:]
    write_members(path, members.items())


def _members_moved(path: Path, rng: np.random.Generator) -> None:
    """A member is missing, renamed, there twice, or holds what another should."""
    members = list(read_members(path).items())
    number, other = rng.integers(len(members), size=2).tolist()
    name, data = members[number]
    kind = int(rng.integers(6))
    if kind == 0:
        del members[number]
    elif kind == 1:
        members[number] = (
            _any(rng, ("x.npy", "../x.npy", "/etc/x", "", "ä\u202e.npy", "a" * 5000, name.upper(), name + "/")),
            data,
        )
    elif kind == 2:
        members.insert(int(rng.integers(len(members) + 1)), (name, _flip_bits(data or b"x", rng)))
    elif kind == 3:
        members[number] = (name, members[other][1])
    elif kind == 4:
        members[number] = (name, b"")
    else:
        members += [(f"more{i}.npy", b"") for i in range(3000)]
    write_members(path, members)


def _packed_otherwise(path: Path, rng: np.random.Generator) -> None:
    """Packed by another method, and then damaged among the packed bytes or not at all."""
    method = int(_any(rng, (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    write_members(path, read_members(path).items(), method)
    if rng.random() < 0.9:
        with zipfile.ZipFile(path) as archive:
            info = _any(rng, archive.infolist())
        start = info.header_offset + 30 + len(info.filename)
        data = path.read_bytes()
        path.write_bytes(
            data[:start]
            + _flip_bits(data[start : start + info.compress_size], rng)
            + data[start + info.compress_size :]
        )


def _directory_lies(path: Path, rng: np.random.Generator) -> None:
    """The directory at the end, or the header before a member, says something else: flags, method, sizes, offset."""
    data = bytearray(path.read_bytes())
    signature, fields = _any(
        rng,
        (
            (b"PK\x01\x02", ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (42, 4))),
            (b"PK\x03\x04", ((6, 2), (8, 2), (14, 4), (18, 4), (22, 4))),
        ),
    )
    places = [place for place in range(len(data) - 4) if data[place : place + 4] == signature]
    offset, width = _any(rng, fields)
    start = int(_any(rng, places)) + offset
    value = _any(rng, (0, 1, 9, 12, 14, 99, 2 ** (8 * width) - 1, int(rng.integers(2 ** (8 * width)))))
    data[start : start + width] = int(value).to_bytes(width, "little")
    path.write_bytes(bytes(data))


def _bomb(path: Path, rng: np.random.Generator) -> None:
    """One member unpacks to 3 GB of zeros, behind what it held or in its place; sizes are stated as they are, or as
    100 bytes."""
    members = read_members(path)
    name = str(_any(rng, members))
    head = _any(
        rng,
        (members[name], members[name][:128], b"", npy_header("<f8", (3 * 2**27,)), npy_header("|O", ()) + b"\x80\x02"),
    )
    filling = int(_any(rng, (0, ord("N"))))
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes([filling]) * 2**24) + packer.flush(zlib.Z_FULL_FLUSH)
    data = packed + block * 192 + packer.flush()
    total = len(head) + 192 * 2**24
    del members[name]
    write_members(path, members.items())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), data)
        info = archive.infolist()[-1]
    stated = int(_any(rng, (total, 100)))
    raw = bytearray(path.read_bytes())
    raw[info.header_offset + 8 : info.header_offset + 10] = (8).to_bytes(2, "little")
    raw[info.header_offset + 22 : info.header_offset + 26] = stated.to_bytes(4, "little")
    entry = raw.rindex(b"PK\x01\x02")
    raw[entry + 10 : entry + 12] = (8).to_bytes(2, "little")
    raw[entry + 24 : entry + 28] = stated.to_bytes(4, "little")
    path.write_bytes(bytes(raw))


# ---- mutations of .npy members ----


def npy(text: str | bytes, version: tuple[int, int] = (1, 0)) -> bytes:
    """The beginning of an .npy with any text for its header."""
    text = text.encode("latin-1", "replace") if isinstance(text, str) else text
    width = 2 if version[0] == 1 else 4
    return b"\x93NUMPY" + bytes(version) + (len(text) % 256**width).to_bytes(width, "little") + text


def npy_header(descr: object, shape: tuple[int, ...]) -> bytes:
    """The beginning of an .npy of an array."""
    return npy(f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n")


DESCRIPTIONS = (
    "()", "''", "'O'", "'|O'", "'<f4'", "'>f8'", "'<f2'", "'<c16'", "'|b1'", "'|S3'", "'<U2'", "'<U0'", "'|V8'",
    "'<M8[ns]'", "'<m8'", "'<f16'", "'<U99999999999'", "'f99'", "'abc'", "'f8,i4'", "'3f8'", "[('a', '<f8')]",
    "[('a', '<f8'), ('b', '|O')]", "('<f8', (3,))", "('<f8', (2, 1000000000000))", "[]", "{}", "None", "True", "1",
    "b'<f8'", "'<f8'*3", "'\\x00'", "[[]]", "('<f8',)", "[('a', '<f8', (99999999,))]",
    "{'names': ['a'], 'formats': ['<f8'], 'offsets': [99999999]}", "'<i8'", "'|i1'", "'|u1'", "'<u8'",
)  # fmt: skip
SHAPES = (
    "()", "(0,)", "(1,)", "(-1,)", "(1099511627776,)", f"({10**30},)", f"({'9' * 5000},)", "(True,)", "(None,)",
    "(1.0,)", "('3',)", "[3]", "3", "((3,),)", "(3, -3)", "(4294967296, 4294967296)", f"({'1, ' * 40})",
    f"({'1, ' * 4000})", "(-0,)", "(--3,)", f"({'-' * 9000}3,)", "(0x3,)", "(3_0,)", "(3,", "{3}",
    "(0, 1099511627776, 1099511627776)", "(1j,)", "(2**40,)", "(1099511627776, 0)",
)  # fmt: skip
ORDERS = ("False", "True", "1", "None", "'C'", "[]", "0.0")
HEADERS = (
    "", " ", "{}", "[]", "None", "{[1]: 2}", "{1: 2, 'a': 3}", "{1: 1, 2: 2, 3: 3}", "{'shape': (3,)}", "(" * 5000,
    "[" * 90 + "]" * 90, "{" * 300, "-" * 20000 + "1",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'more': 1}",
    "{'descr': '<f8', 'shape': (3,), 'fortran_order': False} + {}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)", "{'descr': '''<f8", "{'descr': \"<f8", "\\",
    "\x00\x00", "{'descr': '<f8'\x00}", "é" * 30, "#" * 40, "\n  \n x", "__import__('os').abort()",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }" + " " * 60000, "lambda: 0", "{**{}}", "{'descr'}",
    "1" * 6000, "'a' 'b'", "f'{1}'", "`", "{'descr': '<f8', 'fortran_order': False, 'shape': (3L,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }; 1", "{(): 1, 'descr': 2, 3: 4}",
)  # fmt: skip


def _header(path: Path, rng: np.random.Generator) -> None:
    """Another header before the same bytes."""
    members = read_members(path)
    name = str(_any(rng, members))
    data = members[name]
    length = 10 + int.from_bytes(data[8:10], "little")
    text, body = data[10:length].decode("latin-1"), data[length:]
    parts = [
        text.split(f"'{key}': ")[1].split(f", '{after}'" if after else ", }")[0]
        for key, after in (("descr", "fortran_order"), ("fortran_order", "shape"), ("shape", ""))
    ]
    kind = int(rng.integers(6))
    version = (1, 0)
    if kind == 0:
        text = str(_any(rng, HEADERS))
    elif kind == 1:
        text = _flip_bits(text.encode("latin-1"), rng).decode("latin-1")
    elif kind == 2:
        version = _any(rng, ((2, 0), (3, 0), (0, 0), (1, 1), (4, 0), (255, 255)))
    else:
        number = kind - 3
        parts[number] = str(_any(rng, (DESCRIPTIONS, ORDERS, SHAPES)[number]))
        if rng.random() < 0.2:
            parts[2] = str(_any(rng, SHAPES))
        text = "{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n" % tuple(parts)  # noqa: UP031
    if rng.random() < 0.1:
        body = _any(rng, (b"", body + bytes(int(rng.integers(1, 99))), body[: len(body) // 2]))
    head = npy(text, version)
    if rng.random() < 0.05:  # a length that is not the text's
        head = head[:8] + int(rng.integers(65536)).to_bytes(2, "little") + head[10:]
    members[name] = head + body
    write_members(path, members.items())


def other_arrays(values: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Arrays that might stand in place of `values`, hardly any of which should."""
    rows, size = np.atleast_1d(values), values.size
    floats = np.linspace(0, 1, size).reshape(values.shape)
    odd = [np.nan, np.inf, -np.inf, -1, 0, 0.5, 1e30, 1e300, 2.0**63, -(2.0**63), 1e-300]
    results = [
        np.array(values.ravel()[0] if size else 0), np.array(5), np.array("text"), values[None], values[..., None],
        rows[:0], values.ravel(), values.astype(object), np.array([None, {}], object), np.array({"a": 1}, object),
        np.array([]), np.zeros(values.shape, [("a", "f8")]), np.zeros(values.shape, "M8[s]"),
        np.zeros(values.shape, "m8[s]"), np.zeros(values.shape, "V8"), np.zeros(values.shape, "S3"),
        np.full(values.shape, "nan"), np.full(values.shape, ""), np.full(values.shape, "\x1b[31m\n" * 40),
        np.full(values.shape, "ä\u202e"), np.full(values.shape, "9" * 3000), floats, floats.astype(np.float16),
        floats.astype(np.longdouble), floats.astype(complex), floats > 0.5, floats.astype(">f4"),
        np.asfortranarray(values), np.full(values.shape, 2**63, np.uint64),
        np.full(values.shape, -(2**63), np.int64), np.full(values.shape, 2**62, np.int64),
        np.zeros(values.shape, np.int8), np.zeros(values.shape, ">i4"), values.T, rows[:1], rows[:-1],
        np.concatenate([rows, rows]), np.zeros((2, 0, 17, 3)), np.zeros((0,) * 40)[None], np.zeros((1,) * 30),
    ]  # fmt: skip
    if values.dtype.kind in "fiu" and size:
        for value in odd:
            changed = np.array(values, np.float64)
            changed.reshape(-1)[int(rng.integers(size))] = value
            with np.errstate(all="ignore"):
                results += [changed, changed.astype(values.dtype)]
    if values.dtype.kind == "U" and size:
        changed = values.astype(object)
        changed.reshape(-1)[int(rng.integers(size))] = _any(
            rng, ("", "x", "train", "nan", "\x00", "\ud800" if rng.random() < 0.2 else "\n")
        )
        results += [changed.astype(str)] * 5
    return results


def _array(path: Path, rng: np.random.Generator) -> None:
    """Another array in a field."""
    members = read_members(path)
    name = str(_any(rng, members))
    with np.load(path, allow_pickle=True) as archive:  # written by this very program
        values = archive[name.removesuffix(".npy")]
    file = io.BytesIO()
    np.save(file, _any(rng, other_arrays(values, rng)), allow_pickle=True)
    members[name] = file.getvalue()
    write_members(path, members.items())


# ---- mutations of values within values ----


def odd_values() -> list[object]:
    """What might stand in place of any value in a pickle."""
    circle: list = []
    for _ in range(15):
        circle = [circle] * 10
    return [
        None, True, -1, 0, 10**6, 10**9, 2**63, 10**400, 0.5, float("nan"), float("inf"), -1e300, "", "x",
        "\x1b[31m\n", "a" * 5000, "../x", b"x", (), [], {}, [None], {"a": 1}, {1: 2}, {(): 1}, [[[]]], circle, 1j,
        np.float64(3), np.int64(17), np.array(3.0), np.array([]), np.zeros((5, 17, 3)), np.full((5, 32, 3), np.nan),
        np.array([None, 1], object), np.array([[1, "x"]], object), np.zeros(3, [("a", "f8")]),
        np.zeros((5, 17, 2), ">f2"), np.array("text"), np.array(["a", "b"]), np.zeros((0, 17, 3)),
        np.full((5, 17, 2), 1e30), np.zeros(3, "M8[s]"), np.zeros((5, 17, 2), complex), np.zeros((5, 17, 2), bool),
        np.zeros((5, 17, 2), np.longdouble), np.full((5, 17, 2), 2**63, np.uint64),
    ]  # fmt: skip


def change_value(value: object, rng: np.random.Generator, odd: Callable[[], list[object]] = odd_values) -> object:
    """A copy of nested dictionaries and lists in which one value, key or container is another."""
    if rng.random() < 0.15 or not isinstance(value, Mapping | list | tuple) or not value:
        return _any(rng, odd())
    if isinstance(value, Mapping):
        changed = dict(value)
        key = _any(rng, list(changed))
        kind = rng.random()
        if kind < 0.08:
            del changed[key]
        elif kind < 0.16:
            changed[_any(rng, (None, 3, 2.5, b"x", ("a",), "", "\x1b[2J\n", "a" * 3000, True, key))] = changed.pop(key)
        else:
            changed[key] = change_value(changed[key], rng, odd)
        return changed
    changed = list(value)
    number = int(rng.integers(len(changed)))
    kind = rng.random()
    if kind < 0.1:
        del changed[number]
    elif kind < 0.2:
        changed.append(changed[number])
    else:
        changed[number] = change_value(changed[number], rng, odd)
    return changed if isinstance(value, list) else tuple(changed)


def _pickled_value(path: Path, rng: np.random.Generator) -> None:
    """Another value somewhere in a pickled field."""
    members = read_members(path)
    name = str(_any(rng, members))
    with np.load(path, allow_pickle=True) as archive:  # written by this very program
        value = archive[name.removesuffix(".npy")][()]
    held = np.empty((), object)
    held[()] = change_value(value, rng)
    file = io.BytesIO()
    np.save(file, held, allow_pickle=True)
    members[name] = file.getvalue()
    write_members(path, members.items())


def _pickled_bytes(path: Path, rng: np.random.Generator) -> None:
    """A hostile pickle, or damage within the pickle."""
    members = read_members(path)
    name = str(_any(rng, members))
    data = members[name]
    start = 10 + int.from_bytes(data[8:10], "little")
    body = _any(rng, hostile_pickles()) if rng.random() < 0.4 else _any(rng, BYTES)(data[start:], rng)
    members[name] = npy_header("|O", ()) + body
    write_members(path, members.items(), zipfile.ZIP_DEFLATED)


def hostile_pickles() -> list[bytes]:
    """Pickles that cost much time or memory, or that tamper with the reader."""
    prime = 2**61 - 1  # numbers that differ by it have one hash
    equal_hashes = {i * prime: None for i in range(1, 300)}
    flood = b"\x80\x02}(" + b"".join(pickle.dumps(i * prime, 2)[2:-1] + b"N" for i in range(1, 60_001)) + b"u."
    scalar = b"\x80\x02c" + np.float64(1).__reduce__()[0].__module__.encode() + b"\nscalar\n"
    return [
        flood, pickle.dumps(equal_hashes), b"\x80\x02" + b"N" * 5_000_000 + b".",
        b"\x80\x02](" + b"N" * 5_000_000 + b"e.", b"\x80\x02" + b"N0" * 4_000_000 + b"N.",
        b"\x80\x02" + b"]" * 4_000_000 + b".", b"\x80\x02" + b"(" * 4_000_000 + b".",
        b"\x80\x04" + b"\x94" * 4_000_000, b"\x80\x04N" + b"\x94" * 4_000_000 + b".",
        b"\x80\x04]" + b"2" * 4_000_000 + b".", b"\x80\x02" + b"}" + b"2" * 22 + b"(" + b"Na" * 9 + b".",
        b"\x80\x02(" + b"I1\n" * 900_000 + b"l.", b"\x80\x02\x8b\xff\xff\xff\x7f1.",
        b"\x80\x02\x8b\x00\x00\x10\x00" + b"\x01" * 2**20 + b".", b"I" + b"9" * 400_000 + b"\n.",
        b"L" + b"9" * 400_000 + b"L\n.", b"\x80\x02Nr\xff\xff\xff\x7f.",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00x.", b"X\xff\xff\xff\x7fx.", b"T\xff\xff\xff\x7fx.",
        b"V" + b"\\u0041" * 300_000 + b"\n.", scalar + b"}U\x03getNsb.",
        scalar + b"N}U\x0c__defaults__U\x08" + bytes(8) + b"\x85s\x86b.",
        scalar + b"cnumpy\ndtype\nU\x02O8\x85RU\x08AAAAAAAA\x86R.", b"\x80\x02cnumpy\ndtype\n(lU\x02f8a\x85R.",
        b"\x80\x02cnumpy\ndtype\nU\x07(3,)<f8\x85R.", b"\x80\x02cnumpy\nndarray\n}R.",
        b"\x80\x02cbuiltins\ngetattr\n.", b"\x80\x04\x8c\x05numpy\x8c\x0bndarray.get\x93.",
        b"\x80\x02(KK" + b"(t" * 3000 + b".", b"cnumpy\nndarray\n)\x81}b.", b"cnumpy\ndtype\n)\x81(lb.",
        b"(icopy\ncopy\n.", b"]}b.", b"\x80\x04}" + b"(" * 10 + b"u" * 10 + b".", b"\x80\x02}]]s.",
        b"\x80\x02}h\x00K\x01s.", b"F1e999\n.", b"S'\\x'\n.", b"\x80\x63.", b"\x80\x05\x97\x98.",
        b"\x80\x04\x8f(N\x90.",
    ]  # fmt: skip


def _torch_odd_values() -> list[object]:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensors = [
            torch.zeros(3), torch.zeros(()), torch.zeros(0), torch.full((4, 4), float("nan")),
            torch.eye(3).to_sparse(), torch.zeros(3, device="meta"),
            torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.quint8),
            torch.zeros(3, dtype=torch.float8_e4m3fn), torch.zeros(3, dtype=torch.complex64),
            torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.int64), torch.zeros(1).expand(10**9),
            torch.eye(4).to_sparse_csr(), torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
            torch.zeros(3, dtype=torch.float64), torch.nn.Parameter(torch.zeros(3)), torch.zeros(10**5, 1, 1),
            torch.zeros(1).expand(10**4, 10**4, 10**4), torch.zeros(3, dtype=torch.bfloat16),
        ]  # fmt: skip
    return tensors + [value for value in odd_values() if not isinstance(value, np.ndarray | np.generic)]


def _torch_value(path: Path, rng: np.random.Generator) -> None:
    """Another value somewhere in what torch.save wrote."""
    import torch

    torch.save(change_value(torch.load(path, weights_only=True), rng, _torch_odd_values), path)


# ---- mutations of text ----


def _words(path: Path, rng: np.random.Generator) -> None:
    """A word of a text file is another, a line is missing, there twice or elsewhere."""
    lines = path.read_text(encoding="latin-1").splitlines()
    number = int(rng.integers(len(lines)))
    words = lines[number].split() or [""]
    place = int(rng.integers(len(words)))
    words[place] = str(
        _any(
            rng,
            (
                "nan",
                "inf",
                "1e400",
                "-1e308",
                "x",
                "{",
                "}",
                "",
                "-",
                "1" * 5000,
                "99999999999",
                "0",
                "-1",
                "3.5",
                "\x00",
                "1,5",
                words[0],
            ),
        )
    )
    kind = int(rng.integers(5))
    if kind == 0:
        del lines[number]
    elif kind == 1:
        lines.insert(int(rng.integers(len(lines))), lines[number])
    else:
        lines[number] = " ".join(words)
    path.write_text("\n".join(lines) + "\n", encoding="latin-1")


# ---- all of them ----


def on_bytes(change: Callable[[bytes, np.random.Generator], bytes]) -> Callable[[Path, np.random.Generator], None]:
    """A mutation of bytes as one of files."""

    def mutate(path: Path, rng: np.random.Generator) -> None:
        path.write_bytes(change(path.read_bytes(), rng))

    mutate.__name__ = change.__name__
    return mutate


RAW = (*map(on_bytes, BYTES), _no_file)
ZIP = (_inside, _members_moved, _packed_otherwise, _directory_lies, _bomb)


def mutations(path: Path) -> Sequence[Callable[[Path, np.random.Generator], None]]:
    """What can be done to a file; the more telling ones more than once."""
    if path.suffix in (".pth", ".pt"):
        return (*RAW, *ZIP, *(_torch_value,) * 10)
    if path.suffix == ".npz":
        pickled = any(b"|O" in data[:128] for data in read_members(path).values())
        return (*RAW, *ZIP, *(_header,) * 8, *(_array,) * 8, *((_pickled_value, _pickled_bytes) * 6 if pickled else ()))
    return (*RAW, *(_words,) * 20)
