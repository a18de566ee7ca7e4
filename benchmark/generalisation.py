r"""How well in-the-wild weights do on people, studios and cameras that they have not seen.

    python benchmark/generalisation.py --validation --checkpoint checkpoint/RUN
    python benchmark/generalisation.py --checkpoint checkpoint/RUN

The first prints one number of a set that is there to choose by: when to stop, which plan, which option. The second
prints four that are to be read once, for weights that are released: nothing is chosen by them, or they would say too
much good.

| what | where | how to make it |
|---|---|---|
| validation | wild_val.npz | `python dataset/prepare_wild.py --windows 80 --seed 1 --output dataset/wild_val.npz` |
| 1 the fixed test set, 2 subject 03 in it, whose bones are her own | wild_test.npz | `python dataset/prepare_wild.py` |
| 3 other studios: captured, keyed by hand, on the floor | studio_test.npz | `python dataset/prepare_motion.py --input
CLIPS.npz --output \ dataset/motion_studio.npz`, `python dataset/prepare_wild.py --motion dataset/motion_studio.npz
--whole 8 --output dataset/studio_test.npz` |
| 4 real film | demo/output/real_film/ | `python benchmark/real_film.py`, once for each detector |

The files are looked for in --root_path; what is not there is left out, and said. Errors are means over frames in mm, of
every frame once; "moves" is the mean acceleration of the poses and of the true people, mm/frame^2: less than theirs is
too smooth, more is jitter.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import json
from collections.abc import Callable, Sequence

import torch
from tqdm import tqdm

from benchmark.real_film import CACHES, FETCHED, lifted, read_films, scores
from common.arguments import Parser
from common.data.sequences import PoseSequence
from common.data.wild_file import read_wild_file
from common.errors import exit_on_input_error
from common.evaluation.metrics import change_error, mpjpe, p_mpjpe
from common.files import check_writable, write_text
from common.inference.lifting import Lifter
from common.inference.predict import root_relative

Group = dict[str, Callable[[PoseSequence], bool]]
COLUMNS = {"mpjpe": "MPJPE", "p_mpjpe": "P-MPJPE", "acceleration": "Accel", "moves": "moves", "people_move": "people's"}
VALIDATION: dict[str, Group] = {"wild_val.npz": {"validation": lambda sequence: True}}
TESTS: dict[str, Group] = {
    "wild_test.npz": {
        "wild_test": lambda sequence: True,
        "subject 03 alone": lambda sequence: sequence.subject == "03",
    },
    "studio_test.npz": {
        "studios, captured": lambda sequence: not sequence.action.startswith("keyed"),
        "studios, keyed": lambda sequence: sequence.action.startswith("keyed"),
        "studios, on the floor": lambda sequence: sequence.action.removeprefix("keyed ") == "floor",
    },
}


def measure(lifter: Lifter, sequence: PoseSequence) -> dict[str, torch.Tensor]:
    """What COLUMNS names of every frame of a sequence (L,), or of every three frames that follow each other (L - 2,);
    metres.
    """
    pose = torch.from_numpy(lifter(sequence.pose_2d, sequence.size, sequence.fps)).double()  # (L, J, 3)
    target = root_relative(torch.from_numpy(sequence.pose_3d).double())
    whole = torch.ones(max(len(pose) - 2, 0), dtype=torch.bool)
    return {
        "mpjpe": mpjpe(pose, target),
        "p_mpjpe": p_mpjpe(pose, target),
        "acceleration": change_error(pose, target, whole, 2),
        "moves": change_error(pose, torch.zeros_like(pose), whole, 2),
        "people_move": change_error(target, torch.zeros_like(pose), whole, 2),
    }


def score(lifter: Lifter, sequences: Sequence[PoseSequence], groups: Group, title: str) -> dict[str, dict[str, float]]:
    """The means over all frames of the sequences of each group, in mm, with how many there are; groups without any are
    left out.
    """
    shown = tqdm(sequences, desc=title, unit="clip", disable=None, leave=False)
    measured = [(sequence, measure(lifter, sequence)) for sequence in shown]
    found = {}
    for group, belongs in groups.items():
        chosen = [values for sequence, values in measured if belongs(sequence)]
        if chosen:
            found[group] = {
                name: 1000 * torch.cat([values[name] for values in chosen]).mean().item() for name in COLUMNS
            }
            found[group]["frames"] = sum(len(values["mpjpe"]) for values in chosen)
    return found


def score_files(lifter: Lifter, root: Path, files: dict[str, Group]) -> dict[str, dict[str, float]]:
    """The scores of all groups of those files that are in `root`; says which are not."""
    found = {}
    for name, groups in files.items():
        if not (root / name).exists():
            print(f"left out: {root / name} is not there; {Path(__file__).name} --help says how to make it")
            continue
        found |= score(lifter, read_wild_file(root / name)[0], groups, name)
    return found


def score_films(lifter: Lifter, films: Path, caches: Path) -> dict[str, dict]:
    """What `real_film.scores` says of every detector whose 2D is kept in a folder of `caches`; says if there is
    none.
    """
    kept = sorted(path.parent for path in caches.glob("*/keypoints.npz"))
    if not kept or not films.is_dir():
        print(
            f"left out: real film, of which no 2D is kept in {caches} or no films are in {films}; run "
            "benchmark/real_film.py once"
        )
        return {}
    found = {}
    for cache in kept:
        views = read_films(str(films), None, cache)
        found[cache.name] = {"lifted": scores(lifted(views, lifter), views), "detector": scores(views.own, views)}
    return found


def table(clips: dict[str, dict[str, float]], films: dict[str, dict]) -> str:
    """A row for each group, then for each detector of the films."""
    lines = []
    if clips:
        lines.append(
            f"{'mm; Accel, moves mm/frame^2':28}{'frames':>8}{''.join(f'{label:>10}' for label in COLUMNS.values())}"
        )
        for group, found in clips.items():
            lines.append(f"{group:28}{found['frames']:8}{''.join(f'{found[name]:10.2f}' for name in COLUMNS)}")
    for detector, found in films.items():
        ours, own = found["lifted"], found["detector"]
        lines.append(
            f"film, 2D by {detector}: views disagree by {ours['disagreement']['mean']:.1f} mm (the detector's own 3D "
            f"{own['disagreement']['mean']:.1f}), worst view {max(ours['disagreement']['views']):.1f}; from the "
            "triangulated joints "
            f"{ours['triangulated']['mean']:.1f} ({own['triangulated']['mean']:.1f}); moves "
            f"{ours['acceleration']['mean']:.1f}"
        )
    return "\n".join(lines)


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--checkpoint", help="weights of any model that this project trained (default: those that come along)"
    )
    parser.add_argument("--validation", action="store_true", help="only the number that choices may be made by")
    parser.add_argument(
        "--root_path",
        default=str(ROOT / "dataset"),
        help="folder of the .npz files (default: dataset/ of this repository)",
    )
    parser.add_argument(
        "--films",
        default=str(FETCHED),
        metavar="FOLDER",
        help="as benchmark/real_film.py has them (default: where it fetches)",
    )
    parser.add_argument(
        "--caches",
        default=str(CACHES),
        metavar="FOLDER",
        help="of 2D, one for each detector (default: demo/output/real_film/)",
    )
    parser.add_argument("--results", metavar="FILE.json", help="write what was measured to this file")
    return parser


def main() -> None:
    """Score, print, write."""
    args = build_parser().parse_args()
    if args.results:
        check_writable(args.results)
    lifter = Lifter.from_checkpoint(args.checkpoint)
    clips = score_files(lifter, Path(args.root_path), VALIDATION if args.validation else TESTS)
    films = {} if args.validation else score_films(lifter, Path(args.films), Path(args.caches))
    print(table(clips, films))
    if args.results:
        write_text(
            args.results, json.dumps({"model": lifter.model.name, "clips": clips, "films": films}, indent=1) + "\n"
        )


if __name__ == "__main__":
    exit_on_input_error(main)
