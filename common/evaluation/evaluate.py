"""Scores of a model: on windows, as the published code takes them, and on whole clips that are lifted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from common.data.pose_dataset import Batch, PoseDataset
from common.data.sequences import PoseSequence
from common.errors import InputError
from common.evaluation.metrics import ErrorTable, auc, change_error, change_rows, mpjpe, n_mpjpe, p_mpjpe, pck
from common.inference.compute import Compute
from common.inference.lifting import Lifter
from common.inference.predict import all_frames, centre_rows, predict, root_relative
from model import PoseTransformer
from model.pruning import gather_frames


@dataclass(frozen=True)
class Scores:
    """What an evaluation found; everything in mm (velocity mm / frame, acceleration mm / frame^2), PCK and AUC in per
    cent; None where undefined.

    published: the protocol of the published code, by windows. once: every real frame counted exactly once. Both hold
    tables by metric name, and are the same where whole clips were lifted. scored: what the published columns are made
    of. mean: what the means are taken over.
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
    actions = {
        action: {name: table.actions.get(action) for name, table in tables.items()} | n for action, n in counts.items()
    }
    return {"actions": actions, **{name: table.mean for name, table in tables.items()}}


POSITION_ERRORS = {"mpjpe": mpjpe, "p_mpjpe": p_mpjpe, "n_mpjpe": n_mpjpe}
JOINT_SHARES = {"pck": pck, "auc": auc}
CHANGE_ERRORS = {"mpjve": 1, "acceleration": 2}


def _position_tables(actions: Sequence[str], pooled: bool, pck_joints: Sequence[int]) -> dict[str, ErrorTable]:
    """An empty table for each of what `_position_scores` gives, by its name."""
    errors = {name: ErrorTable(actions, pooled) for name in POSITION_ERRORS}
    return errors | {name: ErrorTable(actions, pooled, unit=100) for name in JOINT_SHARES if pck_joints}


def _position_scores(pose: Tensor, target: Tensor, pck_joints: Sequence[int]) -> dict[str, Tensor]:
    """Errors in metres, and where joints are named for them PCK and AUC as shares, of poses (..., J, 3) -> (...)
    each.
    """
    errors = {name: error(pose, target) for name, error in POSITION_ERRORS.items()}
    pose, target = pose[..., list(pck_joints), :], target[..., list(pck_joints), :]  # (..., P, 3)
    return errors | {name: share(pose, target) for name, share in JOINT_SHARES.items() if pck_joints}


@torch.inference_mode()
def evaluate(
    model: PoseTransformer,
    dataset: PoseDataset,
    batches: Iterable[Batch],
    compute: Compute,
    *,
    flip_test: bool,
    centre_only: bool,
    pooled: bool = False,
    pck_joints: Sequence[int] = (),
) -> Scores:
    """Score `model` on the windows of `dataset`, which `batches` brings in order.

    centre_only: the centre frame of each window is scored (stride 1); otherwise all frames that have a pose, as
    published with the repeated edge frames. pooled: means over all windows or frames instead of over the actions.
    pck_joints: the joints of PCK and AUC; without any, these are not taken. Errors are taken in float64 on the CPU.
    """
    started = time.perf_counter()
    model.eval()
    names = sorted(set(dataset.actions))
    action_of = torch.tensor([names.index(action) for action in dataset.actions])  # (S,)
    published, once = (_position_tables(names, pooled, pck_joints) for _ in range(2))
    once |= {name: ErrorTable(names, pooled) for name in CHANGE_ERRORS}
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
            raise InputError(
                "the poses that the model gives are not finite; lower --lr where it is trained, or use other weights "
                "or fp32"
            )
        pose[..., 0, :] = 0
        target = gather_frames(root_relative(batch.pose_3d).double(), frames)  # (B, K, J, 3)
        number = batch.start[:, None] + frames  # (B, K) frame of the sequence
        real = dataset.scored(batch.sequence, number)  # (B, K)
        sequence = batch.sequence[:, None].expand_as(number)  # (B, K)
        for name, errors in _position_scores(pose, target, pck_joints).items():  # (B, K) each
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
    return Scores(published, once, scored, time.perf_counter() - started, _mean_of(pooled))


def evaluate_lifting(
    lifter: Lifter,
    sequences: Sequence[PoseSequence],
    clips: Iterable[PoseSequence],
    pooled: bool,
    pck_joints: Sequence[int] = (),
) -> Scores:
    """Score a lifter on whole sequences: every valid frame once, against the true metres of each person.

    clips: the sequences again, as a progress bar brings them. pooled: means over all frames instead of over the
    actions. pck_joints: as `evaluate` takes them.
    """
    started = time.perf_counter()
    names = sorted({sequence.action for sequence in sequences})
    tables = _position_tables(names, pooled, pck_joints) | {name: ErrorTable(names, pooled) for name in CHANGE_ERRORS}
    for sequence in clips:
        pose = torch.from_numpy(lifter(sequence.pose_2d, sequence.size, sequence.fps)).double()  # (L, J, 3)
        target = root_relative(torch.from_numpy(sequence.pose_3d).double())
        valid = torch.ones(len(pose), dtype=torch.bool)
        if sequence.valid is not None:
            valid = torch.from_numpy(sequence.valid)
        found = _position_scores(pose[valid], target[valid], pck_joints)  # (V,) each
        for name, order in CHANGE_ERRORS.items():
            rows = change_rows(valid[1:] & valid[:-1], order)  # (L - order,)
            found[name] = change_error(pose, target, rows, order)
        for name, errors in found.items():
            tables[name].add(torch.full((len(errors),), names.index(sequence.action)), errors)
    seconds = time.perf_counter() - started
    return Scores(tables, tables, "whole clips, overlapping windows blended", seconds, _mean_of(pooled))


def _mean_of(pooled: bool) -> str:
    return "all frames" if pooled else "actions"
