"""Windows of sequences as batches of tensors: composition only."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data._utils import signal_handling

from common.data.sequences import PoseSequence
from common.errors import InputError
from common.geometry.augment import VERSIONS, flip
from common.geometry.normalise import Normaliser
from common.geometry.skeleton import Skeleton
from common.geometry.windows import subsample, window_bounds


class Batch(NamedTuple):
    """pose_2d (B, F, J, in_channels) normalised; pose_3d (B, F, J, 3) metres, camera space; which sequence and first
    frame (B,).
    """

    pose_2d: Tensor
    pose_3d: Tensor
    sequence: Tensor
    start: Tensor


class PoseDataset(Dataset):
    """Every window of every sequence, in every version that augmentation asks for; indexed by arrays of item numbers.

    With stride 1 the windows are those around the valid frames; the frames beside these may be any.

    The frames of all sequences, and where mirror images are asked for those too, stand in one array each, and a batch
    is one gather from it: no item copies or changes a sequence. Item numbers run over the windows of the first version,
    then of the next.

    consume: whether `sequences` is emptied, each going as soon as it is copied, so that nothing is in memory twice.
    """

    def __init__(
        self,
        sequences: list[PoseSequence],
        skeleton: Skeleton,
        normaliser: Normaliser,
        frames: int,
        stride: int,
        *,
        flipped: bool = False,
        reversed_: bool = False,
        subset: float = 1.0,
        downsample: int = 1,
        consume: bool = False,
    ) -> None:
        cuts = [subsample(len(sequence), subset, downsample) for sequence in sequences]
        kept = [number for number, cut in enumerate(cuts) if cut.stop > cut.start]
        if not kept:
            raise InputError(
                f"no sequence has a frame left with --subset {subset} and --downsample {downsample}; raise or lower "
                "them"
            )
        self.actions = [sequences[number].action for number in kept]
        self.mirrored = skeleton.mirrored
        self.versions = VERSIONS[flipped, reversed_]
        self.length = np.array(
            [len(range(cuts[number].start, cuts[number].stop, downsample)) for number in kept]
        )  # (S,)
        self.offset = np.cumsum(self.length) - self.length  # (S,)
        self.total = int(self.length.sum())
        rows = self.total * (2 if flipped else 1)  # the mirror images follow
        self.pose_2d = np.empty((rows, skeleton.joints, normaliser.in_channels), np.float32)
        self.pose_3d = np.empty((rows, skeleton.joints, 3), np.float32)
        self.valid = np.ones(self.total, bool)
        for number, first, length in zip(kept, self.offset, self.length, strict=True):
            if (valid := sequences[number].valid) is not None:
                self.valid[first : first + length] = valid[cuts[number]]
        self._fill(sequences if consume else list(sequences), cuts, normaliser, flipped)
        bounds = [window_bounds(length, frames, stride) for length in self.length]
        if stride == 1:
            bounds = [b[self.valid[first : first + len(b)]] for b, first in zip(bounds, self.offset, strict=True)]
        if not any(map(len, bounds)):
            raise InputError(
                f"no valid frame is left with --subset {subset} and --downsample {downsample}; raise or lower them"
            )
        self.start = np.concatenate([b[:, 0] for b in bounds])  # (N,) first frame within the sequence; may be negative
        self.sequence = np.repeat(np.arange(len(kept)), [len(b) for b in bounds])  # (N,)
        self.frames = frames

    def _fill(self, sequences: list[PoseSequence], cuts: list[slice], normaliser: Normaliser, flipped: bool) -> None:
        """Copy the frames of each sequence, and their mirror images, to their rows, and drop it; from the last to the
        first.
        """
        last = self.total
        for cut in reversed(cuts):
            sequence = sequences.pop()
            pose_2d = normaliser.apply(sequence.pose_2d[cut], sequence.size)  # (L, J, in_channels)
            first = last - len(pose_2d)
            for poses, pose in ((self.pose_2d, pose_2d), (self.pose_3d, sequence.pose_3d[cut])):
                poses[first:last] = pose
                if flipped:
                    poses[self.total + first : self.total + last] = flip(
                        torch.from_numpy(poses[first:last]), self.mirrored
                    ).numpy()
            last = first

    def scored(self, sequence: Tensor, number: Tensor) -> Tensor:
        """Whether frames `number` (B, K) of sequences (B,) are valid and no repeated edges -> (B, K) bool."""
        offset, length, valid = map(torch.from_numpy, (self.offset, self.length, self.valid))
        last = length[sequence, None] - 1  # (B, 1)
        inside = number.clamp(torch.zeros_like(last), last)  # (B, K)
        return (number == inside) & valid[offset[sequence, None] + inside]

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


class LoaderDied(InputError):
    """A loader process was killed, or ended by itself."""


DEFAULT_WORKERS = 8
"""Loader processes where a device computes; on a CPU the training process itself cuts faster than others hand over."""


def loader(dataset: Dataset, order: BatchOrder, workers: int | None, device: torch.device) -> Iterator[Batch]:
    """Batches in `order`, cut by so many processes; 0: by this one; None: as is fastest with the device.

    Raises LoaderDied where a batch is asked for and such a process is dead.
    """
    if workers is None:
        workers = 0 if device.type == "cpu" else DEFAULT_WORKERS
    # PyTorch's handler of SIGCHLD, which this says is there, raises wherever the program is when a loader process dies,
    # amid a step or a save too. Asking for the next batch tells as well, some seconds later.
    signal_handling._SIGCHLD_handler_set = True
    # A generator of its own: every iterator draws a number from it, and the model's random numbers must not depend on
    # how often one began.
    batches = iter(
        DataLoader(
            dataset,
            sampler=order,
            batch_size=None,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),
        )
    )
    try:
        yield from batches
    except RuntimeError as error:
        dead = [(process, process.exitcode) for process in getattr(batches, "_workers", ()) if process.exitcode]
        if not dead:
            raise
        raise LoaderDied(_last_words(*dead[0])) from error


def _last_words(process: BaseProcess, code: int) -> str:
    if code > 0:
        return f"loader process {process.pid} ended with exit code {code}; see what it says above, or give --workers 0"
    name = signal.Signals(-code).name
    why = {"SIGKILL": ", as where memory runs out", "SIGBUS": ", as where shared memory (/dev/shm) is full"}.get(
        name, ""
    )
    return f"loader process {process.pid} was killed by {name}{why}; give fewer --workers, or 0"
