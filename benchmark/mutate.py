"""Damaged and hostile files for every reader, in worker processes with limits of time and memory.

    python benchmark/mutate.py --cases 400
    python benchmark/mutate.py --readers "motion file" checkpoint --seed 7

Every case takes a good file, does to it what its mutation says, and reads it. Right is: refused with an InputError
of one sentence, or read as the file was, or, where the mutation also mends checksums or the file has none, read as
other values of the right kind. Wrong is: any other exception, a hang, memory over the limit, a message that is no
sentence, damage that passes unnoticed. The table says how often each came; the cases that went wrong follow, each
with what it takes to repeat it.
"""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import argparse
import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmark.mutations import RAW, mutations
from common.errors import InputError

RIGHT = ("refused", "same", "other")
WRONG = ("traceback", "hang", "memory", "sentence", "unnoticed", "not finite", "died")
LONGEST = 700
"""Of a message, characters."""


# ---- readers: one line each ----


@dataclasses.dataclass(frozen=True)
class Reader:
    """make(folder) writes a good file and gives its path; read(path) reads it, raising InputError for what cannot be
    used."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    holes: bool = False
    """Whether values may be NaN where nothing was seen."""


def _make_motion(folder: Path) -> Path:
    from tests.synthetic import write_tiny

    return write_tiny(folder) / "data_tiny.npz"


def _read_motion(path: Path) -> object:
    from common.data.motion_file import read_motion_file

    return read_motion_file(path, "gt", "train")


def _make_wild(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    pose = rng.normal(0, 1, (3, 9, 17, 3)).astype(np.float32)
    fields = {
        "pose_2d": pose,
        "pose_3d": pose,
        "focal": np.ones((3, 2), np.float32),
        "size": np.full((3, 2), 1000, np.int32),
    }
    np.savez(
        folder / "wild_test.npz",
        **fields,
        clips=np.array(["03_01", "03_02", "09_01"]),
        fps=50.0,
        source="drawn by chance",
    )
    return folder / "wild_test.npz"


def _read_wild(path: Path) -> object:
    from common.data.wild_file import read_wild_file

    return read_wild_file(path)


def _make_world(folder: Path) -> Path:
    from common.data.world_motion import WorldClip, write_world_motion

    rng = np.random.default_rng(1)
    clips = [
        WorldClip(f"0{i}_01", f"0{i}", "train" if i < 3 else "test", i == 1, rng.normal(0, 1, (9, 17, 3)))
        for i in range(1, 5)
    ]
    write_world_motion(folder / "motion_cmu.npz", source="drawn by chance", fps=50, clips=clips)
    return folder / "motion_cmu.npz"


def _read_world(path: Path) -> object:
    from common.data.world_motion import read_world_motion

    return read_world_motion(path, "train")


def _make_ready(folder: Path) -> Path:
    rng = np.random.default_rng(2)
    fields = {"clips": np.array(["03_01", "05_02"]), "source": np.array(["amc", "bvh"]), "lengths": np.array([4, 5])}
    np.savez(folder / "ready.npz", **fields, root=rng.normal(0, 1, (9, 3)), relative=rng.normal(0, 1, (9, 16, 3)))
    return folder / "ready.npz"


def _read_ready(path: Path) -> object:
    from dataset.clips import read_ready

    return read_ready(path)


def _make_keypoints(folder: Path) -> Path:
    from demo.keypoint_files import write_keypoints

    write_keypoints(folder / "keypoints.npz", np.random.default_rng(3).uniform(0, 1, (2, 9, 17, 3)), 30, (640, 480))
    return folder / "keypoints.npz"


def _read_keypoints(path: Path) -> object:
    from demo.keypoint_files import read_keypoints

    return read_keypoints(path)


def _make_poses(folder: Path) -> Path:
    from demo.poses import Poses, write_poses

    pose = np.random.default_rng(4).uniform(0, 1, (2, 9, 17, 3))
    write_poses(folder / "poses.npz", Poses(pose, pose, np.ones((2, 9), bool), 30, (640, 480), "a model", "00ff"))
    return folder / "poses.npz"


def _read_poses(path: Path) -> object:
    from demo.poses import read_poses

    return read_poses(path)


def _make_h36m(folder: Path) -> Path:
    from tests.synthetic import write_h36m

    return write_h36m(folder, {"S9": {"Walking": 5, "Sitting": 7}}) / "data_2d_h36m_gt.npz"


def _make_h36m_3d(folder: Path) -> Path:
    return _make_h36m(folder).with_name("data_3d_h36m.npz")


def _read_h36m(path: Path) -> object:
    from common.data.h36m import read_h36m

    return read_h36m(path.parent, "gt", ["S9"])


def _make_3dhp(folder: Path) -> Path:
    from tests.synthetic_3dhp import arrays, save

    return save(folder, None, arrays(4)[1]) / "data_test_3dhp.npz"


def _read_3dhp(path: Path) -> object:
    from common.data.mpi_inf_3dhp import read_3dhp

    return read_3dhp(path.parent, "test")


def _make_custom(folder: Path) -> Path:
    points = np.random.default_rng(5).uniform(0, 500, (9, 17, 2)).astype(np.float32)
    about = {"layout_name": "coco", "num_joints": 17, "video_metadata": {"walk.mp4": {"w": 640, "h": 480}}}
    np.savez_compressed(
        folder / "data_2d_custom_mine.npz", positions_2d={"walk.mp4": {"custom": [points]}}, metadata=about
    )
    return folder / "data_2d_custom_mine.npz"


def _read_custom(path: Path) -> object:
    from common.data.custom_2d import read_custom_2d

    return read_custom_2d(path)


def _make_bvh(folder: Path) -> Path:
    from tests.mocap_texts import bvh_text

    (folder / "05_01.bvh").write_text(bvh_text(frames=4))
    return folder / "05_01.bvh"


def _read_bvh(path: Path) -> object:
    from dataset.rigs import read_bvh

    return read_bvh(path)


def _make_asf(folder: Path) -> Path:
    from tests.mocap_texts import amc_text, asf_text

    (folder / "01.asf").write_text(asf_text())
    (folder / "01_01.amc").write_text(amc_text(frames=4))
    return folder / "01.asf"


def _make_amc(folder: Path) -> Path:
    return _make_asf(folder).with_name("01_01.amc")


def _read_amc(path: Path) -> object:
    from dataset.asf_amc import read_asf_amc

    return read_asf_amc(path.with_name("01.asf"), path.with_name("01_01.amc"))


def _make_checkpoint(folder: Path) -> Path:
    from common.geometry.normalise import Normaliser
    from common.inference.checkpoint import save_checkpoint
    from model import create_model

    model = create_model("mixste.mixste", frames=9, channel=16, d_hid=24, depth=2)
    save_checkpoint(folder / "model.pth", model, Normaliser("picture", 2), epoch=3, mpjpe=40.0)
    return folder / "model.pth"


def _read_checkpoint(path: Path) -> object:
    from common.inference.checkpoint import load_weights, read_checkpoint
    from model import create_model

    checkpoint = read_checkpoint(path)
    model = create_model(
        checkpoint.name or "mixste.mixste",
        **(checkpoint.sizes or {"frames": 9, "channel": 16, "d_hid": 24, "depth": 2}),
    )
    load_weights(model, checkpoint)
    return model.state_dict(), checkpoint.name, checkpoint.sizes, checkpoint.normaliser


def _run_script(*argv: object) -> None:
    from common.experiment import run
    from common.training.recipes import MIXSTE

    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            run(MIXSTE, "mixste.hot_mixste", list(map(str, argv)))
        except SystemExit:
            raise InputError(errors.getvalue().removeprefix("error: ").removesuffix("\n")) from None


def _make_run(folder: Path) -> Path:
    _make_motion(folder)
    sizes = (
        "--frames",
        9,
        "--stride",
        9,
        "--token_num",
        5,
        "--layer_index",
        1,
        "--channel",
        16,
        "--depth",
        2,
        "--batch_size",
        8,
    )
    _run_script("--dataset", "tiny", "--root_path", folder, "--checkpoint", folder / "run", *sizes, "--nepoch", 1)
    return folder / "run" / "last.pt"


def _read_run(path: Path) -> object:
    """Go on with a run for another epoch."""
    results = path.with_name("results.json")
    _run_script("--resume", path, "--nepoch", 2, "--results", results)
    return {
        name: value for name, value in json.loads(results.read_text()).items() if name not in ("seconds", "checkpoint")
    }


READERS = {
    "motion file": Reader(_make_motion, _read_motion),
    "wild file": Reader(_make_wild, _read_wild),
    "world motion": Reader(_make_world, _read_world),
    "ready clips": Reader(_make_ready, _read_ready),
    "keypoints": Reader(_make_keypoints, _read_keypoints),
    "poses": Reader(_make_poses, _read_poses, holes=True),
    "Human3.6M 2D": Reader(_make_h36m, _read_h36m),
    "Human3.6M 3D": Reader(_make_h36m_3d, _read_h36m),
    "MPI-INF-3DHP": Reader(_make_3dhp, _read_3dhp),
    "custom 2D": Reader(_make_custom, _read_custom),
    "BVH": Reader(_make_bvh, _read_bvh),
    "ASF": Reader(_make_asf, _read_amc),
    "AMC": Reader(_make_amc, _read_amc),
    "checkpoint": Reader(_make_checkpoint, _read_checkpoint),
    "run": Reader(_make_run, _read_run),
}


# ---- cases ----


@dataclasses.dataclass(frozen=True)
class Case:
    """One file to read; the same reader, number and seed give the same file."""

    reader: str
    number: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a case: kind, one of RIGHT or WRONG; what was done; message or traceback."""

    case: Case
    kind: str
    mutation: str
    detail: str = ""


