"""Plans on every backbone: each selector with each way to recover, one stage and several."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from common.arguments import build_parser
from common.errors import InputError
from common.geometry.normalise import Normaliser
from common.geometry.skeleton import H36M
from common.inference.checkpoint import Checkpoint, load_weights, read_checkpoint, save_checkpoint
from common.inference.lifting import Lifter
from common.training.recipes import MIXSTE, published_mpjpe
from common.training.settings import resolve
from common.training.setup import build_model
from model import Hourglass, PoseTransformer, create_model, model_sizes
from model.layers import TIME, Attention, attend, attend_and_score
from model.pruning import SELECTORS, gather_frames, select_by_motion
from model.recovering import RECOVERERS
from tests.rules import SMALL, filled, motion
from tests.test_models import NO_EFFECT, exact, pose_for

BASES = ("mixste.mixste", "mhformer.mhformer", "motionbert.motionbert", "motionagformer.motionagformer")
PRUNE, COUNTS = "1:7,2:4", (7, 4)  # frames 9 or 27, layers 0 to 2
PLANS = list(itertools.product(BASES, SELECTORS, RECOVERERS))
SOME = [
    (name, *pair) for name in BASES for pair in zip(SELECTORS, RECOVERERS, strict=True)
]  # each selector and each recoverer once


def planned(name: str, prune: str = PRUNE, **plan: str) -> PoseTransformer:
    return filled(create_model(name, **SMALL[name], prune=prune, **plan)).eval()


def same(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> bool:
    return len(a) == len(b) and all(torch.equal(one, other) for one, other in zip(a, b, strict=True))


@pytest.mark.parametrize(("name", "select", "recover"), PLANS)
@torch.no_grad()
def test_a_hierarchy(name: str, select: str, recover: str) -> None:
    """Shapes, frame numbers, both pipelines; it repeats, replays, and treats each window by itself."""
    model = exact(planned(name, select=select, recover=recover))
    x, centre = pose_for(model, 3), model.frames // 2
    first = model(x)
    pose, frames, kept = first
    assert pose.isfinite().all()
    assert pose.shape == (3, 4 if recover == "none" else model.frames, 17, 3)
    assert [numbers.shape for numbers in kept] == [(3, keep) for keep in COUNTS]
    for numbers in kept:
        assert numbers.dtype == torch.int64
        assert (numbers.diff(dim=1) > 0).all()  # sorted, and none twice
        assert numbers.min() >= 0
        assert numbers.max() < model.frames
        assert recover != "none" or (numbers == centre).any(dim=1).all()
    for before, after in zip(*kept, strict=True):
        assert set(after.tolist()) < set(before.tolist())
    assert frames is None if recover != "none" else torch.equal(frames, kept[-1])
    assert model.plan.kept_only == (recover == "none")

    again = model(x)
    assert torch.equal(again.pose, pose)
    assert same(again.kept, kept)
    replayed = model(x, kept)
    assert torch.equal(replayed.pose, pose)
    mirrored = x[:, :, H36M.mirrored].flip(1)
    assert same(model(mirrored, kept).kept, kept)
    if select != "uniform":
        assert not same(model(mirrored).kept, kept)
    for b in range(3):
        alone = model(x[b : b + 1])
        torch.testing.assert_close(alone.pose[0], pose[b], atol=1e-5, rtol=0)
        assert same(tuple(numbers[0] for numbers in alone.kept), tuple(numbers[b] for numbers in kept))


@pytest.mark.parametrize(("name", "select", "recover"), [plan for plan in PLANS if plan[1] in ("cluster", "uniform")])
def test_every_parameter_gets_a_gradient(name: str, select: str, recover: str) -> None:
    torch.manual_seed(0)
    model = planned(name, select=select, recover=recover).double().train()
    prediction = model(pose_for(model, 4))
    assert not any(numbers.requires_grad for numbers in prediction.kept)
    target = motion(4, model.frames, 3, 8).double()
    if prediction.frames is not None:
        target = gather_frames(target, prediction.frames)
    (prediction.pose - target).norm(dim=-1).mean().backward()
    still = {
        parameter
        for parameter, value in model.named_parameters()
        if value.grad is None or value.grad.abs().max() < 1e-12
    }
    no_effect = {parameter for parameter, _ in model.named_parameters() if NO_EFFECT.search(parameter)}
    if name == "mhformer.mhformer" and recover == "attention":  # a batch norm follows at once
        no_effect |= {"cross_attention.linear_v.bias", "cross_attention.proj.bias"}
    assert still == no_effect
    positions = {
        parameter for parameter, _ in model.named_parameters() if re.search("pos_embed_token|x_token", parameter)
    }
    assert positions == ({"pos_embed_token", "pos_embed_token_2", "x_token"} if recover == "attention" else set())


@pytest.mark.parametrize("recover", ["interpolation", "nearest", "none"])
@pytest.mark.parametrize(("name", "select"), list(itertools.product(BASES, SELECTORS)))
@torch.no_grad()
def test_keeping_everything_is_the_plain_backbone_to_the_bit(name: str, select: str, recover: str) -> None:
    frames = SMALL[name]["frames"]
    model = planned(name, f"1:{frames},2:{frames}", select=select, recover=recover)
    plain = filled(create_model(name, **SMALL[name])).eval()
    assert list(plain.state_dict()) == list(model.state_dict())
    x = pose_for(model)
    assert torch.equal(model(x).pose, plain(x).pose)


@pytest.mark.parametrize(("name", "select", "recover"), SOME)
def test_a_checkpoint_rebuilds_the_plan(name: str, select: str, recover: str, tmp_path: Path) -> None:
    model = planned(name, select=select, recover=recover)
    assert {size: model.sizes[size] for size in ("prune", "select", "recover")} == {
        "prune": PRUNE,
        "select": select,
        "recover": recover,
    }
    save_checkpoint(tmp_path / "a.pth", model, Normaliser(in_channels=model.in_channels))
    found = read_checkpoint(tmp_path / "a.pth")
    rebuilt = create_model(found.name, **found.sizes).eval()
    load_weights(rebuilt, found)
    assert (rebuilt.plan, rebuilt.sizes) == (model.plan, model.sizes)
    with torch.no_grad():
        assert torch.equal(rebuilt(pose_for(model)).pose, model(pose_for(model)).pose)


@pytest.mark.parametrize("recover", RECOVERERS)
@pytest.mark.parametrize("name", BASES)
def test_whole_clips_are_lifted(name: str, recover: str) -> None:
    model = planned(name, recover=recover)
    lift = Lifter(model, Normaliser(in_channels=model.in_channels), flip=False)
    assert lift.centre_only == (recover == "none")
    clip = motion(1, 30, 2, 1)[0].double().numpy() * 150 + 400
    assert np.isfinite(lift(clip, (1000, 800))).all()


@pytest.mark.parametrize(("name", "select"), list(itertools.product(BASES, SELECTORS)))
@torch.no_grad()
def test_bfloat16_autocast(name: str, select: str) -> None:
    model = planned(name, select=select)
    x = pose_for(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = model(x)
    assert prediction.pose.dtype == torch.float32
    assert (prediction.pose - model(x, prediction.kept).pose).abs().max() < 0.2
    if select in ("motion", "uniform"):  # what they look at has the same numbers
        assert same(prediction.kept, model(x).kept)


@pytest.mark.parametrize("name", BASES)
@torch.no_grad()
def test_scores_are_the_attention_that_the_layer_pays(name: str) -> None:
    """Each row sums to 1, and asking for them changes nothing but rounding."""
    model = exact(planned(name))
    tokens = model.embed(pose_for(model))
    x, scores = model.stage(0, tokens, scores=True)
    assert scores.shape == tokens.shape[:2]
    torch.testing.assert_close(scores.sum(dim=1), torch.ones_like(scores[:, 0]))
    torch.testing.assert_close(x, model.stage(0, tokens))


@pytest.mark.parametrize("shape", [(2, 7, 16), (2, 7, 5, 16)])
def test_attention_and_its_scores_come_from_the_same_weights(shape: tuple[int, ...]) -> None:
    q, k, v = (
        torch.randn(shape, generator=torch.Generator().manual_seed(seed), requires_grad=True) for seed in (1, 2, 3)
    )
    heads = [t.detach().reshape(2, 7, -1, 2, 8) for t in (q, k)]
    weights = (torch.einsum("bnshc,bmshc->bshnm", *heads) / 8**0.5).softmax(dim=-1)
    x, received = attend_and_score(q, k, v, 2, TIME)
    torch.testing.assert_close(received, weights.mean(dim=(1, 2, 3)))
    assert not received.requires_grad
    fused, weight = attend(q, k, v, 2, TIME), torch.randn(shape)
    torch.testing.assert_close(x, fused)
    ours, theirs = (torch.autograd.grad(result, (q, k, v), weight) for result in (x, fused))
    torch.testing.assert_close(ours, theirs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(attend_and_score(q, k, v, 2, TIME)[1], received)
    half = [t.detach().bfloat16() for t in (q, k, v)]
    assert attend_and_score(*half, 2, TIME)[0].dtype == torch.bfloat16
    assert torch.equal(attend_and_score(*half, 2, TIME)[1], attend_and_score(*(t.float() for t in half), 2, TIME)[1])


@torch.no_grad()
def test_attention_maps_are_made_where_they_are_needed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("model.layers.attend_and_score", lambda *args: calls.append(1) or attend_and_score(*args))
    model = planned("mixste.mixste", select="attention")
    kept = model(pose_for(model)).kept
    assert len(calls) == 2  # before layers 1 and 2
    model(pose_for(model), kept)  # a replay rounds as the choice did
    assert len(calls) == 4
    planned("mixste.mixste", select="motion")(pose_for(model))
    planned("mixste.mixste", "1:9,2:9", select="attention")(pose_for(model))  # nothing to choose
    assert len(calls) == 4


@pytest.mark.parametrize("name", BASES)
def test_selecting_by_attention_trains_as_any_plan_that_keeps_the_same_frames(name: str) -> None:
    model, other = (planned(name, select=select).double() for select in ("attention", "uniform"))
    x = pose_for(model)
    first = model(x)
    second = other(x, first.kept)
    torch.testing.assert_close(first.pose, second.pose)
    ours, theirs = (
        torch.autograd.grad(prediction.pose.square().sum(), [*choosing.parameters()])
        for choosing, prediction in ((model, first), (other, second))
    )
    torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_motion_is_that_of_the_frames_still_there() -> None:
    model = planned("mixste.mixste", select="motion")
    x = pose_for(model)
    first, second = model(x).kept
    assert torch.equal(first, select_by_motion(x, 7))
    assert torch.equal(second, first.gather(1, select_by_motion(gather_frames(x, first), 4)))


def test_a_plan_overrides_that_of_a_variant() -> None:
    assert create_model("mixste.mixste", prune="1:81").plan == Hourglass(((1, 81),), "uniform", "interpolation")
    hot = create_model("mixste.hot_mixste", **SMALL["mixste.hot_mixste"], recover="interpolation")
    assert hot.plan == Hourglass(((1, 5),), "cluster", "interpolation")
    assert hot.sizes["token_num"] == 5
    tpc = create_model("mixste.tpc_mixste", frames=9, channel=16, prune="2:5,4:3", select="motion")
    assert tpc.plan == Hourglass(((2, 5), (4, 3)), "motion", "none", (4,))
    assert not {"token_num", "layer_index"} & set(tpc.sizes)
    assert create_model(tpc.name, **tpc.sizes).plan == tpc.plan
    assert create_model("mixste.h2ot_mixste", frames=9, channel=16, prune="1:3").plan.stages == ((1, 3),)


def test_motionagformer_sizes_its_graphs_by_a_hierarchy() -> None:
    model = planned("motionagformer.motionagformer")
    assert [layer.graph_temporal.mixer.batch_norm.num_features for layer in model.layers] == [9, 7, 4]


# Plans that make no sense

NONSENSE = ("1", "1:", "a:b", "1:5,", "1:5;2:3", "-1:5", "1:5 ,2:3", "999999999:1")


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"prune": "1:3,2:5"}, ["prune is '1:3,2:5'", "keep no more"]),
        ({"prune": "2:5,1:3"}, ["prune is '2:5,1:3'", "later than the one before"]),
        ({"prune": "1:5,1:3"}, ["later than the one before"]),
        ({"prune": "1:10"}, ["prune is '1:10', with 10 frames", "between 1 and the number of frames, 9"]),
        ({"prune": "1:5,2:0"}, ["with 0 frames", "between 1 and"]),
        ({"prune": "3:5"}, ["prune is '3:5', with layer 3", "before layers 1 to 2"]),
        ({"prune": "0:5"}, ["before layers 1 to 2"]),
        *(({"prune": text}, ["prune is", "LAYER:FRAMES", "1:121,3:81,5:27"]) for text in NONSENSE),
        ({"prune": ""}, ["prune is ''", "not empty"]),
        ({"prune": 3}, ["prune is 3", "text"]),
        ({"prune": "1:5", "select": "chance"}, ["select is 'chance'", "cluster, attention, motion, uniform"]),
        ({"prune": "1:5", "recover": "magic"}, ["recover is 'magic'", "attention, interpolation, nearest, none"]),
        ({"select": "uniform"}, ["select is 'uniform'", "mixste.mixste keeps all frames", "give prune"]),
        ({"recover": "none"}, ["recover is 'none'", "keeps all frames"]),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_in_a_sentence(plan: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        create_model("mixste.mixste", **SMALL["mixste.mixste"], **plan)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["mhformer.mhformer", "motionbert.motionbert", "motionagformer.motionagformer"])
def test_attention_is_not_known_before_the_first_layer(name: str) -> None:
    with pytest.raises(InputError, match="no attention comes before layer 0"):
        planned(name, "0:7,1:4", select="attention")
    assert planned(name, "0:7,1:4", select="motion").plan.stages == ((0, 7), (1, 4))


def test_two_ways_to_say_the_frames_are_refused() -> None:
    for size in ("token_num", "layer_index"):
        with pytest.raises(InputError, match=f"{size} is 1, but prune is '1:5'"):
            create_model("mixste.hot_mixste", frames=9, channel=16, prune="1:5", **{size: 1})


# The command line


def from_flags(flags: str, checkpoint: Checkpoint | None = None) -> PoseTransformer:
    argv = ["--keypoints", "gt", *flags.split()]
    return build_model(resolve(MIXSTE, "mixste.hot_mixste", argv).settings, checkpoint)


SIZES = "--frames 9 --channel 16 --depth 3"


def test_flags_build_a_plan() -> None:
    model = from_flags(f"{SIZES} --prune 1:7,2:4 --select motion --recover nearest")
    assert (model.name, model.plan) == ("mixste.hot_mixste", Hourglass(((1, 7), (2, 4)), "motion", "nearest"))
    assert from_flags(f"{SIZES} --model mixste.mixste --prune 1:7 --recover none").plan.always == (4,)
    with pytest.raises(InputError, match="token_num is 5, but prune is '1:7'"):
        from_flags(f"{SIZES} --prune 1:7 --token_num 5")


def test_flags_override_the_plan_of_a_checkpoint() -> None:
    hot = create_model("mixste.hot_mixste", **SMALL["mixste.hot_mixste"])
    checkpoint = Checkpoint(Path("a.pth"), {}, hot.name, hot.sizes, Normaliser())
    assert from_flags("", checkpoint).plan == hot.plan
    pruned = from_flags("--prune 1:7,2:4", checkpoint)
    assert pruned.plan.stages == ((1, 7), (2, 4))
    checkpoint = Checkpoint(Path("a.pth"), {}, pruned.name, pruned.sizes, Normaliser())
    assert from_flags("", checkpoint).plan == pruned.plan
    with pytest.raises(InputError, match="token_num is 5, but prune is '1:7,2:4'"):
        from_flags("--token_num 5", checkpoint)


def test_weights_go_on_under_another_plan_of_the_same_backbone() -> None:
    plain = create_model("mixste.mixste", frames=9, channel=16, d_hid=32, depth=3)
    checkpoint = Checkpoint(Path("a.pth"), plain.state_dict(), plain.name, plain.sizes, Normaliser())
    pruned = from_flags("--model mixste.h2ot_mixste --prune 1:7,2:4", checkpoint)
    assert (pruned.name, pruned.plan.stages, pruned.frames, pruned.hidden) == (
        "mixste.h2ot_mixste",
        ((1, 7), (2, 4)),
        9,
        32,
    )
    load_weights(pruned, checkpoint)
    learned = from_flags("--model mixste.hot_mixste --token_num 5 --layer_index 1", checkpoint)
    with pytest.raises(InputError, match=r"missing: .*x_token"):
        load_weights(learned, checkpoint)
    with pytest.raises(InputError, match=r"holds mixste\.mixste, not mhformer\.mhformer"):
        from_flags("--model mhformer.mhformer", checkpoint)


def test_help_explains_the_flags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser("mixste.hot_mixste").parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in (
        "--prune LAYER:FRAMES",
        "--select NAME",
        "--recover NAME",
        *SELECTORS,
        *RECOVERERS,
        "TPC",
        "TPA",
        "TPMo",
        "TPS",
        "TRA",
        "TRI",
    ):
        assert words in text


def test_a_checkpoint_from_before_plans_still_loads() -> None:
    """Its sizes hold neither prune nor select nor recover."""
    for name in ("mixste.mixste", "mixste.hot_mixste", "mhformer.tpc_mhformer"):
        old = {
            size: value
            for size, value in (model_sizes(name) | SMALL[name]).items()
            if size not in ("prune", "select", "recover")
        }
        model = create_model(name, **SMALL[name])
        assert create_model(name, **old).plan == model.plan
        assert create_model(name, **old).sizes == model.sizes


def test_published_numbers_are_those_of_the_published_plan() -> None:
    sizes = create_model("mixste.hot_mixste").sizes
    assert published_mpjpe("mixste.hot_mixste", sizes, 243) == 41.0
    assert published_mpjpe("mixste.hot_mixste", sizes | {"recover": "interpolation"}, 243) is None
    assert published_mpjpe("mixste.mixste", create_model("mixste.mixste").sizes, 243) == 40.9
    assert published_mpjpe("mixste.mixste", create_model("mixste.mixste", prune="3:81").sizes, 243) is None


def test_attention_hands_its_scores_out() -> None:
    attention, received = Attention(8, heads=2), []
    x = torch.randn(2, 5, 3, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(attention(x, TIME, received), attention(x, TIME))
    assert [scores.shape for scores in received] == [(2, 5)]
