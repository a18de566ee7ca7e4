"""One run of an entry script: the only file with side effects. Seed, build, load, train or test, save, log."""

from __future__ import annotations

import contextlib
import functools
import json
import signal
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from common.arguments import build_parser
from common.data.datasets import Data, default_keypoints, read_sequences
from common.data.pose_dataset import Batch, BatchOrder, LoaderDied, PoseDataset, loader
from common.data.world_motion import read_world_motion, split_of
from common.errors import InputError, exit_on_input_error
from common.evaluation.evaluate import Scores, evaluate, evaluate_lifting
from common.evaluation.report import curves, score_table
from common.files import check_writable, only_run, replacing, sweep, write_text
from common.geometry.normalise import Normaliser
from common.geometry.skeleton import H36M
from common.inference.checkpoint import (
    BEST,
    LAST,
    Checkpoint,
    load_weights,
    read_checkpoint,
    save_checkpoint,
    shipped_checkpoint,
    sizes_with,
)
from common.inference.compute import Compute, OutOfMemory, choose_compute, out_of_memory_named
from common.inference.lifting import Lifter
from common.training.engine import train_one_epoch
from common.training.recipes import RECIPES, Recipe, cosine, next_learning_rate, prepare, published_mpjpe, running_mean
from common.training.run_file import Progress, Run, random_state, read_run, run_file, write_run
from common.wild import Wild, WildDataset
from common.wild.dataset import WildBatch
from model import PoseTransformer, create_model, model_sizes
from model.complexity import count_parameters, gflops
from model.flags import size_flags

# Flags that may differ when a run is resumed: they do not change what it computes, or say how far it goes.
FREE_ON_RESUME = {
    "resume", "nepoch", "device", "gpu", "workers", "results", "save_every", "root_path", "test", "train",
    "checkpoint_activations",
}  # fmt: skip


class Stopped(Exception):
    """The run was told to stop by a signal; raised between two batches."""


def run(recipe: Recipe, default_model: str, argv: list[str] | None = None) -> None:
    """Run an entry script. argv: the command line without the program, None for this process's own."""

    def main() -> None:
        with contextlib.ExitStack() as held, out_of_memory_named():
            _run(recipe, default_model, argv, held)

    exit_on_input_error(main)


