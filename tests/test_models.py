"""Every registered model: equal to the published outputs, and what holds for all of them at small sizes."""

from __future__ import annotations

import copy
import itertools
import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from common.errors import InputError
from common.geometry.skeleton import H36M
from model import Hourglass, PoseTransformer, create_model, list_models, model_sizes, register_model
from model.layers import DropPath
from model.mixste import MixSTE
from model.pruning import gather_frames
from tests.rules import GOLDEN, SMALL, filled, filled_state, motion, read_golden

MODELS = list(SMALL)
PRUNING = [name for name in MODELS if "hot_" in name or "tpc_" in name]
TPC = [name for name in MODELS if "tpc_" in name]
HOT = [name for name in MODELS if "hot_" in name]
H2OT = [name for name in MODELS if "h2ot_" in name]


def small(name: str, **sizes: int) -> PoseTransformer:
    """The model at small sizes with rule-filled weights, in evaluation mode."""
    return filled(create_model(name, **(SMALL[name] | sizes))).eval()


def exact(model: PoseTransformer) -> PoseTransformer:
    """In float64 where float noise decides: the temporal graphs of MotionAGFormer are thresholds."""
    return model.double() if model.name.startswith("motionagformer") else model


def pose_for(model: PoseTransformer, batch: int = 2, seed: int = 7) -> Tensor:
    return motion(batch, model.frames, model.in_channels, seed, model.joints).to(next(model.parameters()).dtype)


def test_the_registry_is_covered() -> None:
    assert list_models() == MODELS


# The published outputs


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.npz")), ids=lambda path: path.stem)
@torch.no_grad()
def test_parity_with_the_published_model(path: Path) -> None:
    meta, shapes, output, index = read_golden(path)
    model = create_model(meta["model"], **meta["config"]).eval()
    ours = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert ours == shapes
    assert sum(parameter.numel() for parameter in model.parameters()) == meta["params"]
    model.load_state_dict(filled_state(shapes, meta["seed"]), strict=True)
    x = motion(meta["batch"], model.frames, meta["channels"], meta["seed"])
    if meta.get("dtype") == "float64":
        model, x = model.double(), x.double()
    prediction = model(x)
    assert prediction.pose.shape == output.shape
    assert (prediction.pose.float() - output).abs().max() < 1e-4
    if index is None:
        assert prediction.frames is None
    else:
        assert torch.equal(prediction.frames, index)
        assert torch.equal(prediction.kept[0], index)


def test_all_golden_files_are_there() -> None:
    models = {read_golden(path)[0]["model"] for path in GOLDEN.glob("*.npz")}
    assert models == set(MODELS) - {"mhformer.hot_mhformer", *H2OT}  # which nobody published
    assert len(list(GOLDEN.glob("*.npz"))) == 10


