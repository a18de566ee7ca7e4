"""Weights on disk: every form that is read, everything that is refused, and what the refusal says."""

from __future__ import annotations

import os
import pickle
import re
import socket
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from common.errors import InputError
from common.geometry.normalise import Normaliser
from common.inference.checkpoint import find_checkpoint, identify, load_weights, read_checkpoint, save_checkpoint
from common.inference.torch_file import read_torch_file
from model import PoseTransformer, create_model, list_models, model_sizes
from tests.rules import SMALL, filled


def small(name: str = "mixste.hot_mixste", **other: int) -> PoseTransformer:
    return create_model(name, **{**SMALL[name], **other})


def state(name: str = "mixste.hot_mixste") -> dict[str, Tensor]:
    return filled(small(name)).state_dict()


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_all_models_are_tried_here() -> None:
    assert set(SMALL) == set(list_models())


@pytest.mark.parametrize("name", SMALL)
def test_what_is_saved_comes_back(name: str, tmp_path: Path) -> None:
    model = filled(small(name))
    save_checkpoint(tmp_path / "new" / "a.pth", model, Normaliser("pixels", 3, 30.0), epoch=4)
    found = read_checkpoint(tmp_path / "new" / "a.pth")
    assert (found.name, found.sizes, found.normaliser) == (name, model.sizes, Normaliser("pixels", 3, 30.0))
    assert found.sizes.items() >= SMALL[name].items()
    rebuilt = create_model(found.name, **found.sizes)
    load_weights(rebuilt, found)
    assert equal(rebuilt.state_dict(), model.state_dict())
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.pth"]  # no temporary file stays


