"""Look at what a lifter does: a contact sheet of a few windows, and a diagnosis over all of them.

    python benchmark/look.py
    python benchmark/look.py --checkpoint checkpoint/RUN --windows 6 --worst

A row of the sheet is a window (a whole sequence, where the data set has longer ones): at a few moments the 2D input,
and the poses, predicted and true, as the camera sees them (x, -y) and from the side (z, -y), all in one metric scale;
at its end the height of ankles and wrists over time. What is printed: the errors of the windows of the sheet, and over
all windows how often the hips are swapped, how often a knee bends backwards, how far and whereto the spine leans, and
how much the poses shake.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from tqdm import tqdm

from common.arguments import Parser, number
from common.data.datasets import default_keypoints, read_sequences
from common.data.sequences import PoseSequence
from common.data.wild_file import read_clip_names
from common.errors import InputError, exit_on_input_error
from common.evaluation.metrics import mpjpe, p_mpjpe
from common.files import check_writable, replacing
from common.geometry.skeleton import H36M
from common.inference.lifting import Lifter
from demo.figure import SIDE_COLOURS, flat_view

HIP, THORAX = 0, 8
LEGS = ((1, 2, 3), (4, 5, 6))
"""Hip, knee and ankle: right, left."""
ENDS = (6, 13, 3, 16)
"""Ankles and wrists, left before right."""
LEAST_HIP_LINE = 0.3
"""Along an axis that has less than this share of the true hip line, which hip is in front is not asked."""
LEAST_SPINE = 0.5
"""In a plane that holds less than this share of a spine, its lean is not measured."""
BACKWARDS = 15.0
"""A knee that bends forwards by more than this is one that bends backwards, degrees; less is how knees are marked."""


# ---- diagnosis: pure functions of poses (T, 17, 3), metres, camera axes: x right, y down, z forward ----


def swapped_hips(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether the line from the left to the right hip runs the other way -> (T, 2) along x and along z: 1, 0, or NaN.

    NaN: the true line has less than LEAST_HIP_LINE of its length along that axis, so that its sign says nothing.
    """
    found, true = (pose[:, LEGS[0][0]] - pose[:, LEGS[1][0]] for pose in (prediction, truth))  # (T, 3) each
    clear = np.abs(true) >= LEAST_HIP_LINE * np.linalg.norm(true, axis=-1, keepdims=True)
    clear &= true != 0  # of a person whose hips are in one point
    return np.where(clear, found * true < 0, np.nan)[:, [0, 2]]


def forward_bend(pose: np.ndarray) -> np.ndarray:
    """How far each knee bends to the person's front, degrees -> (T, 2) right, left; below 0: to the back, as knees do.

    The turn from thigh to shank about the hip line, as its sine tells: between -90 and 90.
    """
    line = pose[:, LEGS[0][0]] - pose[:, LEGS[1][0]]  # (T, 3) to the person's right
    angles = []
    for hip, knee, ankle in LEGS:
        thigh, shank = pose[:, knee] - pose[:, hip], pose[:, ankle] - pose[:, knee]
        sine = (np.cross(_unit(thigh), _unit(shank)) * _unit(line)).sum(axis=-1)
        angles.append(np.degrees(np.arcsin(np.clip(sine, -1, 1))))
    return np.stack(angles, axis=-1)