def _run(recipe: Recipe, default_model: str, argv: list[str] | None, held: contextlib.ExitStack) -> None:
    """held: what is let go when the run ends: the lock on its folder."""
    parser = build_parser(default_model)
    args, resumed = parser.parse_args(argv), None
    if args.resume:
        if args.test or not args.train:
            raise InputError(
                "--resume goes on with training; to test its weights, give --test and --previous_dir with its folder"
            )
        if run_file(args.resume).is_file():
            held.enter_context(only_run(run_file(args.resume).parent))
        resumed = read_run(args.resume, parser)
        parser.set_defaults(**resumed.arguments)
        args = parser.parse_args(argv)
    recipe = RECIPES.get(args.recipe, recipe)
    if resumed:
        resumed.check_recipe(recipe)
        _check_resumed(args, resumed.arguments, FREE_ON_RESUME - ({"nepoch"} if recipe.warm_up is not None else set()))
    else:
        parser.set_defaults(**recipe.defaults)
        args = parser.parse_args(argv)
    args.test = args.test or not args.train
    args.keypoints = args.keypoints or default_keypoints(args.dataset)
    args.seed = recipe.seed if args.seed is None else args.seed
    if args.results:
        check_writable(args.results)
        sweep(Path(args.results).parent, Path(args.results).name)
    if args.previous_name and not resumed and not Path(args.previous_name).is_file():
        raise InputError(
            f"--previous_name is {args.previous_name}, which is no file; give the best checkpoint so far, or leave it "
            "out"
        )
    wild = args.dataset == "wild" or recipe.normaliser is not None
    if args.test and not args.previous_dir and wild:
        args.previous_dir = str(shipped_checkpoint(args.model or default_model))
    if args.test and not args.previous_dir:
        raise InputError("--test needs weights; give --previous_dir with a .pth file or the folder of one")
    if args.out_channels != 3:
        raise InputError(f"--out_channels is {args.out_channels}; it must be 3")

    compute = choose_compute(args.device, args.gpu, args.precision)
    checkpoint = read_checkpoint(args.previous_dir) if args.previous_dir and not resumed else None
    torch.manual_seed(args.seed)
    model = build_model(args, default_model, checkpoint, recipe.normaliser.in_channels if recipe.normaliser else None)
    if checkpoint:
        load_weights(model, checkpoint, args.allow_unexpected)
        print(f"weights: {checkpoint.path}")
    model.to(compute.device)
    paper, products = gflops(model)
    print(f"model: {model.name} {model.sizes}")
    print(f"parameters: {count_parameters(model):,}, GFLOPs: {paper:.2f} (with products {products:.2f})")
    print(f"device: {compute.device}, {compute.precision}")
    folder = (
        resumed.folder
        if resumed
        else Path(args.checkpoint or f"checkpoint/{time.strftime('%m%d_%H%M_%S')}_{model.frames}")
    )
    if not args.test and not resumed:
        held.enter_context(only_run(folder))
        if (folder / LAST).exists():
            raise InputError(
                f"{folder / LAST}: a run is there already; give --resume {folder} to go on, or another --checkpoint"
            )

    test_data = _read(args, "test", model)
    normaliser = _normaliser(args, recipe, model, checkpoint, test_data)
    test_set = None
    if args.dataset == "wild" or normaliser.per_window:
        if args.subset != 1 or args.downsample != 1:
            raise InputError(
                "--subset and --downsample are not for a test on whole clips (--dataset wild, or in-the-wild weights)"
            )
    else:
        test_set = _dataset(args, test_data, model, normaliser, 1 if args.stride == 1 else model.frames)
    job = _Job(args, recipe, compute, model, normaliser, test_data, test_set)
    if args.test:
        job.finish(job.evaluate(model))
    elif recipe.normaliser:
        prepare(model, recipe, fresh=not (checkpoint or resumed))
        job.train(_wild_dataset(args, test_data, model, normaliser, compute.device), folder, resumed)
    else:
        if normaliser.per_window:
            assert checkpoint is not None  # nothing else has brought such a normaliser
            raise InputError(f"{checkpoint.path}: in-the-wild weights are trained further with --recipe wild; add it")
        data = _read(args, "train", model)
        train_set = _dataset(
            args, data, model, normaliser, args.stride, args.data_augmentation, args.reverse_augmentation
        )
        job.train(train_set, folder, resumed)


