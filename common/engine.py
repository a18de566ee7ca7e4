"""One training epoch, prediction with test-time flipping, and evaluation: the same for every model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from common.augment import flip
from common.compute import Compute
from common.errors import InputError
from common.metrics import ErrorTable, change_error, change_rows, mpjpe, n_mpjpe, p_mpjpe
from common.pose_dataset import Batch, PoseDataset
from common.recipes import Recipe
from common.schema import MOST_METRES
from model import PoseTransformer, Prediction
from model.pruning import gather_frames

if TYPE_CHECKING:
    from common.wild.dataset import WildBatch


def root_relative(pose: Tensor) -> Tensor:
    """Poses (..., J, 3) with joint 0 moved to the origin."""
    return pose - pose[..., :1, :]


def centre_rows(frames: Tensor, centre: int) -> Tensor:
    """The row of each sample that holds frame `centre`: frames (B, K) -> (B, 1)."""
    return (frames == centre).int().argmax(dim=1, keepdim=True)


def all_frames(prediction: Prediction, frames: int) -> Tensor:
    """The frame numbers (B, K) of the rows of a prediction."""
    if prediction.frames is not None:
        return prediction.frames
    return torch.arange(frames, device=prediction.pose.device).expand(len(prediction.pose), -1)


def train_one_epoch(
    model: PoseTransformer,
    batches: Iterable[Batch | WildBatch],
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    compute: Compute,
    scaler: torch.amp.GradScaler,
    centre_only: bool,
    after_step: Callable[[float, int], None],
    before_step: Callable[[], None] = lambda: None,
) -> None:
    """Train on every batch. after_step(loss, windows) is called when a batch is done and the weights are consistent,
    before_step() before the weights of a batch are touched.

    Raises InputError where the loss is not finite, before the weights are touched.
    """
    model.train()
    if not recipe.batch_norm:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.eval()
    for batch in batches:
        target = root_relative(batch.pose_3d).to(compute.device, non_blocking=True)
        with compute.autocast():
            prediction = model(batch.pose_2d.to(compute.device, non_blocking=True))
        pose = prediction.pose.float()
        frames = all_frames(prediction, target.shape[1])
        if centre_only:
            rows = centre_rows(frames, target.shape[1] // 2)
            pose, frames = gather_frames(pose, rows), frames.gather(1, rows)  # (B, 1, J, 3), (B, 1)
        loss = recipe.loss(pose, gather_frames(target, frames))
        value = loss.item()
        if not np.isfinite(value):
            raise InputError(_why_not_finite(value, batch))
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        if recipe.clip is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        before_step()
        scaler.step(optimizer)
        scaler.update()
        after_step(value, len(pose))


def _why_not_finite(loss: float, batch: Batch | WildBatch) -> str:
    largest = batch.pose_3d.abs().amax(dim=(1, 2, 3))  # (B,)
    absurd = torch.nonzero(~(largest <= MOST_METRES))  # (number of absurd windows, 1); NaN is absurd too
    if not len(absurd):
        return f"the loss became {loss}; lower --lr, or use --precision fp32, and go on from the last checkpoint with --resume"
    window = int(absurd[0])
    return (
        f"the loss became {loss}: the window of sequence {int(batch.sequence[window])} that begins at frame {int(batch.start[window])} "
        f"holds a 3D coordinate of {largest[window]:.3g} m; repair the training data"
    )


def predict(model: nn.Module, pose_2d: Tensor, mirrored: tuple[int, ...] | None) -> Prediction:
    """Poses (B, F or K, J, 3) of normalised 2D (B, F, J, channels).

    mirrored (`Skeleton.mirrored`): test-time augmentation, the mean of the plain and the mirrored pass. Where poses of kept
    frames come out, the mirrored pass keeps the frames of the plain one; where all come out, it selects anew.
    """
    plain = model(pose_2d)
    if mirrored is None:
        return plain
    mirror = model(flip(pose_2d, mirrored), kept=None if plain.frames is None else plain.kept)
    return plain._replace(pose=(plain.pose + flip(mirror.pose, mirrored)) / 2)


@dataclass(frozen=True)
class Scores:
    """What an evaluation found; everything in mm (velocity mm / frame, acceleration mm / frame^2), None where undefined.

    published: the protocol of the published code, by windows. once: every real frame counted exactly once. Both hold tables by
    metric name, and are the same where whole clips were lifted. scored: what the published columns are made of. mean: what the
    means are taken over.
    """

    published: dict[str, ErrorTable]
    once: dict[str, ErrorTable]
    scored: str
    seconds: float
    mean: str = "actions"

    def as_dict(self) -> dict[str, object]:
        """The layout of --results: per action and mean, windows counted, and the same under each_frame_once."""
        about = {"scored": self.scored, "seconds": round(self.seconds, 3)}
        frames = self.once["mpjpe"].counts
        if self.published is self.once:
            return {**_table_dict(self.once, {action: {"frames": n} for action, n in frames.items()}), **about}
        windows = {action: {"windows": n} for action, n in self.published["mpjpe"].counts.items()}
        both = {action: {**counts, "frames": frames.get(action, 0)} for action, counts in windows.items()}
        return {**_table_dict(self.published, windows), "each_frame_once": _table_dict(self.once, both), **about}


def _table_dict(tables: dict[str, ErrorTable], counts: dict[str, dict[str, int]]) -> dict:
    actions = {action: {name: table.actions.get(action) for name, table in tables.items()} | n for action, n in counts.items()}
    return {"actions": actions, **{name: table.mean for name, table in tables.items()}}


POSITION_ERRORS = {"mpjpe": mpjpe, "p_mpjpe": p_mpjpe, "n_mpjpe": n_mpjpe}
CHANGE_ERRORS = {"mpjve": 1, "acceleration": 2}


@torch.inference_mode()
def evaluate(
    model: PoseTransformer,
    dataset: PoseDataset,
    batches: Iterable[Batch],
    compute: Compute,
    *,
    flip_test: bool,
    centre_only: bool,
) -> Scores:
    """Score `model` on the windows of `dataset`, which `batches` brings in order.

    centre_only: the centre frame of each window is scored (stride 1); otherwise all frames that have a pose, as published with
    the repeated edge frames. Errors are taken in float64 on the CPU.
    """
    started = time.perf_counter()
    model.eval()
    names = sorted(set(dataset.actions))
    action_of = torch.tensor([names.index(action) for action in dataset.actions])  # (S,)
    length = torch.from_numpy(dataset.length)
    published = {name: ErrorTable(names) for name in POSITION_ERRORS}
    once = {name: ErrorTable(names) for name in (*POSITION_ERRORS, *CHANGE_ERRORS)}
    poses, targets, sequences, numbers = [], [], [], []
    scored = "centre frame of each window" if centre_only else "all frames of each window, repeated edges included"
    for batch in batches:
        with compute.autocast():
            prediction = predict(model, batch.pose_2d.to(compute.device), dataset.mirrored if flip_test else None)
        frames = all_frames(prediction, dataset.frames)
        pose = prediction.pose
        if centre_only:
            rows = centre_rows(frames, dataset.frames // 2)
            pose, frames = gather_frames(pose, rows), frames.gather(1, rows)  # (B, 1, J, 3), (B, 1)
        elif prediction.frames is not None:
            scored = "kept frames of each window, repeated edges included"
        frames = frames.cpu()
        pose = pose.cpu().double()
        if not pose.isfinite().all():
            raise InputError("the poses that the model gives are not finite; lower --lr where it is trained, or use other weights or fp32")
        pose[..., 0, :] = 0
        target = gather_frames(root_relative(batch.pose_3d).double(), frames)  # (B, K, J, 3)
        number = batch.start[:, None] + frames  # (B, K) frame of the sequence
        real = (number >= 0) & (number < length[batch.sequence, None])  # (B, K)
        sequence = batch.sequence[:, None].expand_as(number)  # (B, K)
        for name, error in POSITION_ERRORS.items():
            errors = error(pose, target)  # (B, K)
            published[name].add(action_of[batch.sequence], errors.mean(dim=1))
            once[name].add(action_of[sequence[real]], errors[real])
        poses.append(pose[real].float())
        targets.append(target[real].float())
        sequences.append(sequence[real])
        numbers.append(number[real])
    pose, target, sequence, number = (torch.cat(parts) for parts in (poses, targets, sequences, numbers))  # (N, ...)
    consecutive = (sequence.diff() == 0) & (number.diff() == 1)  # (N - 1,)
    for name, order in CHANGE_ERRORS.items():
        rows = change_rows(consecutive, order)  # (N - order,)
        once[name].add(action_of[sequence][order:][rows], change_error(pose, target, rows, order))
    return Scores(published, once, scored, time.perf_counter() - started)
