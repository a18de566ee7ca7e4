"""The README's example: a transformer that is not ours becomes an hourglass, and is trained, tested and loaded like one
of ours.
"""

from __future__ import annotations

import inspect
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from common.arguments import build_parser
from common.errors import InputError
from common.experiment import run
from common.geometry.normalise import Normaliser
from common.geometry.skeleton import H36M
from common.inference.checkpoint import identify, load_weights, read_checkpoint, save_checkpoint
from common.inference.lifting import Lifter
from common.inference.predict import predict
from common.training.recipes import MIXSTE, WILD, prepare
from common.training.settings import resolve
from common.training.setup import build_model
from model import Hourglass, PoseTransformer, create_model, register_model, registry
from model.complexity import gflops
from model.macs import Macs
from model.recovering import RECOVERERS
from tests.conftest import ROOT
from tests.rules import motion

EXAMPLE = re.search(
    r"```python\n(from model import Hourglass.*?)```", (ROOT / "model/README.md").read_text(encoding="utf-8"), re.DOTALL
)[1]
SELECTORS = ("cluster", "motion", "uniform")  # the example gives no attention received


class OverTime(nn.Module):
    """One of PyTorch's layers over the frames of each joint: (B, K, J, C) -> the same."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(channel, 4, 2 * channel, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        x = x.transpose(1, 2).flatten(0, 1)  # (B * J, K, C)
        return self.layer(x).unflatten(0, (batch, -1)).transpose(1, 2)


class YourTransformer(nn.Module):
    """What someone else may have written: it knows nothing of frames that are left out."""

    def __init__(self, frames: int, channel: int, depth: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2, channel)
        self.position = nn.Parameter(0.1 * torch.randn(frames, 17, channel))
        self.blocks = nn.ModuleList(OverTime(channel) for _ in range(depth))
        self.head = nn.Linear(channel, 3)

    def embed(self, pose_2d: Tensor) -> Tensor:
        return self.linear(pose_2d) + self.position

    def forward(self, pose_2d: Tensor) -> Tensor:
        x = self.embed(pose_2d)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
    torch.manual_seed(0)
    exec(EXAMPLE, {"__name__": "example", "YourTransformer": YourTransformer})


def test_about_twenty_lines() -> None:
    assert sum(bool(line.strip()) for line in EXAMPLE.splitlines()) <= 22


@pytest.mark.parametrize(("select", "recover"), list(itertools.product(SELECTORS, RECOVERERS)))
def test_every_plan(select: str, recover: str) -> None:
    model = create_model("your.hourglass", select=select, recover=recover)
    x = motion(2, 27, 2, 1)
    prediction = model(x)
    assert [numbers.shape for numbers in prediction.kept] == [(2, 13), (2, 7)]
    assert prediction.pose.shape == (2, 7 if recover == "none" else 27, 17, 3)
    assert torch.equal(model(x, prediction.kept).pose, prediction.pose)
    prediction.pose.square().mean().backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []
    assert predict(model, x, H36M.mirrored).pose.shape == prediction.pose.shape


@torch.no_grad()
def test_without_a_plan_it_is_the_transformer_itself() -> None:
    model = create_model("your.hourglass", prune="1:27", select="uniform", recover="interpolation").eval()
    x = motion(2, 27, 2, 1)
    torch.testing.assert_close(model(x).pose, model.yours.eval()(x))


def test_it_is_saved_with_its_plan(tmp_path: Path) -> None:
    model = create_model("your.hourglass", prune="1:9", recover="nearest")
    save_checkpoint(tmp_path / "a.pth", model, Normaliser())
    found = read_checkpoint(tmp_path / "a.pth")
    rebuilt = create_model(found.name, **found.sizes)
    load_weights(rebuilt, found)
    assert rebuilt.plan == Hourglass(((1, 9),), "cluster", "nearest")


# From a file of one's own to a checkpoint

SCRIPT = """import my_backbone  # which registers your.hourglass

from common.experiment import run
from common.training.recipes import MIXSTE

if __name__ == "__main__":
    run(MIXSTE, default_model="your.hourglass")
