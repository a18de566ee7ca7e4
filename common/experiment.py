"""One run of an entry script: the only file with side effects. Seed, build, load, train or test, save, log."""

from __future__ import annotations

import functools
import json
import signal
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from common.arguments import SIZE_FLAGS, build_parser
from common.checkpoint import LAST, Checkpoint, load_weights, read_checkpoint, save_checkpoint, shipped_checkpoint
from common.compute import Compute, choose_compute
from common.datasets import Data, default_keypoints, read_sequences
from common.engine import Scores, evaluate, train_one_epoch
from common.errors import InputError, exit_on_input_error
from common.files import check_writable, replacing, write_text
from common.lifting import Lifter, evaluate_lifting
from common.normalise import Normaliser
from common.pose_dataset import BatchOrder, PoseDataset, loader
from common.recipes import RECIPES, Recipe, cosine, next_learning_rate, prepare, published_mpjpe, running_mean
from common.report import curves, score_table
from common.run_file import Progress, Run, read_run, write_run
from common.skeleton import H36M
from common.wild import WildDataset
from common.world_motion import read_world_motion
from model import PoseTransformer, create_model, model_sizes
from model.complexity import count_parameters, gflops
from model.registry import PLAN, SINGLE

# Flags that may differ when a run is resumed: they do not change what it computes, or say how far it goes.
FREE_ON_RESUME = {"resume", "nepoch", "device", "gpu", "workers", "results", "save_every", "root_path", "test", "train"}


class Stopped(Exception):
    """The run was told to stop by a signal; raised between two batches, where the weights are consistent."""


def run(recipe: Recipe, default_model: str, argv: list[str] | None = None) -> None:
    """Run an entry script. argv: the command line without the program, None for this process's own."""
    exit_on_input_error(lambda: _run(recipe, default_model, argv))


