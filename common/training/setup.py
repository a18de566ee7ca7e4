"""What a run is made of, from its settings: the model, how 2D is normalised, training and test data.

Each function raises InputError where the flags, a checkpoint and the data do not go together.
"""

from __future__ import annotations

from pathlib import Path

import torch

from common.data.datasets import Data, read_sequences
from common.data.pose_dataset import PoseDataset
from common.data.world_motion import read_world_motion, split_of
from common.errors import InputError
from common.geometry.normalise import Normaliser
from common.geometry.skeleton import H36M
from common.inference.checkpoint import Checkpoint, load_weights, read_checkpoint, shipped_checkpoint, sizes_with
from common.inference.compute import Compute
from common.training.recipes import Recipe
from common.training.settings import Settings
from common.wild import Wild, WildDataset
from model import PoseTransformer, create_model, model_sizes


def first_weights(settings: Settings, recipe: Recipe) -> Checkpoint | None:
    """The checkpoint that a new run starts from, or that is tested; None: a model that starts afresh."""
    path = settings.previous_dir
    if settings.test and not path:
        if settings.dataset != "wild" and recipe.normaliser is None:
            raise InputError("--test needs weights; give --previous_dir with a .pth file or the folder of one")
        path = str(shipped_checkpoint(settings.model or settings.default_model))
    return read_checkpoint(path) if path else None


def make_model(settings: Settings, recipe: Recipe, checkpoint: Checkpoint | None, compute: Compute) -> PoseTransformer:
    """The model on its device, with the weights of the checkpoint, or else with those that --seed gives."""
    torch.manual_seed(settings.seed)
    model = build_model(settings, checkpoint, recipe.normaliser.in_channels if recipe.normaliser else None)
    if checkpoint:
        load_weights(model, checkpoint, settings.allow_unexpected)
        print(f"weights: {checkpoint.path}")
    return model.to(compute.device)


def build_model(settings: Settings, checkpoint: Checkpoint | None, in_channels: int | None = None) -> PoseTransformer:
    """The model that the flags name; what they leave open comes from the checkpoint, then from the variant itself.

    in_channels: in place of the variant's own, for a model that starts afresh.
    """
    name = settings.model or (checkpoint.name if checkpoint else None) or settings.default_model
    sizes, known = dict(settings.sizes), model_sizes(name)
    if (joints := _joints(settings)) is not None and "joints" in known:
        sizes["joints"] = joints
    if in_channels is not None and checkpoint is None and "in_channels" in known:
        sizes["in_channels"] = in_channels
    if checkpoint:
        sizes = sizes_with(checkpoint, name, sizes)
    model = create_model(name, **sizes)
    if settings.n_joints not in (None, model.joints):
        raise InputError(f"--n_joints is {settings.n_joints}, but {name} is for {model.joints} joints; leave it out")
    if settings.out_joints not in (None, model.joints):
        raise InputError(
            f"--out_joints is {settings.out_joints}, but the input has {model.joints} joints; they must be the same"
        )
    if in_channels not in (None, model.in_channels) and checkpoint is None:
        raise InputError(
            f"--recipe {settings.recipe} gives {in_channels} numbers for a joint, but {name} takes "
            f"{model.in_channels}; let its builder have the size in_channels"
        )
    return model


def _joints(settings: Settings) -> int | None:
    """The joints that --n_joints or --keypoints say."""
    return 16 if settings.n_joints is None and settings.keypoints.startswith(("sh", "hr")) else settings.n_joints


def choose_normaliser(
    settings: Settings, recipe: Recipe, model: PoseTransformer, checkpoint: Checkpoint | None, data: Data
) -> Normaliser:
    """That of the checkpoint, of the recipe, or what --crop_uv says."""
    fps = data.sequences[0].fps / settings.downsample
    own = Normaliser("pixels" if settings.crop_uv else "picture", model.in_channels, fps)
    normaliser = (checkpoint and checkpoint.normaliser) or recipe.normaliser or own
    if normaliser.kind != own.kind and (settings.crop_uv or not normaliser.per_window):
        where = checkpoint.path if checkpoint else f"--recipe {recipe.name}"
        raise InputError(
            f"{where}: wants 2D in {normaliser.kind} units, but --crop_uv is {settings.crop_uv}; leave it out or "
            "change it"
        )
    if checkpoint and recipe.normaliser and normaliser != recipe.normaliser and not settings.test:
        raise InputError(
            f"{checkpoint.path}: its weights read 2D otherwise than --recipe {recipe.name} gives it; leave one of both "
            "out"
        )
    return normaliser if normaliser.per_window else own