@dataclass
class _Job:
    """What the steps of one run share."""

    args: Namespace
    recipe: Recipe
    compute: Compute
    model: PoseTransformer
    normaliser: Normaliser
    test_data: Data
    test_set: PoseDataset | None  # None: whole clips are lifted
    signal: int = 0
    mean: AveragedModel | None = None  # of the weights over the steps
    # As they were after the last whole step.
    random: dict[str, Any] = field(default_factory=dict)
    buffers: list[torch.Tensor] = field(default_factory=list)

    @property
    def result(self) -> PoseTransformer:
        """The model that is tested and saved."""
        return self.model if self.mean is None else cast(PoseTransformer, self.mean.module)

    @property
    def centre_only(self) -> bool:
        """Whether testing scores the centre frames alone."""
        return self.args.stride == 1 or not self.args.out_all or self.model.centre_only

    def evaluate(self, model: PoseTransformer) -> Scores:
        args, sequences = self.args, self.test_data.sequences
        progress = functools.partial(tqdm, desc="test", disable=None, leave=False)
        if self.test_set is None:
            lifter = Lifter(model, self.normaliser, self.compute.device, args.batch_size, flip=args.test_augmentation)
            clips = progress(self.until_signal(sequences), total=len(sequences))
            with self.compute.autocast():
                return evaluate_lifting(lifter, sequences, clips, self.test_data.pooled)
        order = BatchOrder(len(self.test_set), args.batch_size)
        batches = self.until_signal(loader(self.test_set, order, args.workers, self.compute.device))
        bar = progress(batches, total=len(order), unit="batch")
        return evaluate(
            model, self.test_set, bar, self.compute, flip_test=args.test_augmentation, centre_only=self.centre_only
        )

    def finish(self, scores: Scores, **more: object) -> None:
        """Print the table and write --results."""
        args, model = self.args, self.model
        real = args.dataset == "h36m" and self.test_data.source is None
        cpn = args.keypoints == "cpn_ft_h36m_dbb" and args.actions == "*" and args.subset == 1 and args.downsample == 1
        stride = 1 if args.stride == 1 else model.frames
        paper = published_mpjpe(model.name, model.sizes, stride) if real and cpn and args.test_augmentation else None
        source = "Human3.6M" if real else self.test_data.source
        print(score_table(scores, f"{model.name} on {args.dataset}, 2D {args.keypoints}\ndata: {source}", paper))
        if args.results:
            sizes = {"model": model.name, "sizes": model.sizes, "parameters": count_parameters(model)}
            write_text(
                args.results, json.dumps({**scores.as_dict(), **sizes, "source": source, **more}, indent=1) + "\n"
            )

    def until_signal(self, batches: Iterable) -> Iterator:
        """Pass batches, or clips, on until a signal has come."""
        for batch in batches:
            if self.signal:
                raise Stopped
            yield batch
        if self.signal:
            raise Stopped

    @contextlib.contextmanager
    def signals_noted(self) -> Iterator[None]:
        """Signals that would end the process wait until the batch or the save that is under way is done, however many
        come.
        """

        def note(number: int, _: object) -> None:
            self.signal = number

        numbers = [signal.SIGINT, signal.SIGTERM]
        if (
            hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN
        ):  # not on Windows, not under nohup
            numbers.append(signal.SIGHUP)
        previous = {number: signal.signal(number, note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def remember(self) -> None:
        """Note what a step that is broken off changes before it comes to the weights."""
        self.random = random_state(self.compute)
        self.buffers = [buffer.clone() for buffer in self.model.buffers()]

    @contextlib.contextmanager
    def saved_if_broken_off(self, folder: Path, progress: Progress, save: Callable[[], None]) -> Iterator[None]:
        """Save the run as it was after the last whole step where a signal, a loader process or want of memory ends the
        block early.
        """
        try:
            with out_of_memory_named():
                yield
        except (Stopped, LoaderDied, OutOfMemory) as end:
            for buffer, value in zip(self.model.buffers(), self.buffers, strict=True):
                buffer.copy_(value)
            if isinstance(end, OutOfMemory) and (progress.epoch, progress.step) == (1, 0):
                raise  # smaller numbers make another run, for which the folder stays free
            save()
            if isinstance(end, Stopped):
                raise
            raise InputError(
                f"{end}; stopped in epoch {progress.epoch}, step {progress.step}, go on with --resume {folder}"
            ) from end

    def train(self, train_set: PoseDataset | WildDataset, folder: Path, resumed: Run | None) -> None:
        """Train for --nepoch epochs, test after each, keep the best and the last; end with the table of the best
        epoch.
        """
        args = self.args
        optimizer = self.recipe.optimizer(self.model.parameter_groups(), args.lr)
        if self.recipe.ema is not None:
            self.mean = AveragedModel(self.model, multi_avg_fn=running_mean(self.recipe.ema), use_buffers=True)
        scaler = torch.amp.GradScaler(self.compute.device.type, enabled=args.precision == "fp16")
        progress = Progress(args.lr, args.previous_best, args.previous_name)
        if resumed:
            progress = resumed.progress
            steps = len(BatchOrder(len(train_set), args.batch_size))
            if progress.step > steps:
                where = f"{resumed.file}: is in step {progress.step} of an epoch of {steps}"
                raise InputError(f"{where}; give it the data that it was trained on")
            resumed.restore(self.model, optimizer, scaler, self.mean, self.recipe, self.compute)
            _remove_superseded(folder, progress)
            print(f"resumed: {resumed.file}, epoch {progress.epoch}, step {progress.step}")
        settings = {**vars(args), "model": self.model.name, **self.model.sizes, "recipe": self.recipe.name}
        write_text(folder / "configs.txt", "".join(f"{key}: {value}\n" for key, value in sorted(settings.items())))
        print(f"folder: {folder}")

        saved = time.monotonic()

        def save() -> None:
            nonlocal saved
            write_run(
                folder,
                self.model,
                self.normaliser,
                optimizer,
                scaler,
                self.mean,
                progress,
                args,
                self.recipe,
                self.random,
            )
            saved = time.monotonic()

        def autosave() -> None:
            if time.monotonic() - saved > args.save_every:
                save()

        self.model.checkpoint_activations = args.checkpoint_activations
        if args.compile:
            self.model.compile(dynamic=False)
        self.remember()
        best: tuple[Scores, int | None] | None = None
        with self.signals_noted():
            try:
                while progress.epoch <= args.nepoch:
                    with self.saved_if_broken_off(folder, progress, save):
                        self.train_epoch(train_set, optimizer, scaler, progress, autosave)
                        scores = self.evaluate(self.result)
                    replaced = progress.best_name
                    if self.end_epoch(folder, scores, progress):
                        best = scores, progress.epoch
                    if self.recipe.warm_up is None:
                        progress.lr = next_learning_rate(
                            progress.lr, progress.epoch, args.lr_decay, args.lr_decay_large, args.lr_decay_epoch
                        )
                    progress.epoch, progress.step, progress.loss, progress.windows = progress.epoch + 1, 0, 0.0, 0
                    save()
                    if replaced and Path(replaced) != Path(progress.best_name):
                        Path(replaced).unlink(missing_ok=True)  # only now: until here last.pt names it
                best = best or self.older_best(folder, progress)
            except Stopped:
                print(
                    f"stopped by signal {self.signal} in epoch {progress.epoch}, step {progress.step}; go on with "
                    f"--resume {folder}"
                )
                raise SystemExit(128 + self.signal) from None
        print(f"best: {progress.best_name}")
        self.finish(best[0], epoch=best[1], checkpoint=progress.best_name)

    def older_best(self, folder: Path, progress: Progress) -> tuple[Scores, int | None]:
        """The scores of what was the best before this call, and its epoch, None where the file's name does not
        say it.
        """
        if not progress.best_name or not Path(progress.best_name).exists():
            raise InputError(
                f"{folder}: no epoch was better than {progress.best:.2f} mm, so that there is nothing to show; see "
                "--previous_best"
            )
        load_weights(self.result, read_checkpoint(progress.best_name))
        match = BEST.fullmatch(Path(progress.best_name).name)
        return self.evaluate(self.result), int(match[1]) if match else None

    def train_epoch(
        self,
        train_set: PoseDataset | WildDataset,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        progress: Progress,
        autosave: Callable[[], None],
    ) -> None:
        """The batches of an epoch that are not done yet."""
        args, recipe = self.args, self.recipe
        if isinstance(train_set, WildDataset):
            train_set.epoch = progress.epoch
        order = BatchOrder(len(train_set), args.batch_size, args.seed, progress.epoch, progress.step)
        steps = progress.step + len(order)  # of an epoch
        batches: Iterable[Batch | WildBatch]
        if isinstance(train_set, WildDataset) and train_set.device.type != "cpu":
            batches = map(train_set.__getitem__, order)  # drawn where it is used
        else:
            batches = loader(train_set, order, args.workers, self.compute.device)
        batches = self.until_signal(batches)
        with tqdm(
            total=len(order) + progress.step,
            initial=progress.step,
            desc=f"epoch {progress.epoch}",
            unit="batch",
            disable=None,
            leave=False,
        ) as bar:
            started, frames = time.monotonic(), 0

            def before_step() -> None:
                if recipe.warm_up is not None:
                    progress.lr = args.lr * cosine(
                        (progress.epoch - 1) * steps + progress.step, args.nepoch * steps, recipe.warm_up
                    )
                for group in optimizer.param_groups:
                    group["lr"] = progress.lr

            def after_step(loss: float, windows: int) -> None:
                nonlocal frames
                if self.mean is not None:
                    self.mean.update_parameters(self.model)
                progress.step += 1
                progress.loss += loss * windows
                progress.windows += windows
                frames += windows * self.model.frames
                bar.set_postfix_str(
                    f"loss {progress.loss / progress.windows:.4f}, {frames / (time.monotonic() - started):.0f} "
                    "frames/s",
                    refresh=False,
                )
                bar.update()
                self.remember()
                autosave()

            train_one_epoch(
                self.model,
                batches,
                self.recipe,
                optimizer,
                self.compute,
                scaler,
                not args.out_all,
                after_step,
                before_step,
            )
        if frames:
            print(
                f"epoch {progress.epoch}: trained at {frames / (time.monotonic() - started):.0f} frames/s", flush=True
            )

    def end_epoch(self, folder: Path, scores: Scores, progress: Progress) -> bool:
        """Log the epoch; save the weights if they are strictly better than all before. Returns whether they were."""
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
            path = folder / _best_name(row)
            save_checkpoint(path, self.result, self.normaliser, epoch=progress.epoch, mpjpe=mpjpe, p_mpjpe=p_mpjpe)
            progress.best, progress.best_name = mpjpe, str(path)
        lines = [
            "epoch {epoch}, lr {lr:.8f}, loss {loss:.5f}, MPJPE {mpjpe:.3f} mm, P-MPJPE {p_mpjpe:.3f} mm".format(**row)
            for row in progress.history
        ]
        write_text(folder / "train.log", "".join(f"{line}\n" for line in lines))
        with replacing(folder / "curves.png") as temporary:
            title = "\n".join(filter(None, [f"{self.model.name} on {self.args.dataset}", self.test_data.source]))
            curves(progress.history, title).savefig(temporary, dpi=100)
        print(lines[-1] + (" (best)" if better and not self.recipe.last else ""), flush=True)
        return better


def _best_name(row: dict[str, float]) -> str:
    """The name of the checkpoint of an epoch of the history."""
    return f"model_{row['epoch']}_{int(100 * row['mpjpe'])}.pth"


def _remove_superseded(folder: Path, progress: Progress) -> None:
    """Remove checkpoints of earlier epochs that a run left which was killed before it came to that."""
    for name in {_best_name(row) for row in progress.history} - {Path(progress.best_name).name}:
        (folder / name).unlink(missing_ok=True)


def build_model(
    args: Namespace, default_model: str, checkpoint: Checkpoint | None, in_channels: int | None = None
) -> PoseTransformer:
    """The model that the flags name; what they leave open comes from the checkpoint, then from the variant itself.

    in_channels: in place of the variant's own, for a model that starts afresh.
    """
    name = args.model or (checkpoint.name if checkpoint else None) or default_model
    given = {size: getattr(args, size) for size in size_flags() if getattr(args, size) is not None}
    known = model_sizes(name)
    joints = 16 if args.n_joints is None and args.keypoints.startswith(("sh", "hr")) else args.n_joints
    if joints is not None and "joints" in known:
        given["joints"] = joints
    if in_channels is not None and checkpoint is None and "in_channels" in known:
        given["in_channels"] = in_channels
    if checkpoint:
        given = sizes_with(checkpoint, name, given)
    model = create_model(name, **given)
    if args.n_joints not in (None, model.joints):
        raise InputError(f"--n_joints is {args.n_joints}, but {name} is for {model.joints} joints; leave it out")
    if args.out_joints not in (None, model.joints):
        raise InputError(
            f"--out_joints is {args.out_joints}, but the input has {model.joints} joints; they must be the same"
        )
    if in_channels not in (None, model.in_channels) and checkpoint is None:
        raise InputError(
            f"--recipe {args.recipe} gives {in_channels} numbers for a joint, but {name} takes {model.in_channels}; "
            "let its builder have the size in_channels"
        )
    return model


def _normaliser(
    args: Namespace, recipe: Recipe, model: PoseTransformer, checkpoint: Checkpoint | None, data: Data
) -> Normaliser:
    """That of the checkpoint, of the recipe, or what --crop_uv says."""
    own = Normaliser(
        "pixels" if args.crop_uv else "picture", model.in_channels, data.sequences[0].fps / args.downsample
    )
    normaliser = (checkpoint and checkpoint.normaliser) or recipe.normaliser or own
    if normaliser.kind != own.kind and (args.crop_uv or not normaliser.per_window):
        where = checkpoint.path if checkpoint else f"--recipe {recipe.name}"
        raise InputError(
            f"{where}: wants 2D in {normaliser.kind} units, but --crop_uv is {args.crop_uv}; leave it out or change it"
        )
    if recipe.normaliser and normaliser != recipe.normaliser and not args.test:
        assert checkpoint is not None  # else it would be the recipe's own
        raise InputError(
            f"{checkpoint.path}: its weights read 2D otherwise than --recipe {recipe.name} gives it; leave one of both "
            "out"
        )
    return normaliser if normaliser.per_window else own


def _wild_dataset(
    args: Namespace, test_data: Data, model: PoseTransformer, normaliser: Normaliser, device: torch.device
) -> WildDataset:
    if model.joints != H36M.joints:
        raise InputError(f"--recipe wild is for {H36M.joints} joints, but the model has {model.joints}; see --n_joints")
    path = Path(args.root_path) / f"motion_{args.motion}.npz"
    clips, fps, source = read_world_motion(path, "train")
    if args.actions != "*":  # people whose actions are not asked for are test people all the same
        test_data = read_sequences(args.dataset, args.root_path, args.keypoints, "test")
    both = sorted({clip.subject for clip in clips} & {sequence.subject for sequence in test_data.sequences})
    if both:
        raise InputError(
            f"{path}: subject {', '.join(both)} would be trained on and is in the test set of --dataset {args.dataset}"
        )
    kept = sorted({clip.name for clip in clips if split_of(clip.name, clip.subject) == "test"})
    if kept:
        raise InputError(
            f"{path}: clip {kept[0]} would be trained on, but its person or collection is kept for testing "
            "(HELD_OUT in common/data/world_motion.py); give it the split test, or people of your own other names"
        )
    print(f"training motion: {len(clips)} clips, {sum(map(len, clips)) / fps / 60:.1f} minutes. {source}")
    wild = Wild().without(name for name in args.without.split(",") if name)
    device = device if device.type == "cuda" and args.workers == 0 else torch.device("cpu")
    return WildDataset(clips, fps, normaliser, model.frames, args.stride, args.seed, wild, device)


def _read(args: Namespace, split: str, model: PoseTransformer) -> Data:
    data = read_sequences(args.dataset, args.root_path, args.keypoints, split, args.actions)
    if data.skeleton.joints != model.joints:
        raise InputError(
            f"--keypoints {args.keypoints} have {data.skeleton.joints} joints, but the model has {model.joints}; see "
            "--n_joints"
        )
    return data


def _dataset(
    args: Namespace, data: Data, model: PoseTransformer, normaliser: Normaliser, stride: int, *augment: bool
) -> PoseDataset:
    flipped, reversed_ = augment or (False, False)
    return PoseDataset(
        data.sequences, data.skeleton, normaliser, model.frames, stride,
        flipped=flipped, reversed_=reversed_, subset=args.subset, downsample=args.downsample, consume=True,
    )  # fmt: skip


def _check_resumed(args: Namespace, saved: dict, free: set[str]) -> None:
    for key, value in vars(args).items():
        if key not in free and value != saved.get(key, value):
            raise InputError(
                f"--{key} is {value}, but the run to resume has {saved[key]}; leave the flag out or start a new run"
            )