# What holds for every model


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("in_channels", [2, 3])
@torch.no_grad()
def test_prediction(name: str, in_channels: int) -> None:
    model = small(name, in_channels=in_channels)
    pose, frames, kept = model(pose_for(model, 3))
    counts = [keep for _, keep in model.plan.stages]
    rows = counts[-1] if name in TPC else model.frames
    assert pose.shape == (3, rows, 17, 3)
    assert pose.dtype == torch.float32
    assert torch.isfinite(pose).all()
    assert (frames is not None) == (name in TPC)
    assert len(kept) == (1 if name in PRUNING else 2 if name in H2OT else 0)
    assert [numbers.shape for numbers in kept] == [(3, keep) for keep in counts]
    for numbers in kept:
        assert numbers.dtype == torch.int64
        assert (numbers.diff(dim=1) > 0).all()  # sorted, and none twice
        assert numbers.min() >= 0
        assert numbers.max() < model.frames
    if name in TPC:
        assert torch.equal(frames, kept[0])
        assert (frames == (model.frames - 1) // 2).any(dim=1).all()


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_evaluation_repeats_to_the_bit(name: str) -> None:
    model = small(name)
    x = pose_for(model)
    before, first, second = x.clone(), model(x), model(x)
    assert torch.equal(first.pose, second.pose)
    assert all(torch.equal(a, b) for a, b in zip(first.kept, second.kept, strict=True))
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_batch_equals_single(name: str) -> None:
    model = exact(small(name))
    x = pose_for(model, 4)
    together = model(x)
    for b in range(4):
        alone = model(x[b : b + 1])
        torch.testing.assert_close(alone.pose[0], together.pose[b], atol=1e-5, rtol=0)
        assert all(torch.equal(one[0], all_[b]) for one, all_ in zip(alone.kept, together.kept, strict=True))


# The published designs hold some biases that cannot change the output: softmax takes out what is added to every key
# (the bias
# of linear_k, and that of the key's own norm in CHI), batch norm what is added to every frame (the layer right before
# it).
NO_EFFECT = re.compile(
    r"\.?linear_k\.bias$|\.norm3_\d2\.bias$|^embedding_\d\.0\.bias$|^Transformer_hypothesis\.norm\.bias$"
)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        *((name, {}) for name in MODELS),
        ("mhformer.mhformer", {"frames": 45}),
        ("mhformer.tpc_mhformer", {"frames": 27}),
    ],
)
def test_every_parameter_gets_a_gradient(name: str, sizes: dict[str, int]) -> None:
    torch.manual_seed(0)
    model = small(name, **sizes).double().train()  # float64: what is zero in theory is below 1e-12
    x, target = pose_for(model, 8), motion(8, model.frames, 3, 8).double()
    prediction = model(x)
    if prediction.frames is not None:
        target = gather_frames(target, prediction.frames)
    (prediction.pose - target).norm(dim=-1).mean().backward()
    gradients = {parameter: value.grad for parameter, value in model.named_parameters()}
    assert [parameter for parameter, gradient in gradients.items() if gradient is None] == []
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    still = {parameter for parameter, gradient in gradients.items() if gradient.abs().max() < 1e-12}
    no_effect = {parameter for parameter in gradients if NO_EFFECT.search(parameter)}
    if name == "mhformer.hot_mhformer":  # a batch norm follows at once
        no_effect |= {"cross_attention.linear_v.bias", "cross_attention.proj.bias"}
    assert still == no_effect
    for parameter, gradient in gradients.items():  # every position of a position embedding and of a token takes part
        if re.search("pos_embed|temp_embed|x_token", parameter):
            assert (gradient.abs().amax(dim=-1) > 0).all(), parameter


@pytest.mark.parametrize("name", PRUNING)
@torch.no_grad()
def test_kept_frames_replay(name: str) -> None:
    model = exact(small(name))
    x = pose_for(model, 3)
    first = model(x)
    again = model(x, first.kept)
    assert torch.equal(again.pose, first.pose)
    flipped = x[:, :, H36M.mirrored].clone()
    flipped[..., 0] *= -1
    free, replayed = model(flipped), model(flipped, first.kept)
    assert not torch.equal(free.kept[0], first.kept[0])  # left to itself it chooses other frames
    assert torch.equal(replayed.kept[0], first.kept[0])
    if replayed.frames is not None:
        assert torch.equal(replayed.frames, first.frames)
    assert not torch.allclose(replayed.pose, first.pose, atol=1e-3)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_state_dict_round_trip(name: str, tmp_path: Path) -> None:
    model = small(name)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    other = create_model(model.name, **model.sizes).eval()
    x = pose_for(model)
    assert not torch.equal(other(x).pose, model(x).pose)
    other.load_state_dict(torch.load(tmp_path / "weights.pth", weights_only=True), strict=True)
    assert torch.equal(other(x).pose, model(x).pose)


@pytest.mark.parametrize("name", MODELS)
def test_create_model_records_name_and_sizes(name: str) -> None:
    model = create_model(name, **SMALL[name])
    assert model.name == name
    unused = (
        {"token_num", "layer_index"}
        if name in H2OT
        else {"prune"}
        if name in PRUNING
        else {"prune", "select", "recover"}
    )
    sizes = model_sizes(name) | SMALL[name]
    assert model.sizes == {size: value for size, value in sizes.items() if size not in unused}
    assert set(model.sizes) >= {"frames", "channel", "joints", "in_channels"}
    assert (model.frames, model.channel, model.joints) == (SMALL[name]["frames"], SMALL[name]["channel"], 17)