def _prints(value: object) -> Iterator[bytes]:
    """Bytes that are equal exactly where values are."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().contiguous().view(-1).numpy() if value.numel() else np.array(value.shape)
    if dataclasses.is_dataclass(value):
        value = vars(value)
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield repr(key).encode()
            yield from _prints(item)
    elif isinstance(value, list | tuple):
        yield f"{len(value)}".encode()
        for item in value:
            yield from _prints(item)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    else:
        yield repr(value).encode()


def _digest(value: object) -> str:
    digest = hashlib.sha256()
    for part in _prints(value):
        digest.update(part)
    return digest.hexdigest()


def _arrays(value: object) -> Iterator[np.ndarray]:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if dataclasses.is_dataclass(value):
        value = vars(value)
    if isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _arrays(item)
    elif isinstance(value, float | np.ndarray):
        yield np.asarray(value)


def judge(case: Case, reader: Reader, good: Path, expected: str, folder: Path) -> Outcome:
    """Make the file of a case in `folder` from the file `good` and those beside it, and read it; expected: the
    digest of `good`."""
    rng = np.random.default_rng([case.seed, case.number, zlib.crc32(case.reader.encode())])
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(good.parent, folder)
    path = folder / good.name
    ways = mutations(path)
    mutate = ways[case.number % len(ways)]
    mutate(path, rng)
    name = mutate.__name__.strip("_")
    try:
        value = reader.read(path)
    except InputError as error:
        chain, cause = [], error
        while cause is not None:
            chain, cause = [*chain, cause], cause.__cause__ or cause.__context__
        if any(isinstance(part, MemoryError) for part in chain):
            return Outcome(case, "memory", name, str(error))
        text = str(error)
        one_sentence = text.isprintable() and len(text) <= LONGEST and folder.name in text
        return Outcome(case, "refused" if one_sentence else "sentence", name, text)
    except MemoryError:
        return Outcome(case, "memory", name, traceback.format_exc())
    except Exception:  # the very thing that is looked for
        return Outcome(case, "traceback", name, traceback.format_exc())
    if not reader.holes and not all(
        np.isfinite(values).all() for values in _arrays(value) if values.dtype.kind in "fc"
    ):
        return Outcome(case, "not finite", name)
    if _digest(value) == expected:
        return Outcome(case, "same", name)
    checked = mutate in RAW and path.suffix in (".npz", ".pth", ".pt")
    return Outcome(case, "unnoticed" if checked else "other", name)


def _work(connection, memory: int) -> None:
    """Judge the cases that come through the connection, with so many bytes of memory over those that the imports
    take."""
    warnings.simplefilter("ignore")
    good: dict[str, tuple[Path, str]] = {}
    with tempfile.TemporaryDirectory() as place:
        while True:
            case = connection.recv()
            if case is None:
                return
            reader = READERS[case.reader]
            if case.reader not in good:
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                folder = Path(place, str(len(good)))
                folder.mkdir()
                path = reader.make(folder)
                good[case.reader] = path, _digest(reader.read(path))
                size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (size + memory, resource.RLIM_INFINITY))
            connection.send(None)  # the clock starts
            connection.send(judge(case, reader, *good[case.reader], Path(place, "case")))


class Worker:
    """A process that judges cases, one after the other, and is replaced where it hangs or dies."""

    def __init__(self, memory: int, patience: float) -> None:
        self.memory, self.patience = memory, patience
        self.process: multiprocessing.process.BaseProcess | None = None

    def judge(self, case: Case) -> Outcome:
        """What comes of a case."""
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.connection, theirs = context.Pipe()
            self.process = context.Process(target=_work, args=(theirs, self.memory), daemon=True)
            self.process.start()
            theirs.close()
        try:
            self.connection.send(case)
            self.connection.recv()
            if self.connection.poll(self.patience):
                return self.connection.recv()
            kind = "hang"
        except (EOFError, ConnectionError):
            kind = "died"
        self.close()
        return Outcome(case, kind, "")

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None


def run(
    readers: Iterable[str], cases: int, seed: int, memory: int = 768 * 2**20, patience: float = 20.0
) -> Iterator[Outcome]:
    """The outcome of `cases` cases for each of the readers; limits in bytes and seconds."""
    worker = Worker(memory, patience)
    try:
        for reader, number in itertools.product(readers, range(cases)):
            yield worker.judge(Case(reader, number, seed))
    finally:
        worker.close()


def table(outcomes: Iterable[Outcome]) -> str:
    """How often each reader came to what."""
    counts: dict[str, Counter] = {}
    for outcome in outcomes:
        counts.setdefault(outcome.case.reader, Counter())[outcome.kind] += 1
    lines = [f"{'reader':16}" + "".join(f"{kind:>11}" for kind in (*RIGHT, *WRONG))]
    lines += [
        f"{reader:16}" + "".join(f"{count[kind]:11}" for kind in (*RIGHT, *WRONG)) for reader, count in counts.items()
    ]
    total = sum(counts.values(), Counter())
    return "\n".join([*lines, f"{'all':16}" + "".join(f"{total[kind]:11}" for kind in (*RIGHT, *WRONG))])


def main() -> None:
    """Run the cases, print what went wrong and the table; exit code 1 where anything did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--readers", nargs="+", choices=READERS, default=list(READERS), metavar="NAME", help=f"of {', '.join(READERS)}"
    )
    parser.add_argument("--cases", type=int, default=400, help="for each reader (default: %(default)s)")
    parser.add_argument(
        "--only", type=int, metavar="NUMBER", help="the case of this number alone, with its whole traceback"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    started, outcomes = time.monotonic(), []
    if args.only is not None:
        worker = Worker(768 * 2**20, 20.0)
        for reader in args.readers:
            print(*dataclasses.astuple(worker.judge(Case(reader, args.only, args.seed))))
        worker.close()
        return
    for outcome in run(args.readers, args.cases, args.seed):
        outcomes.append(outcome)
        if outcome.kind in WRONG:
            last = outcome.detail.strip().splitlines()[-1:] or [""]
            print(f"{outcome.kind}: {outcome.case}, {outcome.mutation}: {last[0][:300]}", flush=True)
    print(table(outcomes))
    print(f"{len(outcomes)} cases in {time.monotonic() - started:.0f} s")
    if any(outcome.kind in WRONG for outcome in outcomes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
