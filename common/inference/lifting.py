"""2D keypoints of a whole clip -> 3D poses, with any registered model: frame rate, windows, flipping and blending in
one place.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from common.errors import InputError
from common.geometry.camera import Camera, camera_for, camera_of_view
from common.geometry.normalise import FOCAL, Normaliser
from common.geometry.skeleton import H36M
from common.geometry.windows import catmull_rom, window_bounds
from common.inference.checkpoint import load_weights, read_checkpoint, shipped_checkpoint
from common.inference.export import exported
from common.inference.predict import all_frames, centre_rows, predict
from model import PoseTransformer, Prediction, create_model
from model.pruning import gather_frames

SAME_RATE = 0.01
"""Frame rates that differ by no more than this share are taken to be the same."""


@dataclass(frozen=True)
class Lifter:
    """A model with its normaliser, applied to whole clips.

    device: where it runs; the model is moved there. batch_size: windows at a time; it bounds the memory and changes but
    the rounding. overlap: the share of a window (0 <= overlap < 1) that the next one sees again; the two are blended
    there. It is without effect for a model whose windows give their centre frame only: it gets one window per frame.
    flip: the mean of a plain and a mirrored pass, which takes twice the time. backend: torch, onnxruntime or openvino:
    what runs the model, as its weights are now; the last two are for a CPU, and the model is exported for them first,
    which takes a while.

    Raises InputError where the model and the normaliser do not go together or a number is out of its range.
    """

    model: PoseTransformer
    normaliser: Normaliser
    device: torch.device | str = "cpu"
    batch_size: int = 8
    overlap: float = 0.5
    flip: bool = True
    backend: str = "torch"

    def __post_init__(self) -> None:
        model, channels = self.model, self.normaliser.in_channels
        if model.joints != H36M.joints:
            raise InputError(
                f"the model has {model.joints} joints; lifting is for the {H36M.joints} of Human3.6M, use a model of "
                "these"
            )
        if model.in_channels != channels:
            raise InputError(
                f"the model reads {model.in_channels} channels, its normaliser gives {channels}; use the one of its "
                "training"
            )
        if self.centre_only and model.plan.stages and model.frames // 2 not in model.plan.always:
            raise InputError(
                "the model may drop the centre frame of a window and does not recover it; use a plan that always "
                "keeps it"
            )
        if self.batch_size < 1:
            raise InputError(f"batch_size is {self.batch_size}; it must be 1 or more")
        if not 0 <= self.overlap < 1:
            raise InputError(f"overlap is {self.overlap}; it must be 0 or more and less than 1")
        try:
            model.to(torch.device(self.device))
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"device is {str(self.device)!r}, which cannot be used here ({reason}); use cpu"
            ) from error
        if self.backend != "torch" and torch.device(self.device).type != "cpu":
            raise InputError(
                f"backend is {self.backend!r}, which runs on the CPU here; use device cpu, or backend torch"
            )
        self._predict  # noqa: B018  (a backend that cannot be used is told now)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path | None = None, device: torch.device | str = "cpu", **options: Any
    ) -> Lifter:
        """The model of a checkpoint file, or of a folder of them; None: the weights that come with this repository.

        options: batch_size, overlap, flip, backend. Raises InputError where the file is not there, damaged, or does not
        say what model it holds and how that reads its 2D.
        """
        checkpoint = read_checkpoint(shipped_checkpoint() if path is None else path)
        if checkpoint.name is None or checkpoint.sizes is None or checkpoint.normaliser is None:
            raise InputError(
                f"{checkpoint.path}: holds weights alone, not which model they are of; give a file that the training "
                "wrote"
            )
        model = create_model(checkpoint.name, **checkpoint.sizes)
        load_weights(model, checkpoint)
        return cls(model, checkpoint.normaliser, device, **options)

    @functools.cached_property
    def _predict(self) -> Callable[[Tensor], Prediction]:
        """Normalised 2D (B, F, J, in_channels) -> Prediction."""
        mirrored = H36M.mirrored if self.flip else None
        if self.backend != "torch":
            return exported(self.model, self.backend, mirrored)
        return functools.partial(predict, self.model, mirrored=mirrored)

    @property
    def centre_only(self) -> bool:
        """Whether a window counts for its centre frame alone: models that give poses of kept frames, or are
        scored so.
        """
        return self.model.centre_only or self.model.plan.kept_only

    def __call__(
        self,
        pose_2d: ArrayLike | Tensor,
        size: tuple[float, float],
        fps: float = 50.0,
        height: float | None = None,
        fov: float | Camera | None = None,
    ) -> np.ndarray:
        """Lift a clip: (T, 17, 2 or 3) -> (T, 17, 3) float32.

        pose_2d: the Human3.6M joints (`skeleton.H36M`) of one person, any T >= 1; x and y in pixels (x right, y down)
        and the detector's score, <= 0 where a joint was not found, 1 for all where it is left out. size: (width,
        height) of the picture in pixels. fps: frames per second of the clip. height: how tall the person is in metres,
        along the bones from ankle to crown; None: as the normaliser says. fov: what the camera sees over the larger
        side of the picture, degrees; or the camera, of which focal length and centre count; None: the normaliser's
        assumption, 53 degrees. It turns the poses from the line of sight to the camera's axes, and is without effect
        for a normaliser that is told the place in the picture (`Normaliser.turn`).

        Returns metres in camera axes (x right, y down, z forward), relative to joint 0, which is exactly 0. The same
        input gives the same output; the model is left in the mode (training or not) that it was in.

        Raises InputError for input that cannot be lifted.
        """
        clip = _read_clip(pose_2d)  # (T, J, 3)
        size = _read_size(size)
        if not (_is_number(fps) and 1 <= fps < math.inf):
            raise InputError(f"fps is {fps!r}; it must be the clip's frames per second, a number of 1 or more")
        scale, lens = self._scale(height), _read_lens(fov, size)
        frames = len(clip)
        resampled = abs(fps / self.normaliser.fps - 1) > SAME_RATE
        if resampled and frames > 1:
            # At least two, so that what moves is seen to move; the ends stay where they are and the rate gives way a
            # little.
            clip = resample_2d(clip, max(2, round((frames - 1) * self.normaliser.fps / fps) + 1))
        pose = self._lift(clip, size, lens)  # (N, J, 3)
        if resampled:
            pose = resample_3d(pose, frames)
        pose = (pose * scale).astype(np.float32)
        pose[:, 0] = 0  # as in the evaluation: the root's own output is left out, not subtracted
        return pose

    def _scale(self, height: float | None) -> float:
        if height is None:
            return 1.0
        if not (_is_number(height) and 0 < height < math.inf):
            raise InputError(f"height is {height!r}; it must be a number of metres above 0")
        if self.normaliser.height is None:
            raise InputError(
                "height is given, but this model's output is in true metres of no fixed height; leave height out"
            )
        return height / self.normaliser.height

    def window_starts(self, length: int) -> np.ndarray:
        """The first frame of every window over `length` frames (N,); negative where the first frame is repeated before
        the clip.
        """
        frames = self.model.frames
        if self.centre_only:
            return window_bounds(length, frames, 1)[:, 0]
        if length <= frames:
            return window_bounds(length, frames, frames)[:, 0]
        step = max(1, round(frames * (1 - self.overlap)))
        count = math.ceil((length - frames) / step) + 1
        return np.rint(np.linspace(0, length - frames, count)).astype(np.int64)

    def _lift(
        self, clip: np.ndarray, size: tuple[float, float], lens: tuple[float, tuple[float, float] | None]
    ) -> np.ndarray:
        """A clip (N, J, 3), pixels and score, at the model's frame rate -> poses (N, J, 3) metres, float64.

        lens: focal length and centre as `Normaliser.turn` takes them.
        """
        length, frames, centre = len(clip), self.model.frames, self.model.frames // 2
        weight = (
            np.sin(np.pi * (np.arange(frames) + 0.5) / frames) ** 2
        )  # (F,), above 0; opens and closes without a step
        total, weights = np.zeros((length, self.model.joints, 3)), np.zeros((length, 1, 1))
        starts = self.window_starts(length)
        with torch.inference_mode(), _evaluating(self.model):
            for first in range(0, len(starts), self.batch_size):
                start = starts[first : first + self.batch_size]  # (B,)
                rows = np.clip(start[:, None] + np.arange(frames), 0, length - 1)  # (B, F): edges repeat the edge frame
                windows = clip[rows]  # (B, F, J, 3)
                normalised = torch.from_numpy(self.normaliser.apply(windows, size)).to(
                    self.device
                )  # (B, F, J, in_channels)
                turn = self.normaliser.turn(windows, size, *lens)[:, None]  # (B, 1, 3, 3)
                prediction = self._predict(normalised)
                pose = prediction.pose
                if self.centre_only:
                    pose = gather_frames(pose, centre_rows(all_frames(prediction, frames), centre))  # (B, 1, J, 3)
                metres = pose.cpu().double().numpy()
                if not np.isfinite(metres).all():
                    raise InputError(
                        "the poses that the model gives are not finite; use other weights, and keypoints in pixels"
                    )
                metres = metres @ turn.mT  # from the line of sight to the camera's axes
                if self.centre_only:
                    total[start + centre], weights[start + centre] = metres[:, 0], 1
                    continue
                for begin, window in zip(start.tolist(), metres, strict=True):
                    low, high = max(0, -begin), min(frames, length - begin)  # the frames of the window that are real
                    share = weight[low:high, None, None]
                    total[begin + low : begin + high] += share * window[low:high]
                    weights[begin + low : begin + high] += share
        return total / weights


def resample_2d(clip: np.ndarray, count: int) -> np.ndarray:
    """Pixels and score (T, J, 3) -> (count, J, 3), count >= 2, over the same time: linear between frames, or, towards
    fewer frames, the mean under a triangle of as many frames as fall together, so that noise does not alias.

    A joint whose score is 0 in a frame takes no part in the mean, unless no frame around has it.
    """
    last = len(clip) - 1
    centre = np.linspace(0, last, count)  # (count,) frames of the clip
    # Narrower at the ends, where it must stay symmetric: a lopsided mean would hold the motion back.
    width = np.minimum(max(1, last / (count - 1)), 1 + np.minimum(centre, last - centre))  # (count,)
    there = (clip[..., 2:] > 0).astype(np.float64)  # (T, J, 1)
    parts = np.concatenate([clip[..., :2], clip * there, there], axis=-1)  # (T, J, 6)
    total, weights = np.zeros((count, *parts.shape[1:])), np.zeros((count, 1, 1))
    reach = math.ceil(width.max())
    for offset in range(-reach, reach + 1):
        frame = np.rint(centre).astype(np.int64) + offset  # (count,)
        weight = np.maximum(0, 1 - np.abs(frame - centre) / width) * ((frame >= 0) & (frame <= last))  # (count,)
        total += weight[:, None, None] * parts[np.clip(frame, 0, last)]
        weights += weight[:, None, None]
    total /= weights
    plain, found, score, share = np.split(total, (2, 4, 5), axis=-1)  # share: how much of the mean has the joint
    some = share > 1e-6  # less is the rounding of frame times
    return np.concatenate([np.where(some, found / np.where(some, share, 1), plain), np.where(some, score, 0)], axis=-1)


def resample_3d(pose: np.ndarray, count: int) -> np.ndarray:
    """Poses (N, J, 3) -> (count, J, 3) over the same time, by a cubic through every pose (Catmull-Rom) without a
    kink.
    """
    if len(pose) == 1:
        return np.repeat(pose, count, axis=0)
    position = np.linspace(0, len(pose) - 1, count)  # (count,)
    knot = np.minimum(position.astype(np.int64), len(pose) - 2)  # (count,)
    ends = 2 * pose[[0, -1]] - pose[[1, -2]]  # (2, J, 3): the motion goes straight on
    padded = np.concatenate([ends[:1], pose, ends[1:]])  # (N + 2, J, 3)
    return sum(
        weight * padded[knot + step] for step, weight in enumerate(catmull_rom((position - knot)[:, None, None]))
    )  # (count, J, 3)


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode, and every module back afterwards, whatever happens."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _read_clip(pose_2d: ArrayLike | Tensor) -> np.ndarray:
    """What the user gave -> (T, J, 3) float64, pixels and score >= 0. Raises InputError where it is something else."""
    if isinstance(pose_2d, Tensor):
        pose_2d = pose_2d.detach().cpu().double().numpy()
    try:
        clip = np.array(pose_2d, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"pose_2d is no array of numbers ({error}); give (frames, {H36M.joints}, 2 or 3)") from error
    if clip.ndim != 3 or clip.shape[1] != H36M.joints or clip.shape[2] not in (2, 3):
        raise InputError(
            f"pose_2d has the shape {clip.shape}; it must be (frames, {H36M.joints}, 2 or 3): x, y and score in pixels"
        )
    if len(clip) == 0:
        raise InputError("pose_2d has no frame; give one or more")
    broken = np.argwhere(~np.isfinite(clip))
    if len(broken):
        frame, joint, axis = broken[0]
        raise InputError(
            f"pose_2d is {clip[frame, joint, axis]} in frame {frame}, joint {joint} ({H36M.names[joint]}); fill it in "
            "from the frames around it, with score 0"
        )
    if clip.shape[2] == 2:
        return np.concatenate([clip, np.ones_like(clip[..., :1])], axis=-1)
    clip[..., 2] = np.maximum(clip[..., 2], 0)
    return clip


def _read_size(size: Sequence[float]) -> tuple[float, float]:
    numbers = tuple(size) if isinstance(size, Sequence | np.ndarray) else ()
    if len(numbers) != 2 or not all(_is_number(side) and 0 < side < math.inf for side in numbers):
        raise InputError(f"size is {size!r}; it must be (width, height) of the picture in pixels, two numbers above 0")
    return float(numbers[0]), float(numbers[1])


def _read_lens(fov: float | Camera | None, size: tuple[float, float]) -> tuple[float, tuple[float, float] | None]:
    """The focal length in larger sides of the picture, and where the axis meets it in pixels (None: in the middle)."""
    if fov is None:
        return FOCAL, None
    camera = camera_for(fov, size) if isinstance(fov, Camera) else camera_of_view(fov, size)
    return sum(camera.focal) / 2 / max(size), camera.center


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