def lean_error(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The angle from the true spine (hip to thorax) to the predicted one, degrees -> (T, 2) pitch and roll.

    Pitch turns about the camera's x, above 0: the prediction leans further away from the camera. Roll turns about the
    camera's z, above 0: further to the right of the picture. NaN: too little of a spine lies in that plane
    (LEAST_SPINE).
    """
    found, true = (pose[:, THORAX] - pose[:, HIP] for pose in (prediction, truth))  # (T, 3) each
    errors = []
    for axis in (2, 0):
        angle = [np.degrees(np.arctan2(spine[:, axis], -spine[:, 1])) for spine in (found, true)]
        seen = [
            np.hypot(spine[:, axis], spine[:, 1]) / np.maximum(np.linalg.norm(spine, axis=-1), 1e-9)
            for spine in (found, true)
        ]
        turn = (angle[0] - angle[1] + 180) % 360 - 180
        errors.append(np.where(np.minimum(*seen) >= LEAST_SPINE, turn, np.nan))
    return np.stack(errors, axis=-1)


def acceleration(pose: np.ndarray) -> np.ndarray:
    """How large the second difference over time of each joint is, seen from joint 0 -> (T - 2, 17) metres / frame^2."""
    return np.linalg.norm(np.diff(pose - pose[:, :1], n=2, axis=0), axis=-1)


def seen_at_true_depth(pose_2d: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Where the 2D says that the joints are, were their depth known -> (T, 17, 3) metres, NaN for joints of score 0.

    pose_2d: (T, 17, 2 or 3) pixels and score. truth: in the camera's place. Its camera, focal length and principal
    point, is the one that fits best. What differs from the truth is the error of the 2D, in metres.
    """
    depth = np.maximum(truth[..., 2], 0.1).astype(np.float64)  # (T, 17)
    found = pose_2d[..., 2] > 0 if pose_2d.shape[-1] == 3 else np.ones(depth.shape, bool)
    ray, pixel = (truth[..., :2] / depth[..., None])[found], pose_2d[..., :2][found].astype(np.float64)  # (N, 2) each
    if len(pixel) == 0:
        return np.full(truth.shape, np.nan)
    centre_ray, centre = ray.mean(axis=0), pixel.mean(axis=0)
    focal = ((ray - centre_ray) * (pixel - centre)).sum() / max(((ray - centre_ray) ** 2).sum(), 1e-12)
    if focal <= 0:
        return np.full(truth.shape, np.nan)
    place = (pose_2d[..., :2] - (centre - focal * centre_ray)) / focal * depth[..., None]
    return np.where(found[..., None], np.concatenate([place, depth[..., None]], axis=-1), np.nan)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


# ---- windows ----


@dataclass(frozen=True)
class Look:
    """A window as lifted. prediction, truth: (T, 17, 3) metres, camera axes, relative to joint 0; errors: means over
    the window, mm.
    """

    number: int
    name: str
    sequence: PoseSequence
    prediction: np.ndarray
    truth: np.ndarray
    mpjpe: float
    p_mpjpe: float


def lift(lifter: Lifter, number: int, name: str, sequence: PoseSequence) -> Look:
    """Lift a window and score it, as evaluate_lifting does."""
    prediction = lifter(sequence.pose_2d, sequence.size, sequence.fps).astype(np.float64)
    truth = sequence.pose_3d.astype(np.float64)
    truth = truth - truth[:, :1]
    poses = torch.from_numpy(prediction), torch.from_numpy(truth)
    errors = [1000 * error(*poses).mean().item() for error in (mpjpe, p_mpjpe)]
    return Look(number, name, sequence, prediction, truth, *errors)


def window_numbers(text: str, have: int, worst: bool) -> list[int]:
    """What --windows asks for: "3,17,40" (and "3," for one window), or a count, drawn evenly from `have` windows.

    Raises InputError for windows that there are not, or where they are named although --worst is to choose.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() for word in words):
        raise InputError(f"--windows is {text!r}; give a count, or window numbers separated by commas")
    numbers = [int(word) for word in words]
    if "," in text:
        if worst:
            raise InputError(f"--windows is {text!r}, but --worst chooses the windows itself; give a count")
        unknown = [number for number in numbers if number >= have]
        if unknown:
            raise InputError(
                f"--windows names {unknown[0]}, but the data has the windows 0 to {have - 1}; choose among these"
            )
        return numbers
    count = numbers[0]
    if not 1 <= count <= have:
        raise InputError(
            f"--windows is {count}, but the data has {have}; give a count of 1 to {have}, or numbers with a comma "
            "('3,')"
        )
    return [index * have // count for index in range(count)]


def clip_names(dataset: str, root: str, sequences: Sequence[PoseSequence]) -> list[str]:
    """What each sequence was cut from, in a few words."""
    if dataset == "wild":  # a sequence says of which subject it is; the file also knows the trial
        return read_clip_names(Path(root) / "wild_test.npz")
    return [f"{sequence.subject} {sequence.action}, camera {sequence.camera}" for sequence in sequences]


# ---- text ----


def window_table(looks: Sequence[Look]) -> str:
    """The errors and the mean lean of each window."""
    wide = max(4, *(len(look.name) for look in looks))
    lines = [
        f"{'window':>6}  {'clip':{wide}}  {'MPJPE':>7}  {'P-MPJPE':>7}  {'pitch':>6}  {'roll':>6}   (mm; mean lean "
        "error, degrees)"
    ]
    for look in looks:
        lean = (
            f"{value:+6.1f}" if np.isfinite(value) else f"{'-':>6}"
            for value in _mean(lean_error(look.prediction, look.truth))
        )
        lines.append(f"{look.number:6}  {look.name:{wide}}  {look.mpjpe:7.1f}  {look.p_mpjpe:7.1f}  {'  '.join(lean)}")
    return "\n".join(lines)


def diagnosis(looks: Sequence[Look]) -> str:
    """What is wrong over all windows, as a table: every frame counts once."""
    prediction, truth = (
        np.concatenate([getattr(look, name) for look in looks]) for name in ("prediction", "truth")
    )  # (N, 17, 3)
    frames = [len(look.truth) for look in looks]
    swaps, lean = swapped_hips(prediction, truth), lean_error(prediction, truth)
    lines = [f"{'all windows':{NAME}} {'prediction':>10} {'truth':>10}"]

    def row(name: str, *values: float, form: str = ".1f") -> None:
        lines.append(
            f"{name:{NAME}} "
            + " ".join(f"{format(value, form):>10}" if np.isfinite(value) else f"{'-':>10}" for value in values)
        )

    for name in ("mpjpe", "p_mpjpe"):
        row(
            f"{name.upper().replace('_', '-')}, mm", np.average([getattr(look, name) for look in looks], weights=frames)
        )
    for axis, part, count in zip("xz", _mean(swaps), np.isfinite(swaps).sum(axis=0), strict=True):
        row(f"hips swapped along {axis}, % of {count} frames", 100 * part)
    bent = [100 * (forward_bend(pose) > BACKWARDS).any(axis=-1).mean() for pose in (prediction, truth)]
    row(f"a knee bent backwards by {BACKWARDS:.0f} degrees, % of frames", *bent)
    for index, name in enumerate(("pitch (+: away from the camera)", "roll (+: to the picture's right)")):
        row(f"lean error, {name}, mean degrees", _mean(lean)[index], form="+.2f")
        row("    size of it", _mean(np.abs(lean))[index], form=".2f")
    shakes = [
        1000 * np.concatenate([acceleration(getattr(look, name))[:, 1:] for look in looks])
        for name in ("prediction", "truth")
    ]
    seen = [acceleration(seen_at_true_depth(look.sequence.pose_2d, look.sequence.pose_3d))[:, 1:] for look in looks]
    shakes.append(1000 * np.concatenate(seen))  # (M, 16) each
    lines.append(f"{'':{NAME}} {'prediction':>10} {'truth':>10} {'input':>10}")
    row("acceleration, mean mm/frame^2", *(_mean(shake.ravel()) for shake in shakes))
    row("acceleration, median mm/frame^2", *(np.nanmedian(s) if np.isfinite(s).any() else np.nan for s in shakes))
    lines.append(
        "input: the 2D put at the true depth, which is what a lifter that smooths nothing would show of its noise."
    )
    return "\n".join(lines)


NAME = 62
"""Width of the first column."""


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over the first axis without NaN; NaN where there is nothing else."""
    count = np.isfinite(values).sum(axis=0)
    return np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)