def _run(recipe: Recipe, default_model: str, argv: list[str] | None) -> None:
    parser = build_parser(default_model)
    args, resumed = parser.parse_args(argv), None
    if args.resume:
        if args.test or not args.train:
            raise InputError("--resume goes on with training; to test its weights, give --test and --previous_dir with its folder")
        resumed = read_run(args.resume, parser)
        parser.set_defaults(**resumed.arguments)
        args = parser.parse_args(argv)
    recipe = RECIPES.get(args.recipe, recipe)
    if resumed:
        _check_resumed(args, resumed.arguments, FREE_ON_RESUME - ({"nepoch"} if recipe.warm_up is not None else set()))
    else:
        parser.set_defaults(**recipe.defaults)
        args = parser.parse_args(argv)
    args.test = args.test or not args.train
    args.keypoints = args.keypoints or default_keypoints(args.dataset)
    args.seed = recipe.seed if args.seed is None else args.seed
    if args.results:
        check_writable(args.results)
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
    model = build_model(args, default_model, checkpoint, recipe.normaliser and recipe.normaliser.in_channels)
    if checkpoint:
        load_weights(model, checkpoint, args.allow_unexpected)
        print(f"weights: {checkpoint.path}")
    model.to(compute.device)
    paper, products = gflops(model)
    print(f"model: {model.name} {model.sizes}")
    print(f"parameters: {count_parameters(model):,}, GFLOPs: {paper:.2f} (with products {products:.2f})")
    print(f"device: {compute.device}, {compute.precision}")

    test_data = _read(args, "test", model)
    normaliser = _normaliser(args, recipe, model, checkpoint, test_data)
    test_set = None
    if args.dataset == "wild" or normaliser.per_window:
        if args.subset != 1 or args.downsample != 1:
            raise InputError("--subset and --downsample are not for a test on whole clips (--dataset wild, or in-the-wild weights)")
    else:
        test_set = _dataset(args, test_data, model, normaliser, 1 if args.stride == 1 else model.frames)
    job = _Job(args, recipe, compute, model, normaliser, test_data, test_set)
    if args.test:
        job.finish(job.evaluate(model))
    elif recipe.normaliser:
        prepare(model, recipe, fresh=not (checkpoint or resumed))
        job.train(_wild_dataset(args, test_data, model, normaliser), resumed)
    else:
        if normaliser.per_window:
            raise InputError(f"{checkpoint.path}: in-the-wild weights are trained further with --recipe wild; add it")
        data = _read(args, "train", model)
        train_set = _dataset(args, data, model, normaliser, args.stride, args.data_augmentation, args.reverse_augmentation)
        job.train(train_set, resumed)


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

    @property
    def result(self) -> PoseTransformer:
        """The model that is tested and saved."""
        return self.model if self.mean is None else self.mean.module

    @property
    def centre_only(self) -> bool:
        """Whether testing scores the centre frames alone."""
        return self.args.stride == 1 or not self.args.out_all or self.model.centre_only

    def evaluate(self, model: PoseTransformer) -> Scores:
        args, sequences = self.args, self.test_data.sequences
        progress = functools.partial(tqdm, desc="test", disable=None, leave=False)
        if self.test_set is None:
            lifter = Lifter(model, self.normaliser, self.compute.device, args.batch_size, flip=args.test_augmentation)
            return evaluate_lifting(lifter, sequences, progress(self.until_signal(sequences), total=len(sequences)), self.test_data.pooled)
        order = BatchOrder(len(self.test_set), args.batch_size)
        batches = self.until_signal(loader(self.test_set, order, args.workers, self.compute.device))
        bar = progress(batches, total=len(order), unit="batch")
        return evaluate(model, self.test_set, bar, self.compute, flip_test=args.test_augmentation, centre_only=self.centre_only)

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
            write_text(args.results, json.dumps({**scores.as_dict(), **sizes, "source": source, **more}, indent=1) + "\n")

    def until_signal(self, batches: Iterable) -> Iterator:
        """Pass batches, or clips, on until a signal has come."""
        for batch in batches:
            if self.signal:
                raise Stopped
            yield batch
        if self.signal:
            raise Stopped

    def train(self, train_set: PoseDataset | WildDataset, resumed: Run | None) -> None:
        """Train for --nepoch epochs, test after each, keep the best and the last; end with the table of the best epoch."""
        args = self.args
        optimizer = self.recipe.optimizer(self.model.parameters(), args.lr)
        if self.recipe.ema is not None:
            self.mean = AveragedModel(self.model, multi_avg_fn=running_mean(self.recipe.ema), use_buffers=True)
        scaler = torch.amp.GradScaler(self.compute.device.type, enabled=args.precision == "fp16")
        progress = Progress(args.lr, args.previous_best, args.previous_name)
        if resumed:
            folder, progress = resumed.folder, resumed.progress
            steps = len(BatchOrder(len(train_set), args.batch_size))
            if progress.step > steps:
                where = f"{resumed.file}: is in step {progress.step} of an epoch of {steps}"
                raise InputError(f"{where}; give it the data that it was trained on")
            resumed.restore(self.model, optimizer, scaler, self.mean, self.recipe, self.compute)
            print(f"resumed: {resumed.file}, epoch {progress.epoch}, step {progress.step}")
        else:
            folder = Path(args.checkpoint or f"checkpoint/{time.strftime('%m%d_%H%M_%S')}_{self.model.frames}")
            if (folder / LAST).exists():
                raise InputError(f"{folder / LAST}: a run is there already; give --resume {folder} to go on, or another --checkpoint")
        settings = {**vars(args), "model": self.model.name, **self.model.sizes, "recipe": self.recipe.name}
        write_text(folder / "configs.txt", "".join(f"{key}: {value}\n" for key, value in sorted(settings.items())))
        print(f"folder: {folder}")

        saved = time.monotonic()

        def save() -> None:
            nonlocal saved
            write_run(folder, self.model, self.normaliser, optimizer, scaler, self.mean, progress, args, self.compute)
            saved = time.monotonic()

        def stop(number: int, _: object) -> None:
            self.signal = number

        previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        best_scores = None
        try:
            while progress.epoch <= args.nepoch:
                self.train_epoch(train_set, optimizer, scaler, progress, lambda: time.monotonic() - saved > args.save_every and save())
                scores = self.evaluate(self.result)
                if self.end_epoch(folder, scores, progress):
                    best_scores = scores, progress.epoch
                if self.recipe.warm_up is None:
                    progress.lr = next_learning_rate(progress.lr, progress.epoch, args.lr_decay, args.lr_decay_large, args.lr_decay_epoch)
                progress.epoch, progress.step, progress.loss, progress.windows = progress.epoch + 1, 0, 0.0, 0
                save()
        except Stopped:
            save()
            print(f"stopped by signal {self.signal} in epoch {progress.epoch}, step {progress.step}; go on with --resume {folder}")
            raise SystemExit(128 + self.signal) from None
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        if best_scores is None:  # an epoch before the resumption was the best
            if not progress.best_name or not Path(progress.best_name).exists():
                raise InputError(
                    f"{folder}: no epoch was better than {progress.best:.2f} mm, so that there is nothing to show; see --previous_best"
                )
            load_weights(self.result, read_checkpoint(progress.best_name))
            best_scores = self.evaluate(self.result), int(Path(progress.best_name).stem.split("_")[1])
        print(f"best: {progress.best_name}")
        self.finish(best_scores[0], epoch=best_scores[1], checkpoint=progress.best_name)

    def train_epoch(
        self,
        train_set: PoseDataset | WildDataset,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        progress: Progress,
        autosave,
    ) -> None:
        """The batches of an epoch that are not done yet."""
        args, recipe = self.args, self.recipe
        if isinstance(train_set, WildDataset):
            train_set.epoch = progress.epoch
        order = BatchOrder(len(train_set), args.batch_size, args.seed, progress.epoch, progress.step)
        steps = progress.step + len(order)  # of an epoch
        batches = self.until_signal(loader(train_set, order, args.workers, self.compute.device))
        with tqdm(
            total=len(order) + progress.step, initial=progress.step, desc=f"epoch {progress.epoch}", unit="batch", disable=None, leave=False
        ) as bar:
            started, frames = time.monotonic(), 0

            def before_step() -> None:
                if recipe.warm_up is not None:
                    progress.lr = args.lr * cosine((progress.epoch - 1) * steps + progress.step, args.nepoch * steps, recipe.warm_up)
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
                    f"loss {progress.loss / progress.windows:.4f}, {frames / (time.monotonic() - started):.0f} frames/s", refresh=False
                )
                bar.update()
                autosave()

            train_one_epoch(self.model, batches, self.recipe, optimizer, self.compute, scaler, not args.out_all, after_step, before_step)
        if frames:
            print(f"epoch {progress.epoch}: trained at {frames / (time.monotonic() - started):.0f} frames/s", flush=True)

    def end_epoch(self, folder: Path, scores: Scores, progress: Progress) -> bool:
        """Log the epoch; save the weights if they are strictly better than all before. Returns whether they were."""
        mpjpe, p_mpjpe = scores.published["mpjpe"].mean, scores.published["p_mpjpe"].mean
        row = {"epoch": progress.epoch, "lr": progress.lr, "loss": progress.loss / progress.windows, "mpjpe": mpjpe, "p_mpjpe": p_mpjpe}
        progress.history.append(row)
        better = mpjpe < progress.best or self.recipe.last
        if better:
            path = folder / f"model_{progress.epoch}_{int(100 * mpjpe)}.pth"
            save_checkpoint(path, self.result, self.normaliser, epoch=progress.epoch, mpjpe=mpjpe, p_mpjpe=p_mpjpe)
            if progress.best_name and Path(progress.best_name) != path:
                Path(progress.best_name).unlink(missing_ok=True)
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


