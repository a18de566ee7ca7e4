"""Lifting whole clips, stated as what must hold for any model; and what torch.hub offers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from common.errors import InputError
from common.geometry.augment import flip
from common.geometry.camera import Camera
from common.geometry.normalise import Normaliser
from common.geometry.skeleton import H36M
from common.geometry.windows import window_bounds
from common.inference import checkpoint
from common.inference.checkpoint import save_checkpoint
from common.inference.lifting import Lifter, resample_2d, resample_3d
from model import Hourglass, PoseTransformer, create_model, list_models, model_sizes
from tests.rules import SMALL, filled, motion

ROOT = Path(__file__).resolve().parent.parent
SIZE = (1000, 800)
FRAMES = 9
SEQUENCE_TO_FRAME = ("mixste.tpc_mixste", "mhformer.tpc_mhformer")


def small(name: str = "mixste.hot_mixste", **other: int) -> PoseTransformer:
    return filled(create_model(name, **{**SMALL[name], **other}))


def lifter(name: str = "mixste.hot_mixste", kind: str = "picture", fps: float = 50.0, **options: object) -> Lifter:
    model = small(name)
    return Lifter(model, Normaliser(kind, model.in_channels, fps), **options)


def clip(frames: int, seed: int = 1, channels: int = 2) -> np.ndarray:
    """A person in the middle of the picture (frames, 17, 2), pixels, with scores 0.5 to 1 where channels is 3."""
    pose = motion(1, frames, 2, seed)[0].double().numpy() * 150 + 400
    scores = np.random.default_rng(seed).uniform(0.5, 1, (frames, 17, 1))
    return np.concatenate([pose, scores], axis=-1)[..., :channels]


class PerFrame(PoseTransformer):
    """Lifts every frame by itself, (x, y) -> (x, y, y), and adds an error that depends on the place in the window."""

    def __init__(self, error: np.ndarray | None = None, frames: int = FRAMES) -> None:
        super().__init__(frames, 17, 2, 1, Hourglass())
        self.error = torch.zeros(frames) if error is None else torch.tensor(error, dtype=torch.float32)
        self.most = 0

    def embed(self, pose_2d: Tensor) -> Tensor:
        self.most = max(self.most, len(pose_2d))
        return pose_2d

    def stage(self, layer: int, x: Tensor) -> Tensor:
        return x

    def finish(self, x: Tensor) -> Tensor:
        return x

    def regress(self, x: Tensor) -> Tensor:
        return torch.cat([x, x[..., 1:]], dim=-1) + self.error[:, None, None]


def per_frame(pose_2d: np.ndarray) -> np.ndarray:
    """What PerFrame makes of pixels (..., 17, 2) of a picture of SIZE."""
    xy = pose_2d / SIZE[0] * 2 - [1, SIZE[1] / SIZE[0]]
    pose = np.concatenate([xy, xy[..., 1:]], axis=-1)
    pose[..., 0, :] = 0
    return pose


@pytest.mark.parametrize("fps", [50, 30])
@pytest.mark.parametrize("frames", [1, 2, FRAMES - 1, FRAMES, FRAMES + 1, 3 * FRAMES + 5])
@pytest.mark.parametrize("name", ["mixste.hot_mixste", "mixste.tpc_mixste"])
def test_any_length(name: str, frames: int, fps: int) -> None:
    pose = lifter(name)(clip(frames), SIZE, fps)
    assert pose.shape == (frames, 17, 3)
    assert pose.dtype == np.float32
    assert np.isfinite(pose).all()
    assert (pose[:, 0] == 0).all()
    assert np.abs(pose[:, 1:]).max() > 0.01


@pytest.mark.parametrize("kind", ["picture", "box", "pixels"])
@pytest.mark.parametrize("name", SMALL)
def test_every_model_and_normaliser(name: str, kind: str) -> None:
    lift = lifter(name, kind)
    pose = lift(clip(30), SIZE)
    assert pose.shape == (30, 17, 3)
    assert np.isfinite(pose).all()
    assert lift.centre_only == (name in SEQUENCE_TO_FRAME)


@pytest.mark.parametrize("fps", [10, 25, 29.97, 50, 60, 240])
@pytest.mark.parametrize("frames", [1, 5, 40])
def test_a_constant_clip_has_a_constant_pose(frames: int, fps: float) -> None:
    still = np.repeat(clip(1), frames, axis=0)
    for kind in ("picture", "box"):
        pose = Lifter(PerFrame(), Normaliser(kind))(still, SIZE, fps)
        np.testing.assert_allclose(pose, np.repeat(pose[:1], frames, axis=0), atol=1e-6)
        assert np.abs(pose).max() > 0.1
    np.testing.assert_allclose(Lifter(PerFrame(), Normaliser())(still, SIZE, fps), per_frame(still), atol=1e-6)


# Not of MotionAGFormer: which frames its temporal graph joins can hang on the last bit of a product, which the batch
# size changes.
@pytest.mark.parametrize("name", [name for name in SMALL if not name.startswith("motionagformer")])
def test_the_batch_size_does_not_matter(name: str) -> None:
    one, seven = (lifter(name, "box", batch_size=size)(clip(20), SIZE, 30) for size in (1, 7))
    np.testing.assert_allclose(one, seven, atol=1e-5)


def test_the_same_again_and_the_model_is_left_as_it_was() -> None:
    lift = lifter()
    lift.model.train()
    lift.model.STEblocks[1].eval()
    modes = [module.training for module in lift.model.modules()]
    given = clip(30, channels=3)
    kept = given.copy()
    first = lift(given, SIZE, 30)
    assert np.abs(first).max() > 0.01
    assert [module.training for module in lift.model.modules()] == modes
    assert np.array_equal(lift(given, SIZE, 30), first)
    assert np.array_equal(given, kept)


def test_the_mode_is_put_back_after_an_error() -> None:
    model = PerFrame(np.full(FRAMES, np.nan)).train()
    with pytest.raises(InputError, match="not finite"):
        Lifter(model, Normaliser())(clip(3), SIZE)
    assert model.training


@pytest.mark.parametrize("name", ["mixste.hot_mixste", "mixste.tpc_mixste", "motionbert.motionbert"])
@pytest.mark.parametrize("fps", [50, 30])
def test_the_scale_of_the_picture_does_not_matter(name: str, fps: int) -> None:
    lift, given = lifter(name, "box"), clip(25, channels=3)
    half = (SIZE[0] / 2, SIZE[1] / 2)
    np.testing.assert_allclose(lift(given * [0.5, 0.5, 1], half, fps), lift(given, SIZE, fps), atol=1e-4)


@pytest.mark.parametrize("name", ["mixste.hot_mixste", "motionbert.motionbert"])
def test_elsewhere_in_the_picture_only_the_line_of_sight_differs(name: str) -> None:
    lift, given = lifter(name, "box"), clip(FRAMES, channels=3)
    moved = given * [0.3, 0.3, 1] + [700, -90, 0]
    seen = [lift(pose, SIZE) @ lift.normaliser.turn(pose, SIZE) for pose in (given, moved)]
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-4)


@pytest.mark.parametrize("kind", ["picture", "box"])
@pytest.mark.parametrize("name", [name for name in SMALL if name not in SEQUENCE_TO_FRAME])
def test_the_mirrored_clip_has_the_mirrored_poses(name: str, kind: str) -> None:
    lift, given = lifter(name, kind), clip(25, channels=3)
    mirrored = given[:, H36M.mirrored]
    mirrored[..., 0] = SIZE[0] - mirrored[..., 0]
    expected = flip(torch.from_numpy(lift(given, SIZE, 30)), H36M.mirrored).numpy()
    np.testing.assert_allclose(lift(mirrored, SIZE, 30), expected, atol=2e-5)


@pytest.mark.parametrize("fps", [25, 30, 48, 60, 100, 120])
def test_other_frame_rates_show_the_same_motion(fps: int) -> None:
    def at(rate: float) -> np.ndarray:
        time = np.arange(round(2 * rate) + 1)[:, None, None] / rate  # two seconds
        return 500 + 200 * np.sin(2 * np.pi * 0.5 * time + np.arange(34).reshape(17, 2))

    lift = Lifter(PerFrame(), Normaliser())
    pose, expected = lift(at(fps), SIZE, fps), per_frame(at(fps))
    assert pose.shape == expected.shape
    assert np.abs(pose - expected).max() < 0.01  # of a motion of 0.4 to either side
    same = lift(at(50), SIZE, 50)
    every = 50 * fps // np.gcd(50, fps) // 50  # frames of the clip between instants that both have
    assert np.abs(pose[::every] - same[:: 50 * every // fps]).max() < 0.01


def test_noise_does_not_alias() -> None:
    noise = np.random.default_rng(0).standard_normal((1201, 17, 3)) + 10
    kept = resample_2d(noise, 401)
    assert kept[..., :2].std() < 0.5 * noise[..., :2].std()
    assert resample_2d(noise, 2001)[..., :2].std() < noise[..., :2].std()


def test_resampling_keeps_straight_motion_and_ends() -> None:
    straight = np.linspace(1, 5, 13)[:, None, None] * np.ones((1, 17, 3))
    for count in (2, 3, 4, 5, 7, 13, 20, 37):
        expected = np.linspace(1, 5, count)[:, None, None] * np.ones((1, 17, 3))
        atol = 1e-9 if count in (2, 3, 4, 5, 7) or count >= 13 else 0.1
        np.testing.assert_allclose(resample_2d(straight, count), expected, atol=atol)
        np.testing.assert_allclose(resample_3d(straight, count), expected, atol=1e-9)


def test_resampled_poses_go_through_the_given_ones_without_a_kink() -> None:
    pose = np.random.default_rng(1).standard_normal((6, 17, 3))
    fine = resample_3d(pose, 5 * 100 + 1)
    np.testing.assert_allclose(fine[::100], pose, atol=1e-9)
    assert np.abs(np.diff(fine, 2, axis=0)).max() < 0.01


def test_joints_that_are_not_there_do_not_pull_others_when_resampled() -> None:
    given = np.full((9, 17, 3), 300.0)
    given[..., 2] = 0.8
    given[4, 2] = 0
    given[:, 5] = [123, 45, 0]
    for count in (5, 17, 9, 6):
        there = resample_2d(given, count)
        seen = there[..., 2] > 0
        np.testing.assert_allclose(there[seen][:, :2], 300)
        np.testing.assert_allclose(there[:, 5], [[123, 45, 0]] * count)
        assert seen[:, 2].sum() >= count - 1
    assert resample_2d(given, 17)[8, 2, 2] == 0


def jumps(error: np.ndarray, overlap: float) -> tuple[float, float]:
    """The largest step between frames at the borders of windows, and elsewhere, on a still clip."""
    frames = len(error)
    lift = Lifter(PerFrame(error, frames), Normaliser(), overlap=overlap)
    pose = lift(np.repeat(clip(1), 10 * frames, axis=0), SIZE)
    step = np.abs(np.diff(pose, axis=0)).max(axis=(1, 2))  # (T - 1,): from frame t to t + 1
    start = lift.window_starts(10 * frames)
    borders = np.unique(np.concatenate([start, start + frames]) - 1)
    borders = borders[(borders >= 0) & (borders < len(step))]
    return step[borders].max(), np.delete(step, borders).max()


@pytest.mark.parametrize("frames", [27, 81])
def test_no_seam_shows(frames: int) -> None:
    place = np.linspace(-1, 1, frames)
    for error in (place**2, place**4, np.cos(5 * place)):
        at_borders, elsewhere = jumps(0.1 * error, overlap=0.5)
        assert at_borders <= elsewhere
    at_borders, elsewhere = jumps(0.1 * place, overlap=0.5)
    assert at_borders <= 1.02 * elsewhere
    assert jumps(0.1 * place, overlap=0)[0] > 10 * at_borders  # what it would be


@pytest.mark.parametrize("overlap", [0, 0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("length", [1, 8, 9, 10, 100])
def test_windows_cover_the_clip(length: int, overlap: float) -> None:
    lift = Lifter(PerFrame(), Normaliser(), overlap=overlap)
    start = lift.window_starts(length)
    assert set(range(length)) <= set((start[:, None] + np.arange(FRAMES)).ravel())
    assert (np.diff(start) > 0).all()
    assert (np.diff(start) <= max(1, round(FRAMES * (1 - overlap)))).all()
    if length <= FRAMES:
        assert start.tolist() == [-((FRAMES - length) // 2)]
    given = clip(length)
    np.testing.assert_allclose(lift(given, SIZE), per_frame(given), atol=1e-6)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("name", SEQUENCE_TO_FRAME)
def test_sequence_to_frame_takes_the_centre_of_every_window(name: str, flipped: bool) -> None:
    lift, given = lifter(name, flip=flipped, overlap=0), clip(12)
    frames = lift.model.frames
    rows = np.clip(window_bounds(12, frames, 1)[:, :1] + np.arange(frames), 0, 11)  # (12, F)
    window = torch.from_numpy(lift.normaliser.apply(given[rows], SIZE))
    lift.model.eval()
    with torch.inference_mode():
        plain = lift.model(window)
        mirror = lift.model(flip(window, H36M.mirrored), kept=plain.kept)
    pose = (plain.pose + flip(mirror.pose, H36M.mirrored)) / 2 if flipped else plain.pose
    pose = pose[plain.frames == frames // 2].numpy()
    pose[:, 0] = 0
    np.testing.assert_allclose(lift(given, SIZE), pose, atol=1e-5)


def test_a_sequence_model_that_is_scored_at_the_centre_gets_a_window_per_frame() -> None:
    error = np.linspace(-1, 1, FRAMES)  # 0 at the centre
    model, given = PerFrame(error), clip(20)
    model.centre_only = True
    np.testing.assert_allclose(Lifter(model, Normaliser(), flip=False)(given, SIZE), per_frame(given), atol=1e-6)


def test_windows_are_cut_batch_by_batch() -> None:
    model, given = PerFrame(), np.repeat(clip(1), 5000, axis=0)
    assert len(Lifter(model, Normaliser(), batch_size=4)(given, SIZE)) == 5000
    assert model.most == 4


def test_every_form_of_input() -> None:
    lift, given = lifter("motionbert.motionbert"), clip(12).round()
    expected = lift(given, SIZE)
    with_scores = np.concatenate([given, np.ones((12, 17, 1))], axis=-1)
    for form in (
        given.tolist(),
        given.astype(np.float32),
        given.astype(int),
        torch.from_numpy(given).float(),
        with_scores,
    ):
        assert np.array_equal(lift(form, SIZE), expected)
    assert np.array_equal(lift(torch.from_numpy(given).requires_grad_(), list(SIZE)), expected)
    assert np.array_equal(lift(given, np.array(SIZE), fps=np.float32(50.2)), expected)  # within 1 %
    with_scores[3, 4, 2] = 0.1
    assert not np.array_equal(lift(with_scores, SIZE), expected)
    with_scores[3, 4, 2] = 0
    missing = lift(with_scores, SIZE)
    with_scores[3, 4, 2] = -1
    assert np.array_equal(lift(with_scores, SIZE), missing)


def test_clips_without_a_person_are_defined() -> None:
    for kind in ("picture", "box"):
        assert np.isfinite(lifter(kind=kind)(np.zeros((20, 17, 3)), SIZE, 30)).all()
        assert np.isfinite(lifter(kind=kind)(np.full((20, 17, 2), 7), SIZE, 30)).all()


def test_height_scales_the_person() -> None:
    lift = Lifter(small(), Normaliser(height=1.7))
    given = clip(20)
    as_trained = lift(given, SIZE)
    np.testing.assert_allclose(lift(given, SIZE, height=1.7), as_trained, rtol=1e-6)
    np.testing.assert_allclose(lift(given, SIZE, height=3.4), 2 * as_trained, rtol=1e-6)
    with pytest.raises(InputError, match="true metres"):
        lifter()(given, SIZE, height=1.7)


def test_the_field_of_view_turns_poses_and_does_nothing_else() -> None:
    lift, given = lifter(kind="box", fps=50.0), np.add(clip(FRAMES), [150, -80])
    size = max(SIZE)
    assumed, wide = lift(given, SIZE), lift(given, SIZE, fov=90)
    assert np.abs(assumed - wide).max() > 0.01
    np.testing.assert_allclose(np.linalg.norm(assumed, axis=-1), np.linalg.norm(wide, axis=-1), atol=1e-5)
    np.testing.assert_allclose(lift(given, SIZE, fov=2 * np.degrees(np.arctan(0.5))), assumed, atol=1e-6)
    middle = Camera("", SIZE, (size / 2, size / 2), (SIZE[0] / 2, SIZE[1] / 2))
    np.testing.assert_allclose(lift(given, SIZE, fov=middle), wide, atol=1e-6)
    # A picture of which some was cut off on the left and at the top.
    cut = Camera("", SIZE, middle.focal, (middle.center[0] - 60, middle.center[1] - 40))
    np.testing.assert_allclose(lift(given - [60, 40], SIZE, fov=cut), wide, atol=1e-6)
    # The camera's file may be of larger pictures than the film.
    double = Camera("", (2 * SIZE[0], 2 * SIZE[1]), (size, size), SIZE)
    np.testing.assert_allclose(lift(given, SIZE, fov=double), wide, atol=1e-6)
    for kind in ("picture", "pixels"):  # these models are told where in the picture the person is
        assert np.array_equal(lifter(kind=kind)(given, SIZE, fov=90), lifter(kind=kind)(given, SIZE))


def spoiled(value: float) -> np.ndarray:
    pose = clip(9, channels=3)
    pose[4, 5, 1] = value
    return pose


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((0, 17, 2)), SIZE), "no frame"),
        ((np.zeros((5, 16, 2)), SIZE), r"shape \(5, 16, 2\)"),
        ((np.zeros((5, 17, 4)), SIZE), r"shape \(5, 17, 4\)"),
        ((np.zeros((17, 2)), SIZE), r"shape \(17, 2\)"),
        ((np.zeros((1, 5, 17, 2)), SIZE), "shape"),
        (([], SIZE), "shape"),
        (([[[1, 2]], [[1, 2], [3, 4]]], SIZE), "no array of numbers"),
        (("text", SIZE), "no array of numbers"),
        ((spoiled(np.nan), SIZE), r"nan in frame 4, joint 5 \(LKnee\)"),
        ((spoiled(-np.inf), SIZE), r"-inf in frame 4, joint 5 \(LKnee\)"),
        ((spoiled(1e300), SIZE), "not finite"),
        ((clip(9), (1000, 0)), "size is"),
        ((clip(9), (-1, 5)), "size is"),
        ((clip(9), (1000,)), "size is"),
        ((clip(9), (1000, 800, 3)), "size is"),
        ((clip(9), (1000, float("nan"))), "size is"),
        ((clip(9), ("1000", "800")), "size is"),
        ((clip(9), 1000), "size is"),
        ((clip(9), None), "size is"),
        ((clip(9), SIZE, 0), "fps is 0"),
        ((clip(9), SIZE, -50), "fps is -50"),
        ((clip(9), SIZE, float("inf")), "fps is inf"),
        ((clip(9), SIZE, float("nan")), "fps is nan"),
        ((clip(9), SIZE, None), "fps is None"),
        ((clip(9), SIZE, 50, 0), "height is 0"),
        ((clip(9), SIZE, 50, "tall"), "height is 'tall'"),
        ((clip(9), SIZE, 50, None, 9.9), r"field of view is 9\.9"),
        ((clip(9), SIZE, 50, None, 151), "field of view is 151"),
        ((clip(9), SIZE, 50, None, float("nan")), "field of view is nan"),
        ((clip(9), SIZE, 50, None, "60"), "field of view is '60'"),
        (
            (clip(9), SIZE, 50, None, Camera("c", (800, 1000), (900, 900), (400, 500))),
            "camera c has pictures of 800 x 1000",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_bad_input_is_one_sentence(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        lifter()(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"overlap": 1}, "overlap is 1"),
        ({"overlap": -0.1}, "overlap is -0.1"),
        ({"overlap": float("nan")}, "overlap is nan"),
        ({"device": "nowhere"}, "device is 'nowhere'"),
        ({"normaliser": Normaliser(in_channels=3)}, "reads 2 channels, its normaliser gives 3"),
        ({"model": create_model("mixste.mixste", **SMALL["mixste.mixste"], joints=16)}, "has 16 joints"),
    ],
)
def test_bad_options_are_one_sentence(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Lifter(**{"model": small(), "normaliser": Normaliser(), **options})
    assert "\n" not in str(caught.value)


def test_a_model_that_may_drop_the_centre_is_refused() -> None:
    model = PerFrame()
    model.plan = Hourglass(((0, 3),))
    with pytest.raises(InputError, match="centre frame"):
        Lifter(model, Normaliser())


def test_from_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lift, given = tmp_path / "a.pth", lifter(kind="box", fps=30.0), clip(20)
    save_checkpoint(path, lift.model, lift.normaliser)
    expected = lift(given, SIZE)
    assert np.array_equal(Lifter.from_checkpoint(path)(given, SIZE), expected)
    assert np.array_equal(Lifter.from_checkpoint(tmp_path, batch_size=3, flip=False)(given, SIZE).shape, expected.shape)
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    with pytest.raises(InputError, match=r"wild_h2ot_mhformer\.pth: no weights of mhformer\.h2ot_mhformer come along"):
        Lifter.from_checkpoint()
    path.rename(tmp_path / "wild_h2ot_mhformer.pth")
    assert np.array_equal(Lifter.from_checkpoint()(given, SIZE), expected)
    path = tmp_path / "a.pth"
    torch.save(lift.model.state_dict(), path)
    with pytest.raises(InputError, match=r"a\.pth: holds weights alone"):
        Lifter.from_checkpoint(path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """This repository as torch.hub finds one that it has fetched before: `list` and `help` know no source="local"."""
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    (tmp_path / "someone_hot_main").symlink_to(ROOT)
    torch.hub.set_dir(tmp_path)
    return "someone/hot:main"


def test_the_hub_lists_and_explains_every_model(hub: str) -> None:
    known = {"skip_validation": True, "trust_repo": True}
    names = torch.hub.list(hub, verbose=False, **known)
    assert sorted(names) == sorted([*(name.split(".")[1] for name in list_models()), "lifter"])
    for name in list_models():
        text = torch.hub.help(hub, name.split(".")[1], **known)
        for size, default in model_sizes(name).items():
            assert f"{size}={default}" in text
    assert "w. MixSTE" in torch.hub.help(hub, "hot_mixste", **known)
    assert "metres" in torch.hub.help(hub, "lifter", **known)


@pytest.mark.parametrize("name", SMALL)
def test_the_hub_loads_every_model(name: str) -> None:
    model = torch.hub.load(str(ROOT), name.split(".")[1], source="local", **SMALL[name])
    assert (model.name, model.sizes) == (name, create_model(name, **SMALL[name]).sizes)


def test_the_hub_says_what_is_wrong() -> None:
    with pytest.raises(InputError, match="no size 'depht'"):
        torch.hub.load(str(ROOT), "mixste", source="local", depht=3)


def test_the_hub_s_lifter_works_from_any_folder(tmp_path: Path) -> None:
    lift, given = lifter("motionagformer.hot_motionagformer", "box", 25.0), clip(20)
    save_checkpoint(tmp_path / "a.pth", lift.model, lift.normaliser)
    np.save(tmp_path / "given.npy", given)
    program = (
        "import numpy as np, torch\n"
        f"lift = torch.hub.load({str(ROOT)!r}, 'lifter', source='local', checkpoint='a.pth', batch_size=2)\n"
        f"np.save('pose.npy', lift(np.load('given.npy'), {SIZE}, fps=50))\n"
    )
    subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, check=True)
    np.testing.assert_allclose(np.load(tmp_path / "pose.npy"), lift(given, SIZE, 50), atol=1e-5)
