"""Weights on disk: every form that is read, everything that is refused, and what the refusal says."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from common.checkpoint import find_checkpoint, identify, load_weights, read_checkpoint, save_checkpoint
from common.errors import InputError
from common.normalise import Normaliser
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


@pytest.mark.parametrize("under", [None, "model_pos", "model", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
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
        listed = {size: value if size == "prune" else int(value) for size, value in (pair.split(" ") for pair in sizes.split(", "))}
        if "prune" not in listed:
            open_sizes = {"token_num": 3, "layer_index": 1} if "token_num" in model_sizes(other) else {"prune": "1:3,2:1"}
            listed = (open_sizes if model_sizes(other)["prune"] or "token_num" in open_sizes else {}) | listed
        assert {key: tuple(value.shape) for key, value in create_model(other, **listed).state_dict().items()} == shapes


@pytest.mark.parametrize("name", ["mixste.hot_mixste", "mixste.tpc_mixste", "mhformer.tpc_mhformer"])
def test_identify_finds_models_at_their_own_sizes(name: str) -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in create_model(name).state_dict().items()}
    assert name in [text.split(" with ")[0] for text in identify(shapes)]


@pytest.mark.parametrize("content", [{}, {"model": {}}, {"a": 1}, {"model": {"a": "text"}}, [1, 2], 3, {"model": 3}, torch.zeros(3)])
def test_files_without_weights_are_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a\.pth: holds no state dict"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("normaliser", [{"kind": "box of the future", "in_channels": 2}, {"unknown": 1}, None, 3])
def test_a_normaliser_of_another_version_is_refused(normaliser: object, tmp_path: Path) -> None:
    torch.save({"model": state(), "name": "mixste.hot_mixste", "sizes": small().sizes, "normaliser": normaliser}, tmp_path / "a.pth")
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


@pytest.mark.parametrize("data", [b"", b"no checkpoint at all", b"\x80\x02}q\x00.", b"PK\x03\x04", b"\x00" * 1000], ids=repr)
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(data[:1000])
    with pytest.raises(InputError, match=r"a\.pth: "):
        read_checkpoint(tmp_path / "a.pth")


def test_other_zip_files_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("positions.npy", b"x")
    with pytest.raises(InputError, match=r"a\.pth: "):
        read_checkpoint(tmp_path / "a.pth")


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