def build_model(args: Namespace, default_model: str, checkpoint: Checkpoint | None, in_channels: int | None = None) -> PoseTransformer:
    """The model that the flags name; what they leave open comes from the checkpoint, then from the variant itself.

    in_channels: in place of the variant's own, for a model that starts afresh.
    """
    name = args.model or (checkpoint.name if checkpoint else None) or default_model
    given = {size: getattr(args, size) for size in SIZE_FLAGS if getattr(args, size) is not None}
    if args.n_joints is not None:
        given["joints"] = args.n_joints
    known = model_sizes(name)
    if "joints" not in given and args.keypoints.startswith(("sh", "hr")):
        given["joints"] = 16
    joints = given.get("joints", known["joints"])
    if args.out_joints not in (None, joints):
        raise InputError(f"--out_joints is {args.out_joints}, but the input has {joints} joints; they must be the same")
    if in_channels is not None and checkpoint is None:
        given["in_channels"] = in_channels
    if checkpoint and checkpoint.name:
        family = name.split(".")[0]
        if checkpoint.name.split(".")[0] != family:
            raise InputError(f"{checkpoint.path}: holds {checkpoint.name}, not {name}; leave out --model or give another checkpoint")
        # Weights of another plan on the same backbone go on with this one's, if the learned parts are the same.
        replaced = (*PLAN, *SINGLE) if checkpoint.name != name else SINGLE if "prune" in given else ()
        given = {size: value for size, value in checkpoint.sizes.items() if size in known and size not in replaced} | given
    return create_model(name, **given)


