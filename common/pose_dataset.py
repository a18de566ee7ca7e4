"""Windows of sequences as batches of tensors: composition only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from common.augment import VERSIONS, flip
from common.errors import InputError
from common.normalise import Normaliser
from common.sequences import PoseSequence
from common.skeleton import Skeleton
from common.windows import subsample, window_bounds


class Batch(NamedTuple):
    """pose_2d (B, F, J, in_channels) normalised; pose_3d (B, F, J, 3) metres, camera space; which sequence and first frame (B,)."""

    pose_2d: Tensor
    pose_3d: Tensor
    sequence: Tensor
    start: Tensor


class PoseDataset(Dataset):
    """Every window of every sequence, in every version that augmentation asks for; indexed by arrays of item numbers.

    The frames of all sequences, and where mirror images are asked for those too, stand in one array each, and a batch is one
    gather from it: no item copies or changes a sequence. Item numbers run over the windows of the first version, then of the next.
    """

    def __init__(
        self,
        sequences: Sequence[PoseSequence],
        skeleton: Skeleton,
        normaliser: Normaliser,
        frames: int,
        stride: int,
        *,
        flipped: bool = False,
        reversed_: bool = False,
        subset: float = 1.0,
        downsample: int = 1,
    ) -> None:
        cuts = [subsample(len(sequence), subset, downsample) for sequence in sequences]
        pairs = [(sequence, cut) for sequence, cut in zip(sequences, cuts, strict=True) if cut.stop > cut.start]
        if not pairs:
            raise InputError(f"no sequence has a frame left with --subset {subset} and --downsample {downsample}; raise or lower them")
        self.actions = [sequence.action for sequence, _ in pairs]
        self.mirrored = skeleton.mirrored
        self.versions = VERSIONS[flipped, reversed_]
        self.pose_2d = np.concatenate([normaliser.apply(s.pose_2d[cut], s.size) for s, cut in pairs])  # (total, J, in_channels)
        self.pose_3d = np.concatenate([s.pose_3d[cut] for s, cut in pairs])  # (total, J, 3)
        self.total = len(self.pose_3d)
        if flipped:  # (2 x total, J, ...): the mirror images follow
            self.pose_2d, self.pose_3d = (
                np.concatenate([pose, flip(torch.from_numpy(pose), self.mirrored).numpy()]) for pose in (self.pose_2d, self.pose_3d)
            )
        self.length = np.array([len(range(cut.start, cut.stop, cut.step)) for _, cut in pairs])  # (S,)
        self.offset = np.cumsum(self.length) - self.length  # (S,)
        bounds = [window_bounds(length, frames, stride) for length in self.length]
        self.start = np.concatenate([b[:, 0] for b in bounds])  # (N,) first frame within the sequence; may be negative
        self.sequence = np.repeat(np.arange(len(pairs)), [len(b) for b in bounds])  # (N,)
        self.frames = frames

    @property
    def windows(self) -> int:
        """How many windows there are in one version."""
        return len(self.start)

    def __len__(self) -> int:
        return self.windows * len(self.versions)

    def __getitem__(self, items: np.ndarray | int) -> Batch:
        version, window = np.divmod(np.atleast_1d(items), self.windows)  # (B,) each
        sequence, start = self.sequence[window], self.start[window]
        flipped, backwards = np.array(self.versions)[version].T  # (B,) bool each
        step = np.arange(self.frames)
        rows = start[:, None] + np.where(backwards[:, None], step[::-1], step)  # (B, F)
        rows = np.clip(rows, 0, self.length[sequence, None] - 1)  # edges repeat the edge frame
        rows += (self.offset[sequence] + flipped * self.total)[:, None]
        pose_2d, pose_3d = torch.from_numpy(self.pose_2d[rows]), torch.from_numpy(self.pose_3d[rows])  # (B, F, J, ...)
        return Batch(pose_2d, pose_3d, torch.from_numpy(sequence), torch.from_numpy(start))


class BatchOrder(Sampler):
    """The item numbers of each batch of one epoch, the last short batch kept; the same for the same seed and epoch.

    seed None: in order. first: the batch to start from, for going on in the middle of an epoch.
    """

    def __init__(self, items: int, batch_size: int, seed: int | None = None, epoch: int = 0, first: int = 0) -> None:
        self.items, self.batch_size, self.seed, self.epoch, self.first = items, batch_size, seed, epoch, first

    def __len__(self) -> int:
        return -(-self.items // self.batch_size) - self.first

    def __iter__(self) -> Iterator[np.ndarray]:
        order = np.arange(self.items)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        for start in range(self.first * self.batch_size, self.items, self.batch_size):
            yield order[start : start + self.batch_size]


def loader(dataset: PoseDataset, order: BatchOrder, workers: int, device: torch.device) -> DataLoader:
    """Batches in `order`. On a CPU the training process itself cuts them, which is faster than handing them over."""
    workers = 0 if device.type == "cpu" else workers
    # A generator of its own: every iterator draws a number from it, and the model's random numbers must not depend on how often one began.
    return DataLoader(
        dataset, sampler=order, batch_size=None, num_workers=workers, pin_memory=device.type == "cuda", generator=torch.Generator()
    )