@pytest.mark.parametrize("under", [None, "model_pos", "model", "model_state_dict", "state_dict", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module._orig_mod."])
@pytest.mark.parametrize("legacy", [False, True])
def test_files_of_others(under: str | None, prefix: str, legacy: bool, tmp_path: Path) -> None:
    weights = state()
    content = {prefix + name: value for name, value in weights.items()}
    if under:
        content = {"epoch": 3, "lr": 4e-5, "optimizer": {"state": {}, "param_groups": []}, under: content}
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    found = read_checkpoint(tmp_path / "a.pth")
    assert (found.name, found.sizes, found.normaliser) == (None, None, None)
    model = small()
    load_weights(model, found)
    assert equal(model.state_dict(), weights)


def refusal(model: PoseTransformer, weights: dict[str, Tensor], folder: Path, **more: bool) -> str:
    """The sentence with which `weights` are refused; the model is left as it was."""
    torch.save(weights, folder / "a.pth")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        load_weights(model, read_checkpoint(folder / "a.pth"), **more)
    assert equal(model.state_dict(), before)
    assert str(folder / "a.pth") in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_names_are_refused(tmp_path: Path) -> None:
    weights = state()
    for name in ("x_token", "head.1.bias"):
        del weights[name]
    for more in ({}, {"allow_unexpected": True}):
        message = refusal(small(), weights, tmp_path, **more)
        assert "missing: x_token, head.1.bias" in message
        assert "no registered model fits it" in message


def test_unexpected_names_are_refused_unless_allowed(tmp_path: Path) -> None:
    weights = {**state(), "stranger.weight": torch.zeros(3)}
    message = refusal(small(), weights, tmp_path)
    assert "unexpected: stranger.weight" in message
    model = small()
    load_weights(model, read_checkpoint(tmp_path / "a.pth"), allow_unexpected=True)
    assert equal(model.state_dict(), state())


def test_many_problems_are_counted(tmp_path: Path) -> None:
    message = refusal(small(), {"a": torch.zeros(1)}, tmp_path)
    assert f"and {len(state()) - 4} more" in message
    assert "unexpected: a" in message


def test_another_size_names_the_sizes_that_fit(tmp_path: Path) -> None:
    message = refusal(small(frames=27, channel=32), state(), tmp_path)
    assert "x_token (1, 9, 16), not (1, 27, 32)" in message
    assert "mixste.hot_mixste with frames 27, channel 32" in message
    fitting = message[message.index("it fits ") :]
    assert "mixste.hot_mixste with frames 9, channel 16" in fitting
    assert f"token_num {SMALL['mixste.hot_mixste']['token_num']}" in fitting


@pytest.mark.parametrize("name", [name for name in SMALL if not name.startswith("mixste")])
def test_another_model_s_name_is_said(name: str, tmp_path: Path) -> None:
    assert name in refusal(small(), state(name), tmp_path)


@pytest.mark.parametrize("name", SMALL)
def test_identify_finds_every_model(name: str) -> None:
    shapes = {key: tuple(value.shape) for key, value in small(name).state_dict().items()}
    fitting = identify(shapes)
    assert name in [text.split(" with ")[0] for text in fitting]
    for text in fitting:  # what it names does fit
        other, sizes = text.split(" with ")
        listed = {
            size: value if size == "prune" else int(value)
            for size, value in (pair.split(" ") for pair in sizes.split(", "))
        }
        if "prune" not in listed:
            open_sizes = (
                {"token_num": 3, "layer_index": 1} if "token_num" in model_sizes(other) else {"prune": "1:3,2:1"}
            )
            listed = (open_sizes if model_sizes(other)["prune"] or "token_num" in open_sizes else {}) | listed
        assert {key: tuple(value.shape) for key, value in create_model(other, **listed).state_dict().items()} == shapes


@pytest.mark.parametrize("name", ["mixste.hot_mixste", "mixste.tpc_mixste", "mhformer.tpc_mhformer"])
def test_identify_finds_models_at_their_own_sizes(name: str) -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in create_model(name).state_dict().items()}
    assert name in [text.split(" with ")[0] for text in identify(shapes)]


@pytest.mark.parametrize(
    "content", [{}, {"model": {}}, {"a": 1}, {"model": {"a": "text"}}, [1, 2], 3, {"model": 3}, torch.zeros(3)]
)
def test_files_without_weights_are_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a\.pth: holds no state dict"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("normaliser", [{"kind": "box of the future", "in_channels": 2}, {"unknown": 1}, None, 3])
def test_a_normaliser_of_another_version_is_refused(normaliser: object, tmp_path: Path) -> None:
    torch.save(
        {"model": state(), "name": "mixste.hot_mixste", "sizes": small().sizes, "normaliser": normaliser},
        tmp_path / "a.pth",
    )
    with pytest.raises(InputError, match=r"a\.pth: field normaliser"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("part", [0, 0.01, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("legacy", [False, True])
def test_truncated_files_are_refused(part: float, legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(state(), path, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(InputError, match=r"a\.pth: (cannot be read|refused)"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "data", [b"", b"no checkpoint at all", b"\x80\x02}q\x00.", b"PK\x03\x04", b"\x00" * 1000], ids=repr
)
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(data[:1000])
    with pytest.raises(InputError, match=r"a\.pth: "):
        read_checkpoint(tmp_path / "a.pth")


def test_other_zip_files_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("positions.npy", b"x")
    with pytest.raises(InputError, match=r"a\.pth: "):
        read_checkpoint(tmp_path / "a.pth")


# Damage.


def refused(path: Path) -> str:
    """The sentence with which the file is refused: one line, in our own words."""
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.isprintable()
    assert len(text) < 600
    assert not any(
        words in text for words in ("weights_only", "torch.load", "safe_globals", "WeightsUnpickler", "enforce fail")
    )
    return text


def test_a_bit_that_turned_over_is_noticed(tmp_path: Path) -> None:
    path, model = tmp_path / "a.pth", filled(small())
    save_checkpoint(path, model, Normaliser(), epoch=4)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        longest = max(archive.infolist(), key=lambda member: member.file_size)
        pickled = archive.getinfo("archive/data.pkl")
    places = np.random.default_rng(0).integers(0, 8 * len(whole), 60)
    for bit in [*places.tolist(), *(8 * (member.header_offset + 200) for member in (longest, pickled))]:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            found = read_checkpoint(path)
        except InputError:
            continue
        assert equal(found.weights, model.state_dict())  # it was none of those that count
        assert found.name == model.name
    path.write_bytes(whole.replace(b"mixste.hot_mixste", b"mixste.hot_mixstf"))
    assert "'data.pkl' is not what was written" in refused(path)


@pytest.mark.parametrize("kind", ["legacy", "without checksums", "with checksums"])
def test_a_file_without_checksums_is_read_with_one_remark(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, before = tmp_path / "a.pth", torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(kind != "without checksums")
    try:
        torch.save(state(), path, _use_new_zipfile_serialization=kind != "legacy")
    finally:
        torch.serialization.set_crc32_options(before)
    for _ in range(2):
        assert equal(read_checkpoint(path).weights, state())
    assert capsys.readouterr().err.count("has no checksum") == (kind != "with checksums")


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    model = filled(small())
    first = {"epoch": 4, "rows": [{"mpjpe": 40.5, "text": "mpjpe"}], "betas": (0.9, 0.95)}
    save_checkpoint(tmp_path / "a.pth", model, Normaliser(), extra=first, more=first["rows"])
    rebuilt = small()
    load_weights(rebuilt, read_checkpoint(tmp_path / "a.pth"))
    again = {"epoch": 4, "rows": [{"mpjpe": 40.5, "text": "".join("mpjpe")}], "betas": (0.9, 0.95)}
    save_checkpoint(tmp_path / "another name.pth", rebuilt, Normaliser(), extra=again, more=[dict(again["rows"][0])])
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "another name.pth").read_bytes()


# Files that are something else.


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 139\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html>\n<html><title>404</title></html>", "is a web page"),
        ("\ufeff\n <HTML>ä</HTML>".encode(), "is a web page"),
        (b'{"message": "Not Found"}\n' * 100, "is a text file"),
        (("ä" * 600).encode(), "is a text file"),
        (b"\x1f\x8b\x08" + bytes(60), "is damaged or truncated"),
    ],
    ids=["lfs", "html", "html with bom", "json", "text whose start is cut in a letter", "gzip"],
)
def test_another_file_is_named_as_what_it_is(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(data)
    assert words in refused(tmp_path / "a.pth")


@pytest.mark.parametrize("kind", ["pipe", "device", "socket", "circle"])
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pth"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("a.pth")
    else:
        path.symlink_to(path)
    assert ("cannot be read" if kind == "circle" else "not a file") in refused(path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert "holds no .pth file" in refused(tmp_path)


# Checkpoints from elsewhere.


@pytest.mark.parametrize(("protocol", "package"), [(2, "numpy._core"), (2, "numpy.core"), (4, ""), (5, "")])
@pytest.mark.parametrize("legacy", [False, True])
def test_numpy_numbers_beside_the_weights(protocol: int, package: str, legacy: bool, tmp_path: Path) -> None:
    """package: whose name a pickle of protocol 2 gives, that of numpy 2 or of numpy 1."""
    numbers = [np.float64(0.25), np.float32(-1.5), np.float16(2), np.int64(-3), np.uint8(200), np.bool_(True)]
    path, own = tmp_path / "a.pth", re.escape(np.float64(1).__reduce__()[0].__module__).encode()
    torch.save(
        {"state_dict": state(), "best": numbers},
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=not legacy,
    )
    if package:
        rewrite(path, lambda data: re.sub(b"c" + own + b"\\n", f"c{package}.multiarray\\n".encode(), data))
    found = read_torch_file(path)["best"]
    assert found == numbers
    assert [type(value) for value in found] == [float, float, float, int, int, bool]
    assert equal(read_checkpoint(path).weights, state())


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the pickle in a file of torch.save, under a right checksum."""
    if not zipfile.is_zipfile(path):
        path.write_bytes(change(path.read_bytes()))
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, change(data) if name.endswith("data.pkl") else data)


@pytest.mark.parametrize(
    "value",
    [np.str_("text"), np.array(None), np.longdouble(1), np.complex64(1), np.zeros(3), np.datetime64("2020-01-01")],
    ids=repr,
)
def test_other_numpy_values_are_refused(value: object, tmp_path: Path) -> None:
    torch.save({"model": state(), "best": value}, tmp_path / "a.pth")
    assert "refused" in refused(tmp_path / "a.pth")


def test_plain_values_beside_the_weights(tmp_path: Path) -> None:
    """What schedulers and settings hold."""
    beside = {
        "milestones": Counter({30: 1, 80: 2}), "sizes": torch.Size([3, 4]), "device": torch.device("cuda", 0),
        "dtype": torch.float16,
        "state": OrderedDict(a=1), "names": {"b"}, "lr": 1e-4, "more": [None, True, (1, 2)],
    }  # fmt: skip
    torch.save({"net": state(), **beside}, tmp_path / "a.pth")
    found = read_torch_file(tmp_path / "a.pth")
    plain = {
        "milestones": {30: 1, 80: 2},
        "sizes": (3, 4),
        "device": "cuda:0",
        "dtype": "torch.float16",
        "state": {"a": 1},
        "names": ["b"],
    }
    assert {key: found[key] for key in beside} == {**beside, **plain}


def test_names_that_become_one_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1), "module.a": torch.zeros(1)}, tmp_path / "a.pth")
    assert "two of its names" in refused(tmp_path / "a.pth")


@pytest.mark.parametrize("name", [3, None, b"a", ("a",), 2.5], ids=repr)
def test_names_that_are_no_texts_are_refused(name: object, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1), name: torch.zeros(1)}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth")


def test_a_message_shows_no_escape_codes(tmp_path: Path) -> None:
    weights = {"\x1b[31m\n" * 50 + name: value for name, value in state().items()}
    message = refusal(small(), weights, tmp_path)
    assert message.isprintable()
    assert len(message) < 2000


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_that_are_views_are_read_as_they_are(legacy: bool, tmp_path: Path) -> None:
    base = torch.arange(60.0).view(3, 4, 5)
    views = {
        "transposed": base.permute(2, 0, 1), "row": base[1], "step": base.flatten()[3::7], "row again": base[1],
        "empty": base[:0],
        "number": base[0, 0, 1], "parameter": torch.nn.Parameter(base[2]), "few over many": base[0, 0, :1].expand(2, 3),
        "half": base.half(), "bfloat16": base.bfloat16(), "whole": base.long(), "flags": base > 3, "bytes": base.byte(),
    }  # fmt: skip
    torch.save(views, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    found = read_checkpoint(tmp_path / "a.pth").weights
    assert equal(found, {name: value.detach() for name, value in views.items()})
    assert all(found[name].dtype == value.dtype and not found[name].requires_grad for name, value in views.items())


def hostile_tensors() -> dict[str, object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        marked = torch.zeros(3)
        marked.note = "x"
        return {
            "sparse": torch.eye(3).to_sparse(), "csr": torch.eye(3).to_sparse_csr(),
            "meta": torch.zeros(3, device="meta"),
            "quantised": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.quint8),
            "nested": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
            "float8": torch.zeros(3, dtype=torch.float8_e4m3fn), "complex": torch.zeros(3, dtype=torch.complex64),
            "uint16": torch.zeros(3, dtype=torch.uint16),
            "a million million": torch.zeros(1).expand(10**4, 10**4, 10**4),
            "rows over rows": torch.zeros(10).expand(10**5, 10), "no end": torch.zeros(1).expand(2**62),
            "bits": torch.zeros(1).untyped_storage(), "with attributes": marked,
            "imaginary": torch.zeros(3, dtype=torch.complex64).conj().imag,
        }  # fmt: skip


@pytest.mark.parametrize("kind", hostile_tensors())
@pytest.mark.parametrize("place", ["among the weights", "beside them"])
@pytest.mark.parametrize("legacy", [False, True])
def test_tensors_that_are_not_plain_are_refused(kind: str, place: str, legacy: bool, tmp_path: Path) -> None:
    value = hostile_tensors()[kind]
    content = {**state(), "more": value} if place == "among the weights" else {"model": state(), "more": value}
    try:
        torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=not legacy)
    except (RuntimeError, AttributeError, TypeError):
        pytest.skip("torch.save does not write it")
    refused(tmp_path / "a.pth")


def test_numbers_of_another_kind_are_refused(tmp_path: Path) -> None:
    weights = state()
    weights["x_token"] = weights["x_token"].long()
    assert "of another kind: x_token torch.int64, not torch.float32" in refusal(small(), weights, tmp_path)
    weights = {name: value.double() for name, value in state().items()}
    weights["x_token"][0] = 1e300  # not finite in the model's own format
    assert "finite" in refusal(small(), weights, tmp_path)


@pytest.mark.parametrize(
    "sizes",
    [
        {"depth": 10**5}, {"depth": 10**9}, {"joints": 10**9}, {"frames": 10**9 + 1}, {"channel": 10**15},
        {"d_hid": 2**70}, {"depth": 4},
        {"channel": 24}, {"channel": 15}, {"frames": -9}, {"frames": 9.0}, {"frames": True}, {"prune": "1:3,2:1"},
        {"prune": [[[]]] * 10},
        {"more": 3}, {3: 3}, {"select": "x" * 10**6}, {"token_num": 10**5}, {"in_channels": torch.tensor(2)},
    ],
    ids=lambda sizes: str(sizes)[:30],
)  # fmt: skip
def test_sizes_that_are_not_those_of_the_weights_are_refused(sizes: dict, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pth", filled(small()), Normaliser())
    content = read_torch_file(tmp_path / "a.pth")
    torch.save({**content, "sizes": {**content["sizes"], **sizes}}, tmp_path / "a.pth")
    assert "damaged" not in refused(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "change", [{"fps": float("nan")}, {"fps": 0}, {"fps": 10**400}, {"fps": torch.tensor(25.0)}, {"height": -1},
    {"height": "tall"},
               {"in_channels": torch.tensor(2)}, {"in_channels": 2.0}, {"kind": ["box"]}, {"kind": torch.zeros(3)}],
               ids=str,
)  # fmt: skip
def test_a_normaliser_that_makes_no_sense_is_refused(change: dict, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.pth", filled(small()), Normaliser())
    content = read_torch_file(tmp_path / "a.pth")
    torch.save({**content, "normaliser": {**content["normaliser"], **change}}, tmp_path / "a.pth")
    assert "field normaliser" in refused(tmp_path / "a.pth")


def write_pickle(path: Path, data: bytes, legacy: bool = False) -> None:
    """A file of torch.save whose content is any pickle."""
    if legacy:
        torch.save(3, path, _use_new_zipfile_serialization=False)
        path.write_bytes(
            path.read_bytes().replace(pickle.dumps(3, 2) + pickle.dumps([], 2), data + pickle.dumps([], 2))
        )
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", data)


STORAGE = b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%stQ"


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02" + b"N" * 2_000_000 + b".", b"\x80\x02}" + b"(" * 10 + b"u" * 10 + b".",
        b"\x80\x02" + b"]" * 600_000 + b".",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + STORAGE % (b"\x8a\x06" + (10**13).to_bytes(6,
        "little")) + b"K\x00)t.",
        b"\x80\x02cbuiltins\nbytearray\n\x8a\x06" + (10**13).to_bytes(6, "little") + b"\x85R.",
        b"\x80\x02ctorch\nFloatTensor\n\x8a\x06" + (10**13).to_bytes(6, "little") + b"\x85R.",
        b"\x80\x02}(" + b"".join(pickle.dumps(i * (2**61 - 1), 2)[2:-1] + b"N" for i in range(1, 60_001)) + b"u.",
        b"\x80\x02}ccollections\nOrderedDict\n)R}U\x03getctorch\nSize\nsb.",
        b"\x80\x02ccollections\nOrderedDict\n}U\x03getNsb.",
        b"\x80\x02X\xff\xff\xff\x7fx.", b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00x.",
        b"\x80\x02Nr\xff\xff\xff\x7f.",
        b"\x80\x02cnumpy\ndtype\nU\x07(3,)<f8\x85R.",
        b"\x80\x02cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\nU\x02O8\x85RU\x08AAAAAAAA\x86R.",
    ],
    ids=range(14),
)  # fmt: skip
@pytest.mark.parametrize("legacy", [False, True])
def test_pickles_that_cost_much_or_meddle_are_refused(data: bytes, legacy: bool, tmp_path: Path) -> None:
    write_pickle(tmp_path / "a.pth", data, legacy)
    refused(tmp_path / "a.pth")


def test_a_list_that_is_named_many_times_is_not_copied_many_times(tmp_path: Path) -> None:
    pairs = b"](" + b"".join(b"](K\x01Ne" for _ in range(1000)) + b"eq\x00\x85q\x01"
    made = b"ccollections\nOrderedDict\nq\x02h\x01R" + b"h\x02h\x01R" * 20_000
    write_pickle(tmp_path / "a.pth", b"\x80\x02](" + pairs + made + b"e.")
    assert "grows" in refused(tmp_path / "a.pth")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packed_parts_are_refused(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w", method) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    assert "packed" in refused(tmp_path / "a.pth")


def test_a_zip_file_that_says_more_than_it_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(state(), path)
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    for offset in (20, 24):
        data[entry + offset : entry + offset + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(data)
    assert "larger than the file" in refused(path)


def test_what_is_not_whole_yet_is_no_checkpoint_of_a_folder(tmp_path: Path) -> None:
    names = (".model_1_3000.pth.k3x9.pth", ".a.pth", "model_2_4000.pth", "model_3_100.pth")
    for name in names[:-1]:
        (tmp_path / name).touch()
    (tmp_path / names[-1]).mkdir()
    assert find_checkpoint(tmp_path) == tmp_path / "model_2_4000.pth"
    (tmp_path / "model_2_4000.pth").unlink()
    with pytest.raises(InputError, match=r"holds no \.pth file"):
        find_checkpoint(tmp_path)


class Hostile:
    """Unpickled, it would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("place", ["whole", "beside the weights", "among the weights", "as a name"])
@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle"])
def test_hostile_files_are_refused_and_nothing_runs(place: str, form: str, tmp_path: Path) -> None:
    target, path = tmp_path / "created", tmp_path / "a.pth"
    evil = Hostile(target)
    content = {
        "whole": evil,
        "beside the weights": {"model": {"a": torch.zeros(1)}, "epoch": evil},
        "among the weights": {"a": torch.zeros(1), "b": evil},
        "as a name": {"model": {"a": torch.zeros(1)}, "name": evil, "sizes": {}, "normaliser": {}},
    }[place]
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(content, 2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(InputError, match=r"a\.pth: refused, it is damaged or holds more than weights") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    if form == "plain pickle":
        pickle.loads(path.read_bytes())
        assert target.exists()  # elsewhere it does run


def test_the_best_of_ours_else_the_first_of_others(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.pth file"):
        find_checkpoint(tmp_path)
    for name in ("readme.txt", "last.pt", "z.pth", "other.pth"):
        (tmp_path / name).touch()
    assert find_checkpoint(tmp_path).name == "other.pth"
    (tmp_path / "a_model.pth").touch()
    assert find_checkpoint(tmp_path).name == "a_model.pth"
    for name in ("model_9_4100.pth", "model_10_4099.pth", "model_2_10000.pth", "model_1_999x.pth"):
        (tmp_path / name).touch()
    assert find_checkpoint(tmp_path).name == "model_10_4099.pth"
    assert find_checkpoint(tmp_path / "z.pth") == tmp_path / "z.pth"


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such file"):
        read_checkpoint(tmp_path / "nowhere")


def test_the_disk_keeps_what_it_had_when_saving_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pth"
    save_checkpoint(path, filled(small()), Normaliser())
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match=r"a\.pth: cannot be written"):
        save_checkpoint(path, small(), Normaliser())
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.pth"]


def test_nothing_is_written_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/a\.pth: cannot be written"):
        save_checkpoint(tmp_path / "file" / "a.pth", small(), Normaliser())