def _normaliser(args: Namespace, recipe: Recipe, model: PoseTransformer, checkpoint: Checkpoint | None, data: Data) -> Normaliser:
    """That of the checkpoint, of the recipe, or what --crop_uv says."""
    own = Normaliser("pixels" if args.crop_uv else "picture", model.in_channels, data.sequences[0].fps / args.downsample)
    normaliser = (checkpoint and checkpoint.normaliser) or recipe.normaliser or own
    if normaliser.kind != own.kind and (args.crop_uv or not normaliser.per_window):
        where = checkpoint.path if checkpoint else f"--recipe {recipe.name}"
        raise InputError(f"{where}: wants 2D in {normaliser.kind} units, but --crop_uv is {args.crop_uv}; leave it out or change it")
    if recipe.normaliser and normaliser != recipe.normaliser and not args.test:
        raise InputError(f"{checkpoint.path}: its weights read 2D otherwise than --recipe {recipe.name} gives it; leave one of both out")
    return normaliser if normaliser.per_window else own


def _wild_dataset(args: Namespace, test_data: Data, model: PoseTransformer, normaliser: Normaliser) -> WildDataset:
    if model.joints != H36M.joints:
        raise InputError(f"--recipe wild is for {H36M.joints} joints, but the model has {model.joints}; see --n_joints")
    path = Path(args.root_path) / f"motion_{args.motion}.npz"
    clips, fps, source = read_world_motion(path, "train")
    if args.actions != "*":  # people whose actions are not asked for are test people all the same
        test_data = read_sequences(args.dataset, args.root_path, args.keypoints, "test")
    both = sorted({clip.subject for clip in clips} & {sequence.subject for sequence in test_data.sequences})
    if both:
        raise InputError(f"{path}: subject {', '.join(both)} would be trained on and is in the test set of --dataset {args.dataset}")
    print(f"training motion: {len(clips)} clips, {sum(map(len, clips)) / fps / 60:.1f} minutes. {source}")
    return WildDataset(clips, fps, normaliser, model.frames, args.stride, args.seed)


def _read(args: Namespace, split: str, model: PoseTransformer) -> Data:
    data = read_sequences(args.dataset, args.root_path, args.keypoints, split, args.actions)
    if data.skeleton.joints != model.joints:
        raise InputError(
            f"--keypoints {args.keypoints} have {data.skeleton.joints} joints, but the model has {model.joints}; see --n_joints"
        )
    return data


def _dataset(args: Namespace, data: Data, model: PoseTransformer, normaliser: Normaliser, stride: int, *augment: bool) -> PoseDataset:
    flipped, reversed_ = augment or (False, False)
    return PoseDataset(
        data.sequences, data.skeleton, normaliser, model.frames, stride,
        flipped=flipped, reversed_=reversed_, subset=args.subset, downsample=args.downsample,
    )  # fmt: skip


def _check_resumed(args: Namespace, saved: dict, free: set[str]) -> None:
    for key, value in vars(args).items():
        if key not in free and value != saved.get(key, value):
            raise InputError(f"--{key} is {value}, but the run to resume has {saved[key]}; leave the flag out or start a new run")