def test_own_numbers_of_the_variants() -> None:
    own = {name: model_sizes(name) for name in MODELS}
    assert {name: (size["frames"], size["channel"], size["in_channels"]) for name, size in own.items()} == {
        name: {
            "mixste": (243, 512, 2),
            "mhformer": (351, 512, 2),
            "motionbert": (243, 256, 3),
            "motionagformer": (243, 128, 3),
        }[name.split(".")[0]]
        for name in MODELS
    }
    assert {name: (own[name]["token_num"], own[name]["layer_index"]) for name in PRUNING} == {
        "mixste.hot_mixste": (81, 3),
        "mixste.tpc_mixste": (61, 7),
        "mhformer.tpc_mhformer": (117, 1),
        "mhformer.hot_mhformer": (117, 1),
        "motionbert.hot_motionbert": (81, 1),
        "motionagformer.hot_motionagformer": (81, 7),
    }
    assert {name for name in MODELS if own[name].get("d_hid") == 1024} == {
        name for name in MODELS if re.match("mixste|mhformer", name)
    }
    assert {
        name: own[name].get("depth")
        for name in ("mixste.mixste", "motionbert.motionbert", "motionagformer.motionagformer")
    } == {
        "mixste.mixste": 8,
        "motionbert.motionbert": 5,
        "motionagformer.motionagformer": 16,
    }
    assert (own["motionagformer.motionagformer"]["heads"], own["motionagformer.motionagformer"]["neighbours"]) == (4, 4)


def test_d_hid_is_not_used_by_the_pruning_variants_of_mixste() -> None:
    for name in ("mixste.hot_mixste", "mixste.tpc_mixste"):
        assert small(name, d_hid=999).STEblocks[0].mlp.fc1.out_features == 32
    assert small("mixste.mixste", d_hid=40).TTEblocks[0].mlp.fc1.out_features == 40


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match=re.escape("mixste.mixste")):
        register_model("mixste.mixste")(lambda: None)
    assert list_models() == MODELS


# The plan


@pytest.mark.parametrize("name", PRUNING)
@torch.no_grad()
def test_keeping_every_frame_keeps_their_order(name: str) -> None:
    model = small(name, token_num=SMALL[name]["frames"])
    prediction = model(pose_for(model))
    every = torch.arange(model.frames).expand(2, -1)
    assert torch.equal(prediction.kept[0], every)
    assert prediction.pose.shape == (2, model.frames, 17, 3)
    assert prediction.frames is None if name in HOT else torch.equal(prediction.frames, every)


@pytest.mark.parametrize("name", TPC)
@torch.no_grad()
def test_a_plan_that_keeps_everything_is_the_plain_backbone_to_the_bit(name: str) -> None:
    pruning = small(name, token_num=SMALL[name]["frames"])
    plain = create_model(
        name.replace("tpc_", ""), frames=pruning.frames, channel=16, d_hid=pruning.hidden, **_depth(pruning)
    ).eval()
    plain.load_state_dict(pruning.state_dict(), strict=True)
    assert torch.equal(pruning(pose_for(pruning)).pose, plain(pose_for(pruning)).pose)


def _depth(model: PoseTransformer) -> dict[str, int]:
    return {"depth": model.depth} if "depth" in model.sizes else {}