"""


def your_run(*flags: object) -> None:
    """What the script does, in this process."""
    run(MIXSTE, "your.hourglass", [str(flag) for flag in flags])


@pytest.fixture(scope="module")
def data(tiny_root: Path) -> tuple[object, ...]:
    return "--dataset", "tiny", "--root_path", tiny_root, "--stride", 27, "--batch_size", 6, "--device", "cpu"


@pytest.fixture(scope="module")
def trained(data: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch, by two files of a user's; not to be written to."""
    folder = tmp_path_factory.mktemp("yours")
    classes = f"{inspect.getsource(OverTime)}\n{inspect.getsource(YourTransformer)}\n"
    source = f"import torch\nfrom torch import Tensor, nn\n\n{classes}"
    (folder / "my_backbone.py").write_text(f"from __future__ import annotations\n{source}\n{EXAMPLE}", encoding="utf-8")
    (folder / "my_training.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "my_training.py", *map(str, data), "--nepoch", "1", "--checkpoint", "run"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "parameters: 46,243, GFLOPs: 0.02" in done.stdout
    return folder / "run"


def weights_in(folder: Path) -> dict[str, Tensor]:
    return read_checkpoint(folder / "last.pt").weights


def copied(folder: Path, target: Path) -> Path:
    target.mkdir()
    for name in ("last.pt", *(file.name for file in folder.glob("*.pth"))):
        (target / name).write_bytes((folder / name).read_bytes())
    return target


def test_it_goes_on_as_if_it_had_not_stopped(data: tuple[object, ...], trained: Path, tmp_path: Path) -> None:
    resumed = copied(trained, tmp_path / "resumed")
    your_run("--resume", resumed, "--nepoch", 2)
    your_run(*data, "--nepoch", 2, "--checkpoint", tmp_path / "unbroken")
    ours, theirs = weights_in(resumed), weights_in(tmp_path / "unbroken")
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(ours["yours.position"], weights_in(trained)["yours.position"])


def test_it_is_tested_by_the_file_alone(
    data: tuple[object, ...], trained: Path, main: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    main(
        "main_mhformer.py", *data, "--test", "--previous_dir", trained
    )  # any script will do where the model is registered
    assert "your.hourglass on tiny" in capsys.readouterr().out
    (file,) = trained.glob("*.pth")
    lift = Lifter.from_checkpoint(file)
    assert (lift.model.name, lift.model.plan.stages) == ("your.hourglass", ((1, 13), (2, 7)))


@pytest.mark.parametrize("flags", [("--resume",), ("--test", "--previous_dir")])
def test_where_its_file_is_not_imported_a_sentence_says_so(
    flags: tuple[str, ...],
    trained: Path,
    main: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delitem(registry._BUILDERS, "your.hourglass")
    with pytest.raises(SystemExit) as end:
        main("main_mixste.py", *flags, trained)
    (sentence,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert "holds your.hourglass, which is not registered; import the file that registers it" in sentence


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--d_hid", 3), ["your.hourglass has no size 'd_hid'", "frames, channel, depth, prune, select, recover"]),
        (("--token_num", 3), ["your.hourglass has no size 'token_num'"]),
        (("--n_joints", 16), ["--n_joints is 16, but your.hourglass is for 17 joints"]),
        (("--out_joints", 16), ["--out_joints is 16", "17 joints"]),
        (("--select", "attention"), ["select is 'attention'", "give no attention scores"]),
        (
            ("--recipe", "wild"),
            ["--recipe wild gives 3 numbers for a joint", "your.hourglass takes 2", "size in_channels"],
        ),
        (("--prune", "1:30"), ["prune is '1:30', with 30 frames"]),
        (("--depth", 0), ["--depth", "'0'"]),
    ],
)
def test_what_it_cannot_do_is_refused_in_a_sentence(
    flags: tuple[object, ...],
    words: list[str],
    data: tuple[object, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        your_run(*data, "--nepoch", 1, "--checkpoint", tmp_path / "run", *flags)
    (sentence,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert all(word in sentence for word in words), sentence
    assert not (tmp_path / "run").exists()


# What a builder may be


def your_class() -> type[PoseTransformer]:
    return type(create_model("your.hourglass"))


def built(name: str, *flags: object, in_channels: int | None = None, keypoints: str = "gt") -> PoseTransformer:
    argv = ["--keypoints", keypoints, *map(str, flags)]
    return build_model(resolve(MIXSTE, name, argv).settings, None, in_channels)


def test_sizes_that_nobody_else_has_are_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backbone = your_class()

    @register_model("your.own", meanings={"kernel": "frames that a convolution sees"})
    def own(frames=27, channel=32, kernel=3, rate=0.5, wide=False, kind="plain", joints=17, in_channels=2):
        model = backbone(frames, channel, 2, Hourglass())
        model.given = (kernel, rate, wide, kind)
        model.joints, model.in_channels = joints, in_channels
        return model

    model = built("your.own", "--kernel", 5, "--rate", 0.25, "--wide", "true", "--kind", "fancy")
    assert model.given == (5, 0.25, True, "fancy")
    save_checkpoint(tmp_path / "a.pth", model, Normaliser())
    assert read_checkpoint(tmp_path / "a.pth").sizes == model.sizes
    assert built("your.own").given == (3, 0.5, False, "plain")
    for flag, word in (("--kernel", "x"), ("--rate", "fast"), ("--wide", "3")):
        with pytest.raises(InputError, match=f"{flag}.*'{word}'"):
            built("your.own", flag, word)
    for sizes in ({"kernel": 2.5}, {"rate": "fast"}, {"rate": float("nan")}, {"wide": 1}, {"kind": 3}):
        with pytest.raises(InputError, match=f"{next(iter(sizes))} is "):
            create_model("your.own", **sizes)
    with pytest.raises(InputError, match="mixste has no size 'kernel'"):
        built("mixste.mixste", "--kernel", 5)
    with pytest.raises(SystemExit):
        build_parser("your.own").parse_args(["--help"])
    assert "frames that a convolution sees (default: the model's own, 3)" in " ".join(capsys.readouterr().out.split())
    assert built("your.own", keypoints="sh_ft_h36m").joints == 16
    assert built("your.own", "--recipe", "wild", in_channels=3).in_channels == 3


def test_a_size_with_the_name_of_a_flag_is_refused() -> None:
    register_model("your.strided")(lambda frames=27, stride=2: None)
    with pytest.raises(InputError, match=r"size 'stride', but --stride is another flag; rename the size"):
        build_parser("your.strided")


@pytest.mark.parametrize(
    "builder", [lambda frames: None, lambda frames=None: None, lambda *frames: None, lambda **sizes: None]
)
def test_a_size_needs_a_default(builder: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match=r"the builder of your\.other needs a number or a text as the default of"):
        register_model("your.other")(builder)


def test_a_builder_that_reads_values_of_tensors_is_loaded_too(tmp_path: Path) -> None:
    backbone = your_class()

    @register_model("your.reader")
    def reader(frames=27, channel=32):
        rates = torch.linspace(0, 1, 3).tolist()  # which PyTorch's meta device refuses
        return backbone(frames, channel, len(rates), Hourglass())

    model = create_model("your.reader", channel=16)
    save_checkpoint(tmp_path / "a.pth", model, Normaliser())
    found = read_checkpoint(tmp_path / "a.pth")
    load_weights(create_model(found.name, **found.sizes), found)
    shapes = {name: tuple(value.shape) for name, value in create_model("your.reader").state_dict().items()}
    assert identify(shapes) == ["your.reader with sizes of its own"]


# What a backbone says of itself, and what holds where it says nothing


def shapes_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def test_weights_are_known_by_their_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = create_model("your.hourglass"), create_model("your.hourglass", channel=16, depth=4, prune="2:11,3:5")
    assert identify(shapes_of(own)) == ["your.hourglass with sizes of its own"]
    assert identify(shapes_of(other)) == []
    monkeypatch.setattr(your_class(), "size_axes", {"frames": ("yours.position", 0), "channel": ("yours.position", 2)})
    monkeypatch.setattr(your_class(), "layer_list", "yours.blocks")
    assert identify(shapes_of(other)) == ["your.hourglass with frames 27, channel 16, depth 4"]


def test_operations_are_counted_where_no_formula_is_given() -> None:
    model = create_model("your.hourglass").train()
    model.yours.blocks[1].eval()
    tokens, frames = 17, (27, 13, 7)
    layer = sum(tokens * count * (4 * 32**2 + 2 * 32 * 64) for count in frames)
    ends = tokens * 27 * (2 * 32 + 32 * 3)
    recovered = tokens * 2 * (27 + 7) * 32**2
    products = tokens * 2 * 32 * (sum(count**2 for count in frames) + 27 * 7)
    assert model.macs() == Macs(layer + ends + recovered, products)
    assert gflops(model) == (2 * (layer + ends + recovered) / 1e9, 2 * (layer + ends + recovered + products) / 1e9)
    assert [block.training for block in model.yours.blocks] == [True, False, True]  # it is left as it was
    assert torch.backends.mha.get_fastpath_enabled()


def test_positions_start_as_the_recipe_says(monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("your.hourglass")
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def changed() -> set[str]:
        return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}

    prepare(model, WILD, fresh=True)
    assert changed() == {"pos_embed_token", "pos_embed_token_2", "x_token"}
    monkeypatch.setattr(your_class(), "positions", ("yours.position",))
    prepare(model, WILD, fresh=True)
    assert changed() == {"pos_embed_token", "pos_embed_token_2", "x_token", "yours.position"}


def test_weights_that_must_not_decay_do_not() -> None:
    model = create_model("your.hourglass")
    assert [len(group["params"]) for group in model.parameter_groups()] == [len(list(model.parameters()))]
    model.no_weight_decay = ["yours.position"]
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for value in model.parameters():
        value.grad = torch.zeros_like(value)
    MIXSTE.optimizer(model.parameter_groups(), 0.1).step()
    still = {name for name, value in model.named_parameters() if torch.equal(value, before[name]) and value.any()}
    assert still == {"yours.position"}
