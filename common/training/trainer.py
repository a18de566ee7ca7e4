"""A training: epochs, a test after each, the best and the last weights, and a file from which it goes on exactly."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from common.data.pose_dataset import Batch, BatchOrder, LoaderDied, PoseDataset, loader
from common.errors import InputError
from common.evaluation.evaluate import Scores
from common.evaluation.report import curves
from common.files import replacing, write_text
from common.inference.checkpoint import BEST, load_weights, read_checkpoint, save_checkpoint
from common.inference.compute import OutOfMemory, out_of_memory_named
from common.training.engine import train_one_epoch
from common.training.interrupt import Stopped
from common.training.recipes import Recipe, cosine, next_learning_rate, running_mean
from common.training.run_file import Progress, Run, random_state, write_run
from common.training.settings import Settings
from common.training.tester import Tester
from common.wild.dataset import WildBatch, WildDataset
from model import PoseTransformer


class Trainer:
    """A training of `model` on `windows` in `folder`, tested by `tester` after every epoch.

    `train` does it all. A signal that `tester.signals` notes ends it between two batches, saved.
    """

    def __init__(
        self,
        settings: Settings,
        recipe: Recipe,
        model: PoseTransformer,
        windows: PoseDataset | WildDataset,
        tester: Tester,
        folder: Path,
    ) -> None:
        self.settings, self.recipe, self.model, self.windows = settings, recipe, model, windows
        self.tester, self.folder, self.compute, self.signals = tester, folder, tester.compute, tester.signals
        self.optimizer = recipe.optimizer(model.parameter_groups(), settings.lr)
        self.scaler = torch.amp.GradScaler(self.compute.device.type, enabled=settings.precision == "fp16")
        self.mean: AveragedModel | None = None  # of the weights over the steps
        if recipe.ema is not None:
            self.mean = AveragedModel(model, multi_avg_fn=running_mean(recipe.ema), use_buffers=True)
        self.progress = Progress(settings.lr, settings.previous_best, settings.previous_name)
        self.saved = time.monotonic()
        # As they were after the last whole step.
        self.random: dict[str, Any] = {}
        self.buffers: list[torch.Tensor] = []

    @property
    def result(self) -> PoseTransformer:
        """The model that is tested and saved."""
        return self.model if self.mean is None else cast(PoseTransformer, self.mean.module)

    def go_on_from(self, run: Run) -> None:
        """Take everything over from a run as it was saved. Raises InputError where the data is not that of the run."""
        self.progress = run.progress
        steps = len(BatchOrder(len(self.windows), self.settings.batch_size))
        if self.progress.step > steps:
            where = f"{run.file}: is in step {self.progress.step} of an epoch of {steps}"
            raise InputError(f"{where}; give it the data that it was trained on")
        run.restore(self.model, self.optimizer, self.scaler, self.mean, self.recipe, self.compute)
        self._remove_superseded()
        print(f"resumed: {run.file}, epoch {self.progress.epoch}, step {self.progress.step}")

    def train(self) -> tuple[Scores, int | None]:
        """Train until --nepoch -> the scores of the best epoch, and its number (None: its file does not say it).

        Raises SystemExit with 128 + its number where a signal came.
        """
        self._write_configs()
        self.model.checkpoint_activations = self.settings.checkpoint_activations
        if self.settings.compile:
            self.model.compile(dynamic=False)
        self._remember()
        best: tuple[Scores, int | None] | None = None
        with self.signals.noted():
            try:
                while self.progress.epoch <= self.settings.nepoch:
                    epoch, scores = self.progress.epoch, self._train_and_test()
                    if self._end_epoch(scores):
                        best = scores, epoch
                best = best or self._older_best()
            except Stopped:
                where = f"in epoch {self.progress.epoch}, step {self.progress.step}"
                print(f"stopped by signal {self.signals.number} {where}; go on with --resume {self.folder}")
                raise SystemExit(128 + self.signals.number) from None
        print(f"best: {self.progress.best_name}")
        return best

    def _write_configs(self) -> None:
        sizes = {**self.settings.flags, "model": self.model.name, **self.model.sizes, "recipe": self.recipe.name}
        write_text(self.folder / "configs.txt", "".join(f"{key}: {value}\n" for key, value in sorted(sizes.items())))
        print(f"folder: {self.folder}")

    def _train_and_test(self) -> Scores:
        """One epoch, or what is left of it.

        Where a signal, a loader process or want of memory ends it early, the run is saved as it was after the last
        whole step.
        """
        progress = self.progress
        try:
            with out_of_memory_named():
                self._train_epoch()
                return self.tester.scores(self.result)
        except (Stopped, LoaderDied, OutOfMemory) as end:
            for buffer, value in zip(self.model.buffers(), self.buffers, strict=True):
                buffer.copy_(value)
            if isinstance(end, OutOfMemory) and (progress.epoch, progress.step) == (1, 0):
                raise  # smaller numbers make another run, for which the folder stays free
            self._save()
            if isinstance(end, Stopped):
                raise
            where = f"stopped in epoch {progress.epoch}, step {progress.step}"
            raise InputError(f"{end}; {where}, go on with --resume {self.folder}") from end

    def _train_epoch(self) -> None:
        """The batches of an epoch that are not done yet."""
        progress = self.progress
        order = BatchOrder(
            len(self.windows), self.settings.batch_size, self.settings.seed, progress.epoch, progress.step
        )
        steps = progress.step + len(order)  # of an epoch
        started, frames = time.monotonic(), 0

        def rate() -> float:
            return frames / (time.monotonic() - started)

        def before_step() -> None:
            if self.recipe.warm_up is not None:
                done, last = (progress.epoch - 1) * steps + progress.step, self.settings.nepoch * steps
                progress.lr = self.settings.lr * cosine(done, last, self.recipe.warm_up)
            for group in self.optimizer.param_groups:
                group["lr"] = progress.lr

        def after_step(loss: float, windows: int) -> None:
            nonlocal frames
            if self.mean is not None:
                self.mean.update_parameters(self.model)
            progress.step += 1
            progress.loss += loss * windows
            progress.windows += windows
            frames += windows * self.model.frames
            bar.set_postfix_str(f"loss {progress.loss / progress.windows:.4f}, {rate():.0f} frames/s", refresh=False)
            bar.update()
            self._remember()
            if time.monotonic() - self.saved > self.settings.save_every:
                self._save()

        with self._bar(steps) as bar:
            train_one_epoch(
                self.model,
                self.signals.until_one(self._batches(order)),
                self.recipe,
                self.optimizer,
                self.compute,
                self.scaler,
                not self.settings.out_all,
                after_step,
                before_step,
            )
        if frames:
            print(f"epoch {progress.epoch}: trained at {rate():.0f} frames/s", flush=True)

    def _batches(self, order: BatchOrder) -> Iterable[Batch | WildBatch]:
        if isinstance(self.windows, WildDataset):
            self.windows.epoch = order.epoch
            if self.windows.device.type != "cpu":
                return map(self.windows.__getitem__, order)  # drawn where it is used
        return loader(self.windows, order, self.settings.workers, self.compute.device)

    @contextlib.contextmanager
    def _bar(self, steps: int) -> Iterator[tqdm]:
        progress = self.progress
        title = f"epoch {progress.epoch}"
        with tqdm(total=steps, initial=progress.step, desc=title, unit="batch", disable=None, leave=False) as bar:
            yield bar

    def _end_epoch(self, scores: Scores) -> bool:
        """Log the epoch, keep its weights if they are the best, and save the run at the start of the next epoch.

        Returns whether they are the best: strictly better than all before, or the recipe counts the last ones as such.
        """
        progress, replaced = self.progress, self.progress.best_name
        better = self._log(scores)
        if self.recipe.warm_up is None:
            decays = self.settings.lr_decay, self.settings.lr_decay_large, self.settings.lr_decay_epoch
            progress.lr = next_learning_rate(progress.lr, progress.epoch, *decays)
        progress.epoch, progress.step, progress.loss, progress.windows = progress.epoch + 1, 0, 0.0, 0
        self._save()
        if replaced and Path(replaced) != Path(progress.best_name):
            Path(replaced).unlink(missing_ok=True)  # only now: until here last.pt names it
        return better

    def _log(self, scores: Scores) -> bool:
        """Write the epoch's row to train.log and curves.png; save its weights if they are the best."""
        progress = self.progress
        mpjpe, p_mpjpe = scores.published["mpjpe"].mean, scores.published["p_mpjpe"].mean
        assert mpjpe is not None  # a test set has frames
        assert p_mpjpe is not None
        row: dict[str, float] = {
            "epoch": progress.epoch,
            "lr": progress.lr,
            "loss": progress.loss / progress.windows,
            "mpjpe": mpjpe,
            "p_mpjpe": p_mpjpe,
        }
        progress.history.append(row)
        better = mpjpe < progress.best or self.recipe.last
        if better:
            path = self.folder / _best_name(row)
            numbers = {"epoch": progress.epoch, "mpjpe": mpjpe, "p_mpjpe": p_mpjpe}
            save_checkpoint(path, self.result, self.tester.normaliser, **numbers)
            progress.best, progress.best_name = mpjpe, str(path)
        lines = [
            "epoch {epoch}, lr {lr:.8f}, loss {loss:.5f}, MPJPE {mpjpe:.3f} mm, P-MPJPE {p_mpjpe:.3f} mm".format(**row)
            for row in progress.history
        ]
        write_text(self.folder / "train.log", "".join(f"{line}\n" for line in lines))
        with replacing(self.folder / "curves.png") as temporary:
            title = "\n".join(filter(None, [f"{self.model.name} on {self.settings.dataset}", self.tester.data.source]))
            curves(progress.history, title).savefig(temporary, dpi=100)
        print(lines[-1] + (" (best)" if better and not self.recipe.last else ""), flush=True)
        return better

    def _older_best(self) -> tuple[Scores, int | None]:
        """The scores of what was the best before this call, and its epoch."""
        name = self.progress.best_name
        if not name or not Path(name).exists():
            raise InputError(
                f"{self.folder}: no epoch was better than {self.progress.best:.2f} mm, so that there is nothing to "
                "show; see --previous_best"
            )
        load_weights(self.result, read_checkpoint(name))
        match = BEST.fullmatch(Path(name).name)
        return self.tester.scores(self.result), int(match[1]) if match else None

    def _save(self) -> None:
        write_run(
            self.folder,
            self.model,
            self.tester.normaliser,
            self.optimizer,
            self.scaler,
            self.mean,
            self.progress,
            self.settings.flags,
            self.recipe,
            self.random,
        )
        self.saved = time.monotonic()

    def _remember(self) -> None:
        """Note what a step that is broken off changes before it comes to the weights."""
        self.random = random_state(self.compute)
        self.buffers = [buffer.clone() for buffer in self.model.buffers()]

    def _remove_superseded(self) -> None:
        """Remove checkpoints of earlier epochs that a run left which was killed before it came to that."""
        for name in {_best_name(row) for row in self.progress.history} - {Path(self.progress.best_name).name}:
            (self.folder / name).unlink(missing_ok=True)


def _best_name(row: dict[str, float]) -> str:
    """The name of the checkpoint of an epoch of the history."""
    return f"model_{row['epoch']}_{int(100 * row['mpjpe'])}.pth"