def read_data(settings: Settings, split: str, model: PoseTransformer) -> Data:
    """One split, "train" or "test", of --dataset."""
    data = read_sequences(settings.dataset, settings.root_path, settings.keypoints, split, settings.actions)
    if data.skeleton.joints != model.joints:
        raise InputError(
            f"--keypoints {settings.keypoints} have {data.skeleton.joints} joints, but the model has {model.joints}; "
            "see --n_joints"
        )
    return data


def windows_to_test(
    settings: Settings, data: Data, model: PoseTransformer, normaliser: Normaliser
) -> PoseDataset | None:
    """The windows that are tested; None: whole clips are lifted, for --dataset wild and in-the-wild weights."""
    if settings.dataset == "wild" or normaliser.per_window:
        if settings.subset != 1 or settings.downsample != 1:
            raise InputError(
                "--subset and --downsample are not for a test on whole clips (--dataset wild, or in-the-wild weights)"
            )
        return None
    return _windows(settings, data, model, normaliser, 1 if settings.stride == 1 or data.centred else model.frames)


def windows_to_train(
    settings: Settings,
    recipe: Recipe,
    model: PoseTransformer,
    normaliser: Normaliser,
    checkpoint: Checkpoint | None,
    test_data: Data,
    compute: Compute,
) -> PoseDataset | WildDataset:
    """What is trained on: windows of --dataset, or for in-the-wild recipes windows of --motion that are drawn anew."""
    if recipe.normaliser:
        return _wild_windows(settings, test_data, model, normaliser, compute.device)
    if normaliser.per_window:
        assert checkpoint is not None  # nothing else has brought such a normaliser
        raise InputError(f"{checkpoint.path}: in-the-wild weights are trained further with --recipe wild; add it")
    augment = settings.data_augmentation, settings.reverse_augmentation
    return _windows(settings, read_data(settings, "train", model), model, normaliser, settings.stride, *augment)


def _windows(
    settings: Settings,
    data: Data,
    model: PoseTransformer,
    normaliser: Normaliser,
    stride: int,
    flipped: bool = False,
    backwards: bool = False,
) -> PoseDataset:
    return PoseDataset(
        data.sequences,
        data.skeleton,
        normaliser,
        model.frames,
        stride,
        flipped=flipped,
        reversed_=backwards,
        subset=settings.subset,
        downsample=settings.downsample,
        consume=True,
    )


def _wild_windows(
    settings: Settings, test_data: Data, model: PoseTransformer, normaliser: Normaliser, device: torch.device
) -> WildDataset:
    if model.joints != H36M.joints:
        raise InputError(f"--recipe wild is for {H36M.joints} joints, but the model has {model.joints}; see --n_joints")
    path = Path(settings.root_path) / f"motion_{settings.motion}.npz"
    clips, fps, source = read_world_motion(path, "train")
    if settings.actions != "*":  # people whose actions are not asked for are test people all the same
        test_data = read_sequences(settings.dataset, settings.root_path, settings.keypoints, "test")
    both = sorted({clip.subject for clip in clips} & {sequence.subject for sequence in test_data.sequences})
    if both:
        raise InputError(
            f"{path}: subject {', '.join(both)} would be trained on and is in the test set of --dataset "
            f"{settings.dataset}"
        )
    kept = sorted({clip.name for clip in clips if split_of(clip.name, clip.subject) == "test"})
    if kept:
        raise InputError(
            f"{path}: clip {kept[0]} would be trained on, but its person or collection is kept for testing "
            "(HELD_OUT in common/data/world_motion.py); give it the split test, or people of your own other names"
        )
    print(f"training motion: {len(clips)} clips, {sum(map(len, clips)) / fps / 60:.1f} minutes. {source}")
    wild = Wild().without(name for name in settings.without.split(",") if name)
    drawn_on = device if device.type == "cuda" and settings.workers == 0 else torch.device("cpu")
    return WildDataset(clips, fps, normaliser, model.frames, settings.stride, settings.seed, wild, drawn_on)