@pytest.mark.parametrize("name", TPC)
@torch.no_grad()
def test_one_frame_left_is_the_centre(name: str) -> None:
    model = small(name, token_num=1)
    assert model(pose_for(model)).frames.tolist() == [[(model.frames - 1) // 2]] * 2


@torch.no_grad()
def test_a_plan_of_several_stages() -> None:
    """Kept frames are numbered as in the input, each stage keeps some of those before, and the selection replays."""
    plan = Hourglass(((1, 9), (3, 5)), always=(6,))
    model = filled(MixSTE(13, 16, 32, plan, depth=4)).eval()
    x = motion(3, 13, 2, 1)
    pose, frames, kept = model(x)
    assert [numbers.shape for numbers in kept] == [(3, 9), (3, 5)]
    assert pose.shape == (3, 5, 17, 3)
    assert torch.equal(frames, kept[1])
    for b in range(3):
        assert set(kept[1][b].tolist()) < set(kept[0][b].tolist())
        assert 6 in kept[1][b]
    again = model(x.flip(-1), kept)
    assert all(torch.equal(a, b) for a, b in zip(again.kept, kept, strict=True))
    assert [plan.frames_at(layer, 13) for layer in range(5)] == [13, 9, 9, 5, 5]


@torch.no_grad()
def test_a_learned_plan_of_several_stages() -> None:
    model = filled(MixSTE(13, 16, 32, Hourglass(((1, 9), (3, 5)), recover="attention"), depth=4)).eval()
    assert model.pos_embed_token.shape == (1, 9, 16)
    assert model.pos_embed_token_2.shape == (1, 5, 16)
    prediction = model(motion(2, 13, 2, 1))
    assert prediction.pose.shape == (2, 13, 17, 3)
    assert prediction.frames is None
    assert [numbers.shape[1] for numbers in prediction.kept] == [9, 5]


def test_tpc_plans_protect_the_centre() -> None:
    always = {name: create_model(name, **SMALL[name]).plan.always for name in MODELS}
    assert always == {name: ((SMALL[name]["frames"] - 1) // 2,) if name in TPC else () for name in MODELS}


@pytest.mark.parametrize("name", PRUNING)
def test_selection_in_a_model_leaves_no_gradient(name: str) -> None:
    prediction = small(name)(pose_for(small(name)))
    assert prediction.pose.requires_grad
    assert not any(numbers.requires_grad for numbers in prediction.kept)


@pytest.mark.parametrize("name", TPC)
@torch.no_grad()
def test_bfloat16_autocast_of_a_model(name: str) -> None:
    model = small(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = model(pose_for(model))
    assert prediction.frames.dtype == torch.int64
    assert (prediction.frames == (model.frames - 1) // 2).any(dim=1).all()
    replayed = model(pose_for(model), prediction.kept)
    assert (prediction.pose.float() - replayed.pose).abs().max() < 0.1


# Sizes that do not fit


def refused(name: str, **sizes: object) -> str:
    with pytest.raises(InputError) as caught:
        create_model(name, **sizes)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("frames", [0, 1, 2, 8, 242])
def test_windows_without_a_centre_are_refused(name: str, frames: int) -> None:
    message = refused(name, **(SMALL[name] | {"frames": frames}))
    assert f"frames is {frames};" in message
    assert "odd" in message
    assert "3 or more" in message


@pytest.mark.parametrize("name", ["mhformer.mhformer", "mhformer.tpc_mhformer"])
@pytest.mark.parametrize("frames", [3, 25, 243 + 2])
def test_frames_that_nine_does_not_divide_are_refused_by_mhformer(name: str, frames: int) -> None:
    message = refused(name, frames=frames, channel=16, **({"token_num": 3} if name in TPC else {}))
    assert f"frames is {frames};" in message
    assert "multiple of 9" in message


@pytest.mark.parametrize("name", PRUNING)
def test_impossible_numbers_of_kept_frames_are_refused(name: str) -> None:
    frames = SMALL[name]["frames"]
    for keep in (0, frames + 1, 10 * frames):
        message = refused(name, **(SMALL[name] | {"token_num": keep}))
        assert f"token_num is {keep};" in message
        assert "between 1 and" in message
        assert str(frames) in message


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("mixste.hot_mixste", 1, 7),
        ("mixste.tpc_mixste", 1, 7),
        ("mhformer.tpc_mhformer", 0, 2),
        ("motionbert.hot_motionbert", 0, 4),
        ("motionagformer.hot_motionagformer", 0, 15),
    ],
)
def test_layers_that_cannot_prune_are_refused(name: str, first: int, last: int) -> None:
    sizes = SMALL[name] | {"depth": model_sizes(name).get("depth")}
    sizes = {size: value for size, value in sizes.items() if value is not None}
    for layer in [last + 1, 99] + ([first - 1] if first else []):
        message = refused(name, **(sizes | {"layer_index": layer}))
        assert f"layer_index is {layer};" in message
        assert f"layers {first} to {last}" in message
    for layer in (first, last):
        assert create_model(name, **(sizes | {"layer_index": layer})).plan.stages == (
            (layer, SMALL[name]["token_num"]),
        )


def test_unknown_models_are_refused_with_a_suggestion() -> None:
    message = refused("mixste.hot_mixst")
    assert "mixste.hot_mixst" in message
    assert "did you mean mixste.hot_mixste?" in message
    assert all(name in message for name in MODELS)
    assert "did you mean" not in refused("zzz")


def test_unknown_sizes_are_refused() -> None:
    message = refused("mixste.mixste", token_num=3)
    assert "mixste.mixste has no size 'token_num'" in message
    assert all(size in message for size in model_sizes("mixste.mixste"))


@pytest.mark.parametrize("name", MODELS)
def test_widths_that_heads_do_not_divide_are_refused(name: str) -> None:
    heads = 4 if name.startswith("motionagformer") else 8
    for channel in (0, heads // 2, heads + heads // 2, 18):
        message = refused(name, **(SMALL[name] | {"channel": channel}))
        assert f"channel is {channel};" in message
        assert f"multiple of {heads}" in message


@pytest.mark.parametrize("name", ["motionagformer.motionagformer", "motionagformer.hot_motionagformer"])
def test_motionagformer_is_for_seventeen_joints(name: str) -> None:
    message = refused(name, joints=16)
    assert "joints is 16;" in message
    assert "17" in message
    assert "neighbours is 0;" in refused(name, neighbours=0)


@pytest.mark.parametrize("value", [9.0, "9", True, None, -3, [9]])
@pytest.mark.parametrize("name", ["mixste.tpc_mixste", "motionagformer.motionagformer"])
def test_sizes_are_whole_numbers(name: str, value: object) -> None:
    message = refused(name, frames=value)
    assert f"frames is {value!r};" in message
    assert "whole number" in message


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("motionagformer.motionagformer", "heads"),
        ("mixste.mixste", "d_hid"),
        ("mhformer.mhformer", "d_hid"),
        *(
            (name, size)
            for name in ("mixste.mixste", "mhformer.mhformer", "motionbert.motionbert")
            for size in ("joints", "in_channels")
        ),
        *((name, "depth") for name in ("mixste.mixste", "motionbert.motionbert", "motionagformer.motionagformer")),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_sizes_of_zero_are_refused(name: str, size: str) -> None:
    assert f"{size} is 0;" in refused(name, **(SMALL[name] | {size: 0}))


@pytest.mark.parametrize(
    "name", ["mixste.mixste", "mixste.hot_mixste", "mixste.tpc_mixste", "mhformer.mhformer", "motionbert.motionbert"]
)
@torch.no_grad()
def test_sixteen_joints(name: str) -> None:
    model = small(name, joints=16)
    prediction = model(pose_for(model))
    assert prediction.pose.shape[2:] == (16, 3)
    assert torch.isfinite(prediction.pose).all()


# Initialisation, dropout, drop path and norms, as published


def torch_default(layer: nn.Linear | nn.Conv1d) -> bool:
    """Whether the numbers look uniform in +-1 / sqrt(inputs), as torch draws them."""
    bound = 1 / math.sqrt(layer.weight[0].numel())
    deviation = layer.weight.std(unbiased=False).item() * math.sqrt(3) / bound
    near = 5 / math.sqrt(layer.weight.numel())
    biased = layer.bias is None or (layer.bias.abs().max() <= bound and layer.bias.abs().max() > 0)
    return bool(layer.weight.abs().max() <= bound and abs(deviation - 1) < near and biased)


@pytest.mark.parametrize("name", MODELS)
def test_positions_and_tokens_start_at_zero(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, **SMALL[name])
    tokens = {
        parameter: value
        for parameter, value in model.named_parameters()
        if re.search("pos_embed|temp_embed|x_token", parameter)
    }
    drawn = {"pos_embed", "temp_embed"} if name.startswith("motionbert") else set()
    assert {parameter for parameter, value in tokens.items() if (value == 0).all()} == set(tokens) - drawn
    assert len(tokens) == {"mixste": 2, "mhformer": 6, "motionbert": 2, "motionagformer": 1}[name.split(".")[0]] + 2 * (
        name in HOT
    )
    assert {"x_token", "pos_embed_token"} <= set(tokens) or name not in HOT


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("motionbert")])
def test_linear_layers_start_as_torch_has_them(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, **(SMALL[name] | {"channel": 64}))
    special = re.compile(r"fusion$|mixer\.[UV]$")
    layers = {
        n: layer
        for n, layer in model.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv1d) and not special.search(n)
    }
    assert len(layers) > 10
    assert [n for n, layer in layers.items() if not torch_default(layer)] == []


@pytest.mark.parametrize("name", MODELS)
def test_norms_start_as_the_identity(name: str) -> None:
    norms = [m for m in create_model(name, **SMALL[name]).modules() if isinstance(m, nn.LayerNorm | nn.BatchNorm1d)]
    assert len(norms) > 5
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)


@pytest.mark.parametrize("name", ["motionbert.motionbert", "motionbert.hot_motionbert"])
def test_initialisation_of_motionbert(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, **(SMALL[name] | {"channel": 128}))
    linear = {n: layer for n, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    for n, layer in linear.items():
        if n.startswith("ts_attn"):
            assert (layer.weight == 0).all()
            assert (layer.bias == 0.5).all()
        else:
            assert layer.weight.std().item() == pytest.approx(0.02, rel=5 / math.sqrt(2 * layer.weight.numel())), n
            assert layer.weight.abs().max() > 0.04, (
                n
            )  # truncated at 2, which is 100 standard deviations: a plain normal
            assert (layer.bias == 0).all(), n
    for position in (model.pos_embed, model.temp_embed):
        assert position.std().item() == pytest.approx(0.02, rel=5 / math.sqrt(2 * position.numel()))
    assert any(n.startswith("cross_attention") for n in linear) == (name in HOT)


@pytest.mark.parametrize("name", ["motionagformer.motionagformer", "motionagformer.hot_motionagformer"])
def test_initialisation_of_motionagformer(name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, **(SMALL[name] | {"channel": 64}))
    graphs = [layer for n, layer in model.named_modules() if re.search(r"mixer\.[UV]$", n)]
    assert len(graphs) == 3 * 2 * 2
    for layer in graphs:
        assert layer.weight.std().item() == pytest.approx(
            math.sqrt(2 / 64), rel=5 / math.sqrt(2 * layer.weight.numel())
        )
        assert layer.weight.abs().max() > 2.5 * math.sqrt(2 / 64)
        assert 0 < layer.bias.abs().max() <= 1 / 8
    scales = [value for n, value in model.named_parameters() if "layer_scale" in n]
    assert len(scales) == 3 * 4 * 2
    assert all((scale == torch.tensor(1e-5)).all() for scale in scales)
    fusions = [layer for n, layer in model.named_modules() if n.endswith("fusion")]
    assert len(fusions) == 3
    assert all((layer.weight == 0).all() and (layer.bias == 0.5).all() for layer in fusions)
    assert not any(
        n.endswith(("qkv.bias", "linear_q.bias", "linear_k.bias", "linear_v.bias")) for n in model.state_dict()
    )


def test_rates_of_drop_path() -> None:
    eighth = [0.1 * i / 7 for i in range(8)]
    for name in ("mixste.mixste", "mixste.hot_mixste", "mixste.tpc_mixste"):
        model = create_model(name, frames=9, channel=16, **({"token_num": 3} if name in PRUNING else {}))
        for blocks in (model.STEblocks, model.TTEblocks):
            assert [block.drop_path.rate for block in blocks] == pytest.approx(eighth)
    for name in ("mhformer.mhformer", "mhformer.tpc_mhformer"):
        model = create_model(name, **SMALL[name])
        for k in (1, 2, 3):
            encoder = getattr(model, f"Transformer_encoder_{k}")
            assert [block.drop_path.rate for block in encoder.blocks] == pytest.approx([0, 0.2 / 3, 0.4 / 3, 0.2])
        hypothesis = model.Transformer_hypothesis
        assert [block.drop_path.rate for block in [*hypothesis.SHR_blocks, *hypothesis.CHI_blocks]] == pytest.approx(
            [0, 0.1, 0.2]
        )
    for name in MODELS:
        if name.startswith("motion"):
            assert all(m.rate == 0 for m in create_model(name, **SMALL[name]).modules() if isinstance(m, DropPath))


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("mhformer")])
def test_no_dropout_outside_mhformer(name: str) -> None:
    assert {m.p for m in create_model(name, **SMALL[name]).modules() if isinstance(m, nn.Dropout)} <= {0.0}