# ---- the sheet: placed in pixels, at 100 pixels an inch ----

DPI = 100
DARK = {"right": "#7d1d0c", "left": "#0b3358", "middle": "#000000"}
"""Colours of the truth: a darker shade of each side's colour. It stands out on top of the prediction, so that a swap is
seen.
"""
DASHES = (0, (3, 1.6))
SCORES = colormaps["viridis"]
INK, FAINT, OUTSIDE = "#222222", "#d8d8d8", "#efefef"
MARGIN, GAP = 28, 10
HEAD, ROW_HEAD, BODY, FOOT = 118, 30, 236, 14
PICTURE, THUMB = 172, 58
POSE = 178
STRIP, STRIP_LABEL = 400, 62
MOMENT = PICTURE + 2 * POSE + 3 * GAP
MOST_ROWS = 100
LARGEST = 3.0
"""Metres that a panel shows at most; what a broken prediction has beyond that is cut off."""


def draw(looks: Sequence[Look], frames_shown: int, title: str, source: str) -> Figure:
    """The contact sheet of these windows: a row for each, `frames_shown` moments in a row."""
    width = 2 * MARGIN + frames_shown * MOMENT + STRIP_LABEL + STRIP
    sources = textwrap.wrap(source, max(20, (width - 2 * MARGIN) // 7))
    head = HEAD + 16 * len(sources)
    height = head + len(looks) * (ROW_HEAD + BODY + FOOT) + MARGIN + FOOT
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)

    def place(x: float, y: float, w: float, h: float, label: str) -> Axes:
        """Axes at pixels from the upper left corner."""
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height), label=label)

    def write(x: float, y: float, text: str, **style: object) -> None:
        figure.text(x / width, 1 - y / height, text, **{"color": INK, "fontsize": 9, "va": "top", **style})

    write(MARGIN, 20, title, fontsize=14, fontweight="bold")
    write(MARGIN, 48, "\n".join(sources), color="#666666", linespacing=1.25)
    scored = any(look.sequence.pose_2d.shape[-1] == 3 for look in looks)
    _legend(figure, MARGIN / width, 1 - (head - 62) / height)
    if scored:
        left = MARGIN + 560
        bar = place(left + 14, head - 61, 120, 9, "score")
        figure.colorbar(ScalarMappable(cmap=SCORES), cax=bar, orientation="horizontal", ticks=()).outline.set_visible(
            False
        )
        for x, text in ((left, "0"), (left + 140, "1"), (left + 160, "the detector's score")):
            write(x, head - 63, text, fontsize=9.5)
    for moment in range(frames_shown):
        left = MARGIN + moment * MOMENT
        for text, x, w in zip(("2D input", "as the camera sees it", "from the side"), *_columns(left), strict=True):
            write(x + w / 2, head - 24, text, ha="center", color="#666666")
    strip = MARGIN + frames_shown * MOMENT + STRIP_LABEL
    write(
        strip + STRIP / 2,
        head - 24,
        "wrists and ankles: metres above the hip, over seconds",
        ha="center",
        color="#666666",
    )

    rows = [_moments(len(look.truth), frames_shown) for look in looks]
    metres = _metres(looks, rows)  # per pixel
    for index, (look, moments) in enumerate(zip(looks, rows, strict=True)):
        top = head + index * (ROW_HEAD + BODY + FOOT)
        sequence = look.sequence
        figure.add_artist(
            Line2D((MARGIN / width, 1 - MARGIN / width), (1 - top / height,) * 2, color=FAINT, linewidth=1)
        )
        write(MARGIN, top + 9, f"window {look.number}", fontweight="bold", fontsize=11)
        name = textwrap.shorten(look.name, 24 if frames_shown == 1 else 70, placeholder="...")
        size = f"picture {sequence.size[0]} x {sequence.size[1]}"
        about = f"{name}     {len(look.truth)} frames, {sequence.fps:g} a second, {size}"
        write(MARGIN + 110, top + 10, about, color="#666666", fontsize=10)
        errors = f"MPJPE {look.mpjpe:.1f} mm     P-MPJPE {look.p_mpjpe:.1f} mm"
        write(strip + STRIP, top + 9, errors, ha="right", fontweight="bold", fontsize=11)
        body = top + ROW_HEAD
        for moment, frame in enumerate(moments):
            (x_2d, x_front, x_side), _ = _columns(MARGIN + moment * MOMENT)
            thumb, picture = (
                place(x_2d, body, 104, THUMB, "picture"),
                place(x_2d, body + THUMB + 6, PICTURE, PICTURE, "2D input"),
            )
            _draw_2d(thumb, picture, sequence, frame)
            write(x_2d + PICTURE, body + 2, f"{frame / sequence.fps:.2f} s", ha="right", fontsize=10, fontweight="bold")
            write(x_2d + PICTURE, body + 18, f"frame {frame}", ha="right", fontsize=8, color="#666666")
            for x, axis, label in ((x_front, 0, "camera"), (x_side, 2, "side")):
                _draw_pose(place(x, body, POSE, BODY, label), look.prediction[frame], look.truth[frame], axis, metres)
        _draw_strip(place(strip, body + 2, STRIP, BODY - 24, "over time"), look, moments)
    bottom = (
        "the grid is 0.5 m; its darker lines go through the hip; from the side the camera stands on the left. "
        "Grey: outside the picture."
    )
    write(MARGIN, height - 24, bottom, fontsize=8.5, color="#666666")
    return figure


