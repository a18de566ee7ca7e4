"""Training runs that are killed, stopped, or run into trouble at random moments: does anything get lost, and do they
end the same?

    python benchmark/chaos.py

A small synthetic set (dataset/prepare_toy.py) in a temporary folder; one run that is left alone; then runs to which
something happens again and again, each time gone on with by --resume until it is done. "Amid a save": the process was
stopped while a temporary file was there, so that the signal meets the save itself; "half-written" counts the kills that
left such a file behind for the next start to sweep. After every blow each checkpoint in the folder is read. At the end
of every run its weights, optimizer, random numbers and history must be those of the run that was left alone, bit for
bit, and its folder must hold the same files and no other. Exit code 1 where anything of that fails. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import multiprocessing
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.arguments import Parser, number
from common.errors import InputError, exit_on_input_error
from common.experiment import run
from common.files import TEMPORARY
from common.inference.checkpoint import LAST, read_checkpoint
from common.inference.torch_file import read_torch_file
from common.training.recipes import MIXSTE
from dataset.prepare_toy import write

SIZES = ["--frames", "9", "--stride", "9", "--channel", "16", "--depth", "2", "--token_num", "3", "--layer_index", "1"]
TRAINING = ["--device", "cpu", "--batch_size", "8", "--nepoch", "2", "--lr", "1e-3", "--save_every", "0"]
PATIENCE = 20
"""A process that takes so many times as long as the run that was left alone counts as hanging."""


@dataclass(frozen=True)
class Blow:
    """Something that happens to a run. strike(process, folder) does it; codes: how the run may end then, 0 where it was
    not hurt.
    """

    title: str
    strike: Callable[[BaseProcess, Path], None]
    codes: tuple[int, ...]
    workers: int = 0
    amid_a_save: bool = False
    share: float = 1.0  # of the number of kills that was asked for


def kill(process: BaseProcess, _: Path) -> None:
    os.kill(process.pid, signal.SIGKILL)


def terminate(process: BaseProcess, _: Path) -> None:
    os.kill(process.pid, signal.SIGTERM)


def interrupt_twice(process: BaseProcess, _: Path) -> None:
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGCONT)
    time.sleep(0.003)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGINT)


def kill_a_loader_process(process: BaseProcess, _: Path) -> None:
    children: list[str] = []
    while not children and process.is_alive():
        with contextlib.suppress(OSError):  # it has just ended
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    if children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(children[0]), signal.SIGKILL)


def fill_the_disk(process: BaseProcess, folder: Path) -> None:
    """No file may grow beyond half a last.pt any more, which PyTorch's writer meets in the middle, as on a full
    disk.
    """
    size = (folder / LAST).stat().st_size if (folder / LAST).exists() else 2**16
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size // 2, size // 2))


BLOWS = (
    Blow("kill -9", kill, (-9,)),
    Blow("kill -9, two loader processes", kill, (-9,), workers=2),
    Blow("kill -9 amid a save", kill, (-9,), amid_a_save=True),
    Blow("kill -9 amid a save, two loader processes", kill, (-9,), workers=2, amid_a_save=True),
    Blow("SIGTERM", terminate, (143, 0), share=0.5),
    Blow("SIGTERM amid a save", terminate, (143, 0), amid_a_save=True, share=0.5),
    Blow("Ctrl-C twice", interrupt_twice, (130, 0), share=0.5),
    Blow("Ctrl-C twice amid a save", interrupt_twice, (130, 0), amid_a_save=True, share=0.5),
    Blow("a loader process killed", kill_a_loader_process, (2, 0), workers=2, share=0.5),
    Blow("disk full", fill_the_disk, (2, 0), share=0.5),
)


def train(flags: list[str], log: Path) -> None:
    """What the process of a run does."""
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    code = 0
    try:
        run(MIXSTE, "mixste.hot_mixste", flags)
    except SystemExit as end:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as where a program ends; that of a forked process would meet it
        code = end.code
    sys.stdout.flush()
    os._exit(code)


def start(folder: Path, root: Path, workers: int, log: Path) -> BaseProcess:
    """Begin the run of a folder, or go on with it, in a process of its own; forked, since it would load PyTorch for
    seconds.
    """
    begin = ["--root_path", str(root), *SIZES, *TRAINING, "--checkpoint", str(folder)]
    flags = ["--resume", str(folder)] if (folder / LAST).exists() else begin
    process = multiprocessing.get_context("fork").Process(target=train, args=([*flags, "--workers", str(workers)], log))
    process.start()
    return process


def stopped_in_a_save(process: BaseProcess, folder: Path) -> bool:
    """Stop the process (SIGSTOP) while a temporary file of last.pt is there. Returns whether it was met before it
    ended.
    """
    while process.is_alive():
        if not saving(folder):
            continue
        os.kill(process.pid, signal.SIGSTOP)
        if saving(folder):
            return True
        os.kill(process.pid, signal.SIGCONT)
    return False


def saving(folder: Path) -> bool:
    return any((temporary / LAST).exists() for temporary in folder.glob(f"{TEMPORARY}*"))


def unreadable(folder: Path) -> list[str]:
    """The checkpoints that cannot be read."""
    bad = []
    for path in [*folder.glob("*.pth"), *folder.glob(LAST)]:
        try:
            (read_torch_file if path.name == LAST else read_checkpoint)(path)
        except InputError as error:
            bad.append(str(error))
    return bad


def same(a: object, b: object) -> bool:
    """Equal to the last bit, all the way down."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, Tensor) else a == b