@pytest.mark.parametrize("frames", [27, 45])
def test_dropout_of_mhformer(frames: int) -> None:
    rates = {
        n: m.p
        for n, m in create_model("mhformer.mhformer", frames=frames, channel=16).named_modules()
        if isinstance(m, nn.Dropout)
    }
    embedding = {n: p for n, p in rates.items() if n.startswith("embedding")}
    assert embedding == ({f"embedding_{k}.3": 0.25 for k in (1, 2, 3)} if frames == 27 else {})
    assert {p for n, p in rates.items() if n not in embedding} == {0.1}
    kinds = {"pos_drop" if n.endswith("pos_drop") else ".".join(n.split(".")[-2:]) for n in set(rates) - set(embedding)}
    assert kinds == {"pos_drop", "mlp.drop", "attn.drop", "attn_1.drop", "attn_2.drop", "attn_3.drop"}


@pytest.mark.parametrize("part", ["pos_drop", "attn", "mlp"])
def test_dropout_of_mhformer_acts_in_training_only(part: str) -> None:
    """With no other randomness left, each place of dropout alone makes two training passes differ."""
    model = small("mhformer.mhformer", frames=45)
    x = pose_for(model)
    assert torch.equal(model(x).pose, model(x).pose)
    for n, m in model.named_modules():
        if isinstance(m, nn.Dropout) and part in n:
            m.train()
    assert not torch.equal(model(x).pose, model(x).pose)