def _columns(left: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Left ends and widths in pixels of the three panels of a moment that begins at `left`."""
    front = left + PICTURE + GAP
    return (left, front, front + POSE + GAP // 2), (PICTURE, POSE, POSE)


def _moments(length: int, count: int) -> list[int]:
    """The frames in the middle of `count` equal parts."""
    return [min(length - 1, int((index + 0.5) * length / count)) for index in range(count)]


def _metres(looks: Sequence[Look], rows: Sequence[Sequence[int]]) -> float:
    """Metres per pixel at which every pose that is shown fits its panel, with a little room around it."""
    poses = [
        np.concatenate([look.prediction[moments], look.truth[moments]], axis=1)
        for look, moments in zip(looks, rows, strict=True)
    ]
    both = np.concatenate(poses)  # (N, 34, 3)
    extent = np.minimum(np.ptp(both, axis=1).max(axis=0), LARGEST)  # (3,)
    return 1.1 * max(extent[0] / POSE, extent[2] / POSE, extent[1] / BODY, 1e-3)


def _limbs(points: np.ndarray, side: str, found: np.ndarray | None = None) -> np.ndarray:
    """The limbs of one side of the person as one line with gaps: points (17, 2) -> (3 * limbs, 2).

    found (17,): joints that were found; limbs without one of their joints are left out.
    """
    line = []
    for joint, parent in H36M.bones:
        if H36M.sides[joint] == side and (found is None or (found[joint] and found[parent])):
            line += [points[joint], points[parent], (np.nan, np.nan)]
    return np.array(line).reshape(-1, 2)


def _draw_limbs(
    axes: Axes,
    points: np.ndarray,
    found: np.ndarray | None = None,
    colours: dict[str, str] = SIDE_COLOURS,
    **style: object,
) -> None:
    for side in ("middle", "left", "right"):
        axes.plot(*_limbs(points, side, found).T, color=colours[side], solid_capstyle="round", **style)


def _draw_2d(thumb: Axes, axes: Axes, sequence: PoseSequence, frame: int) -> None:
    """The whole picture, small, and the person in it, large; `axes` is square."""
    pose = sequence.pose_2d[frame].astype(np.float64)  # (17, 2 or 3)
    scored = pose.shape[-1] == 3
    found = pose[:, 2] > 0 if scored else np.ones(len(pose), bool)
    (width, height), points = sequence.size, pose[:, :2]
    known = points[found] if found.any() else np.array([[0, 0], [width, height]])
    centre, side = (known.min(axis=0) + known.max(axis=0)) / 2, max(1.16 * np.ptp(known, axis=0).max(), 1.0)

    for part in (thumb, axes):
        part.add_patch(Rectangle((0, 0), width, height, facecolor="white", edgecolor=INK, linewidth=1, zorder=0))
        part.set(xticks=(), yticks=())
    thumb.set(xlim=(-0.01 * width, 1.01 * width), ylim=(1.01 * height, -0.01 * height))
    thumb.set_aspect("equal", anchor="NW")
    thumb.axis("off")
    _draw_limbs(thumb, points, found, linewidth=0.9)
    corner = centre - side / 2
    thumb.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="#888888", linewidth=0.7))

    axes.set_facecolor(OUTSIDE)
    axes.spines[:].set(color="#888888", linewidth=0.7)
    axes.set(xlim=(corner[0], corner[0] + side), ylim=(corner[1] + side, corner[1]))
    _draw_limbs(axes, points, found, linewidth=1.8)
    colour = {"c": pose[found, 2], "cmap": SCORES, "vmin": 0, "vmax": 1} if scored else {"color": INK}
    axes.scatter(*points[found].T, s=20, edgecolors="white", linewidths=0.6, zorder=3, **colour)


def _draw_pose(axes: Axes, prediction: np.ndarray, truth: np.ndarray, across: int, metres: float) -> None:
    """Prediction and truth (17, 3), axis `across` to the right and height upwards, in the scale of the sheet."""
    views = [flat_view(pose, across) for pose in (prediction, truth)]
    # In the middle is the true person, moved no more than it takes to show the predicted one; both have their hip at 0.
    half = np.array([POSE, BODY]) * metres / 2
    both = np.concatenate(views)
    centre = np.clip(
        (views[1].min(axis=0) + views[1].max(axis=0)) / 2,
        both.max(axis=0) - 0.97 * half,
        both.min(axis=0) + 0.97 * half,
    )
    for low, high, line in ((-half[0], half[0], axes.axvline), (-half[1], half[1], axes.axhline)):
        middle = centre[0] if line == axes.axvline else centre[1]
        for step in range(math.ceil((middle + low) / 0.5), math.floor((middle + high) / 0.5) + 1):
            line(0.5 * step, color="#bbbbbb" if step == 0 else "#ebebeb", linewidth=0.8, zorder=0)
    axes.set(
        xlim=(centre[0] - half[0], centre[0] + half[0]),
        ylim=(centre[1] - half[1], centre[1] + half[1]),
        xticks=(),
        yticks=(),
    )
    axes.spines[:].set_visible(False)
    _draw_limbs(axes, views[0], linewidth=2.8)
    _draw_limbs(axes, views[1], colours=DARK, linewidth=1.1, linestyle=DASHES, zorder=3)


def _draw_strip(axes: Axes, look: Look, moments: Sequence[int]) -> None:
    """The height of wrists and ankles above the hip, predicted and true, over the window."""
    time = np.arange(len(look.truth)) / look.sequence.fps
    predicted, true = (flat_view(pose, 0)[..., 1] for pose in (look.prediction, look.truth))  # (T, 17) height
    for joint in ENDS:
        side = H36M.sides[joint]
        axes.plot(time, predicted[:, joint], color=SIDE_COLOURS[side], linewidth=1.6)
        axes.plot(time, true[:, joint], color=DARK[side], linewidth=1, linestyle=DASHES, zorder=3)
    for frame in moments:
        axes.axvline(frame / look.sequence.fps, color="#999999", linewidth=0.8, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#999999")
    axes.grid(color="#ebebeb", linewidth=0.8)
    axes.margins(x=0.005)
    axes.tick_params(labelsize=8, color="#999999", pad=2)


def _legend(figure: Figure, x: float, y: float) -> None:
    handles = [
        Line2D([], [], color=colour, linewidth=2.6, label=f"the person's {side}")
        for side, colour in SIDE_COLOURS.items()
        if side != "middle"
    ]
    handles.append(Line2D([], [], color=SIDE_COLOURS["middle"], linewidth=2.6, label="middle"))
    handles.append(Line2D([], [], color=SIDE_COLOURS["middle"], linewidth=1.1, linestyle=DASHES, label="truth"))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(x, y),
        ncols=4,
        frameon=False,
        fontsize=9.5,
        borderaxespad=0,
        borderpad=0,
    )


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="wild", help="as in the entry scripts (default: wild)")
    parser.add_argument("--root_path", default="./dataset/", help="folder of the data files (default: ./dataset/)")
    parser.add_argument("--keypoints", help="as in the entry scripts")
    parser.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="weights, a file or a folder (default: those that come with the repository)",
    )
    parser.add_argument(
        "--windows", default="8", help="a count, or numbers from 0 separated by commas: '3,17,40', or '3,' (default: 8)"
    )
    parser.add_argument(
        "--worst", action="store_true", help="the windows of the largest P-MPJPE instead of evenly drawn ones"
    )
    parser.add_argument(
        "--frames_shown", type=number(int, 1, 8), default=3, help="moments in a row of the sheet (default: 3)"
    )
    parser.add_argument(
        "--output", default="figure/wild_contact_sheet.png", help="the sheet (default: figure/wild_contact_sheet.png)"
    )
    args = parser.parse_args()
    output = Path(args.output)
    formats = FigureCanvasAgg.get_supported_filetypes()
    if output.suffix[1:].lower() not in formats:
        raise InputError(
            f"--output is {args.output!r}; its name must end in .png, .pdf or another of matplotlib's formats"
        )
    check_writable(output)
    data = read_sequences(args.dataset, args.root_path, args.keypoints or default_keypoints(args.dataset), "test")
    if data.skeleton != H36M:
        raise InputError(
            f"--keypoints: this 2D has {data.skeleton.joints} joints; lifting is for the {H36M.joints} of Human3.6M"
        )
    lifter = Lifter.from_checkpoint(args.checkpoint)
    names = clip_names(args.dataset, args.root_path, data.sequences)
    numbers = window_numbers(args.windows, len(names), args.worst)
    if len(numbers) > MOST_ROWS:
        raise InputError(f"--windows asks for {len(numbers)} rows; a sheet has room for {MOST_ROWS}")
    clips = enumerate(zip(names, tqdm(data.sequences, unit="window", leave=False, disable=None), strict=True))
    looks = [lift(lifter, index, name, sequence) for index, (name, sequence) in clips]
    chosen = (
        sorted(looks, key=lambda look: -look.p_mpjpe)[: len(numbers)]
        if args.worst
        else [looks[index] for index in numbers]
    )
    weights = Path(args.checkpoint).name if args.checkpoint else "the weights of the repository"
    title = f"{lifter.model.name} ({weights}) on {args.dataset}"
    which = f"the {len(chosen)} worst of" if args.worst else f"{len(chosen)} of"
    source = data.source or "Human3.6M"
    figure = draw(chosen, args.frames_shown, f"{title}: {which} {len(looks)} windows", f"data: {source}")
    with replacing(output) as temporary:
        figure.savefig(temporary, format=output.suffix[1:].lower())
    print(f"{title}\ndata: {source}\n\n{window_table(chosen)}\n\n{diagnosis(looks)}\n\nsheet: {output}")


if __name__ == "__main__":
    exit_on_input_error(main)
