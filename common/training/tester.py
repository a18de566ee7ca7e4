"""The test of a run: the same data and protocol after every epoch of a training and for --test."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

from tqdm import tqdm

from common.data.datasets import Data
from common.data.pose_dataset import BatchOrder, PoseDataset, loader
from common.evaluation.evaluate import Scores, evaluate, evaluate_lifting
from common.evaluation.report import score_table
from common.files import write_text
from common.geometry.normalise import Normaliser
from common.inference.compute import Compute
from common.inference.lifting import Lifter
from common.training.interrupt import Signals
from common.training.recipes import published_mpjpe
from common.training.settings import Settings
from model import PoseTransformer
from model.complexity import count_parameters


@dataclass(frozen=True)
class Tester:
    """windows: of the test set; None: whole clips are lifted. signals: one of them ends a test between two batches."""

    settings: Settings
    compute: Compute
    normaliser: Normaliser
    data: Data
    windows: PoseDataset | None
    signals: Signals

    def scores(self, model: PoseTransformer) -> Scores:
        """Test a model on all of the test set. Raises Stopped where a signal has come."""
        settings, sequences = self.settings, self.data.sequences
        progress = functools.partial(tqdm, desc="test", disable=None, leave=False)
        if self.windows is None:
            lifter = Lifter(
                model, self.normaliser, self.compute.device, settings.batch_size, flip=settings.test_augmentation
            )
            clips = progress(self.signals.until_one(sequences), total=len(sequences))
            with self.compute.autocast():
                return evaluate_lifting(lifter, sequences, clips, self.data.pooled, self.data.pck_joints)
        order = BatchOrder(len(self.windows), settings.batch_size)
        batches = loader(self.windows, order, settings.workers, self.compute.device)
        bar = progress(self.signals.until_one(batches), total=len(order), unit="batch")
        centre_only = settings.stride == 1 or self.data.centred or not settings.out_all or model.centre_only
        return evaluate(
            model,
            self.windows,
            bar,
            self.compute,
            flip_test=settings.test_augmentation,
            centre_only=centre_only,
            pooled=self.data.pooled,
            pck_joints=self.data.pck_joints,
        )

    def report(self, model: PoseTransformer, scores: Scores, **more: object) -> None:
        """Print the table of scores and write --results; more: what the file says besides."""
        settings = self.settings
        source = self.data.source or ("Human3.6M" if settings.dataset == "h36m" else None)
        title = f"{model.name} on {settings.dataset}, 2D {settings.keypoints}\ndata: {source}"
        print(score_table(scores, title, self._published(model)))
        if settings.results:
            about = {"model": model.name, "sizes": model.sizes, "parameters": count_parameters(model), "source": source}
            write_text(settings.results, json.dumps({**scores.as_dict(), **about, **more}, indent=1) + "\n")

    def _published(self, model: PoseTransformer) -> float | None:
        """The paper's MPJPE (mm) for this test; None where it has none."""
        settings = self.settings
        real = settings.dataset == "h36m" and self.data.source is None
        whole = settings.actions == "*" and settings.subset == 1 and settings.downsample == 1
        if not (real and whole and settings.keypoints == "cpn_ft_h36m_dbb" and settings.test_augmentation):
            return None
        return published_mpjpe(model.name, model.sizes, 1 if settings.stride == 1 else model.frames)