def test_hypotheses_are_dropped_separately() -> None:
    block = copy.deepcopy(small("mhformer.mhformer").Transformer_hypothesis.SHR_blocks[1])
    block.drop_path.rate = 0.5
    block.drop_path.train()
    nn.init.zeros_(block.mlp.fc2.weight)
    nn.init.zeros_(block.mlp.fc2.bias)  # the attention branches alone are seen
    torch.manual_seed(0)
    x = torch.randn(64, 5, 3, 16)
    dropped = (block(x) == x).flatten(3).all(dim=3).permute(0, 2, 1)  # (B, 3, K)
    assert torch.equal(dropped, dropped[..., :1].expand_as(dropped))  # whole samples
    assert {tuple(row) for row in dropped[..., 0].tolist()} == set(itertools.product((True, False), repeat=3))


@pytest.mark.parametrize("name", MODELS)
def test_epsilon_of_the_norms(name: str) -> None:
    norms = {n: m.eps for n, m in create_model(name, **SMALL[name]).named_modules() if isinstance(m, nn.LayerNorm)}
    coarse = {"mixste": r"head\.0$", "mhformer": r"norm_[123]$", "motionbert": r"^$", "motionagformer": r""}[
        name.split(".")[0]
    ]
    assert norms == {n: 1e-5 if re.match(coarse, n) else 1e-6 for n in norms}
    assert sum(eps == 1e-5 for eps in norms.values()) == {"mixste": 1, "mhformer": 3, "motionbert": 0}.get(
        name.split(".")[0], len(norms)
    )


@pytest.mark.parametrize("frames", [9, 27, 45])
def test_embedding_of_mhformer_depends_on_the_frames(frames: int) -> None:
    embedding = create_model("mhformer.mhformer", frames=frames, channel=16).embedding_2
    kinds = [type(m) for m in embedding] if isinstance(embedding, nn.Sequential) else [type(embedding)]
    assert kinds == ([nn.Conv1d, nn.BatchNorm1d, nn.ReLU, nn.Dropout] if frames <= 27 else [nn.Conv1d])
    if frames <= 27:
        assert embedding[1].momentum == 0.1