def same_end(folder: Path, whole: Path) -> bool:
    """Whether a run ended as the one that was left alone."""
    mine, theirs = read_torch_file(folder / LAST), read_torch_file(whole / LAST)
    state = all(same(mine[key], theirs[key]) for key in ("model", "optimizer", "scaler", "progress", "rng", "mean"))
    files = [path.name for path in whole.glob("*.pth")] + ["train.log"]
    return state and all(
        (folder / name).exists() and (folder / name).read_bytes() == (whole / name).read_bytes() for name in files
    )


@dataclass
class Row:
    """What happened to the runs of one kind of blow."""

    blows: int = 0
    half_written: int = 0
    ended_wrong: int = 0
    runs: int = 0
    differ: int = 0
    unreadable: int = 0
    left_over: int = 0

    @property
    def right(self) -> bool:
        return not (self.ended_wrong or self.differ or self.unreadable or self.left_over)


def suffer(
    blow: Blow, count: int, root: Path, whole: Path, seconds: float, place: Path, rng: np.random.Generator
) -> Row:
    """Strike runs until there were `count` blows; every run is brought to its end."""
    row = Row()
    while row.blows < count:
        row.runs += 1
        folder, log = place / f"run{row.runs}", place / f"run{row.runs}.txt"
        finished = False
        while not finished:
            process = start(folder, root, blow.workers, log)
            moment = time.monotonic() + rng.uniform(0, seconds / 2)
            while process.is_alive() and time.monotonic() < moment and row.blows < count:
                time.sleep(0.001)
            struck = (
                row.blows < count
                and process.is_alive()
                and (not blow.amid_a_save or stopped_in_a_save(process, folder))
            )
            if struck:
                blow.strike(process, folder)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGCONT)
                row.blows += 1
            process.join(PATIENCE * seconds)
            if process.is_alive():
                process.kill()
                process.join()
                print(f"{log}: hangs")
            if struck:
                row.half_written += saving(folder)
                row.unreadable += len(unreadable(folder))
            expected = (*blow.codes, 0) if struck else (0,)
            if process.exitcode not in expected or "Traceback" in log.read_text():
                row.ended_wrong += 1
                print(f"{blow.title}: exit code {process.exitcode}\n{log.read_text()[-2000:]}")
                break
            finished = process.exitcode == 0
        if finished:
            row.differ += not same_end(folder, whole)
            extra = {path.name for path in folder.iterdir()} ^ {path.name for path in whole.iterdir()}
            row.left_over += len(extra)
            if extra:
                print(f"{blow.title}: {', '.join(sorted(extra))}")
    return row


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kills",
        type=number(int, 1),
        default=20,
        help="blows of each kind; half as many of some (default: %(default)s)",
    )
    parser.add_argument("--seed", type=number(int, 0), default=0, help="of the moments (default: %(default)s)")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only blows whose title has this in it (default: all)"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        root, whole = place / "data", place / "whole"
        write(root, frames=12, seed=0)
        seconds = time.monotonic()
        process = start(whole, root, 0, place / "whole.txt")
        process.join()
        seconds = time.monotonic() - seconds
        if process.exitcode:
            raise InputError(f"the run that is left alone failed: {(place / 'whole.txt').read_text()}")
        steps = len(read_torch_file(whole / LAST)["progress"]["history"])
        print(
            f"the run that is left alone: {steps} epochs, {seconds:.1f} s, {(whole / LAST).stat().st_size:,} bytes of "
            f"{LAST}\n"
        )
        heads = ("blows", "half-written", "ended wrong", "runs", "other end", "unreadable", "left over")
        print(f"{'':42}" + "".join(f"{head:>13}" for head in heads), flush=True)
        right = True
        for line, blow in enumerate(BLOWS):
            if args.only not in blow.title:
                continue
            rng = np.random.default_rng([args.seed, line])
            folder = place / str(line)
            folder.mkdir()
            row = suffer(blow, max(1, round(args.kills * blow.share)), root, whole, seconds, folder, rng)
            cells = (row.blows, row.half_written, row.ended_wrong, row.runs, row.differ, row.unreadable, row.left_over)
            print(f"{blow.title:42}" + "".join(f"{cell:>13}" for cell in cells), flush=True)
            right = right and row.right
    if not right:
        raise SystemExit(1)


if __name__ == "__main__":
    exit_on_input_error(main)
