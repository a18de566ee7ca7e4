"""BlazePose, MediaPipe's two models: one finds people in a picture, one sees 33 points of a person in a region. LiteRT
runs their .tflite files; what stands around them follows the graphs that MediaPipe publishes with them.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import cv2
import numpy as np

from common.errors import InputError
from demo.convert import BLAZEPOSE_33
from demo.follow import PARALLEL, SMALLEST, PeopleDetector, Person, Region
from demo.models import find_model

INSTALL = "python -m pip install ai-edge-litert"
FINDER_SIDE, LOOKER_SIDE = 224, 256
"""Pixels of the squares that the two models see."""
GRIDS = ((28, 2), (14, 2), (7, 6))
"""Of the person detector: grids of so many cells a side, and so many anchors in the middle of each cell."""
SURE = 0.5
"""From this score on there is a person; and a heat map is believed from this maximum on."""
OVERLAP = 0.3
"""Boxes with a larger intersection over union are of one person."""
FRACTIONS = 32
"""OpenCV's tables of bilinear weights have so many steps to a pixel."""
KERNEL = 4
"""A point is refined by so many cells of its heat map in each direction."""
OUTSIDE = 0.2
"""Of a joint's score, what is left where the joint is outside the picture, and so guessed."""
GONE = 0.3
"""Below this mean score nobody is there: a person who has left the picture, say."""
LARGE = 15e6
"""Bytes of a landmark model that is worth all cores for one person; a smaller one leaves a core to who decodes the
video.
"""
FINDER_OUTPUTS = {"boxes": (1, 2254, 12), "scores": (1, 2254, 1)}
LOOKER_OUTPUTS = {"points": (1, 195), "score": (1, 1), "heat": (1, 64, 64, 39), "world": (1, 117)}
POINTS = 33
"""Of the 39 that the landmark model gives; the next two are the middle of the hips and how far the body reaches."""


class BlazePose(PeopleDetector):
    """33 points of each person, on the CPU.

    model: "full", "heavy" or the path of a landmark model; None: heavy where its file is there, else full. most: no
    more people than this are followed, the largest first.

    The points are not smoothed in time: a filter that knows the past only lags, and the noise is what the lifters were
    trained on.

    Raises InputError where LiteRT or a model is not there.
    """

    joints = BLAZEPOSE_33

    def __init__(self, model: str | Path | None = None, most: int = 4) -> None:
        path = landmark_model(model)
        self.name = f"blazepose {path.stem.removeprefix('pose_landmark_')}"
        super().__init__(most)
        try:
            with quiet():
                finder, looker = find_model("pose_detection.tflite"), _without_silhouette(path)
                for _ in range(PARALLEL):
                    self._finders.put(Network(finder.read_bytes(), FINDER_SIDE, FINDER_OUTPUTS, finder))
                    self._lookers.put(Network(looker, LOOKER_SIDE, LOOKER_OUTPUTS, path))
                several = PARALLEL if path.stat().st_size > LARGE else max(1, PARALLEL - 1)
                self._alone.put(Network(looker, LOOKER_SIDE, LOOKER_OUTPUTS, path, several))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """As `Detector.close`."""
        self._workers.shutdown(cancel_futures=True)
        for networks in (self._finders, self._lookers, self._alone):
            while not networks.empty():
                networks.get()

    def _find_in(self, frame: np.ndarray, square: tuple[int, int, int, int]) -> list[tuple[float, Region]]:
        """Regions in which a person seems to be, each with how sure that is."""
        x, y, width, height = square
        side = max(width, height)
        whole = Region(width / 2, height / 2, side, 0)
        crop = cut_out(frame[y : y + height, x : x + width], whole, FINDER_SIDE, cv2.BORDER_CONSTANT)
        with _one_of(self._finders) as network:
            found = network.run(crop.astype(np.float32) / 127.5 - 1)
        corner = np.array([x + (width - side) / 2, y + (height - side) / 2])
        return [
            (score, Region.around(points[0], points[1]))
            for score, points in ((score, points * side + corner) for score, points in people_of(**found))
        ]

    def _look(self, networks: SimpleQueue, frame: np.ndarray, region: Region) -> Person | None:
        """The joints of the person in a region, as one of the networks sees them; None where there is nobody."""
        height, width = frame.shape[:2]
        x, y, side, turn = region
        if not (side >= SMALLEST and math.isfinite(x + y + side + turn)):
            return None
        reach = math.sqrt(0.5) * side  # from the middle to a corner
        if not (-reach < x < width + reach and -reach < y < height + reach):
            return None
        crop = cut_out(frame, region, LOOKER_SIDE, cv2.BORDER_REPLICATE)
        with _one_of(networks) as network:
            seen = network.run(crop.astype(np.float32) / 255)
        if seen["score"].item() < SURE:
            return None
        places, scores = landmarks_of(seen["points"], seen["heat"])
        places = in_picture(places, region)  # (39, 2)
        points = np.concatenate([places[:POINTS], scores[:POINTS, None]], axis=1).astype(np.float32)  # (33, 3)
        outside = (points[:, :2] < 0) | (points[:, :2] >= (width, height))  # (33, 2)
        points[outside.any(axis=1), 2] *= OUTSIDE
        if points[:, 2].mean() < GONE:
            return None
        world = seen["world"].reshape(-1, 3)[:POINTS].astype(np.float64)  # (33, 3)
        world[:, :2] = world[:, :2] @ _rotation(turn).T
        return Person(points, Region.around(places[POINTS], places[POINTS + 1]), world=world)


class Network:
    """One .tflite model that runs: a picture (side, side, 3) in, arrays out, by name.

    outputs: their names and shapes, by which they are told apart. Raises InputError where `data`, of the file `path`,
    is no such model.
    """

    def __init__(
        self, data: bytes, side: int, outputs: Mapping[str, tuple[int, ...]], path: Path, threads: int = 1
    ) -> None:
        try:
            self._interpreter = litert("interpreter").Interpreter(model_content=data, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise _no_such_model(path, _line(error)[:120]) from error
        (given, *more), shapes = self._interpreter.get_input_details(), {}
        for detail in self._interpreter.get_output_details():
            shapes[tuple(int(size) for size in detail["shape"])] = detail["index"]
        missing = [name for name, shape in outputs.items() if shape not in shapes]
        if more or tuple(given["shape"]) != (1, side, side, 3) or missing:
            raise _no_such_model(path, "its inputs and outputs are others")
        self._input = given["index"]
        self._outputs = {name: shapes[shape] for name, shape in outputs.items()}

    def run(self, picture: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs for a picture (side, side, 3) float32."""
        self._interpreter.set_tensor(self._input, picture[None])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}


@contextlib.contextmanager
def _one_of(networks: SimpleQueue) -> Iterator[Any]:
    """The next network that is free, while the block runs."""
    network = networks.get()
    try:
        yield network
    finally:
        networks.put(network)


# What stands around the models
# ---------------------------------------------------------------------------------------------------------------------


def _rotation(turn: float) -> np.ndarray:
    return np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])


def in_picture(places: np.ndarray, region: Region) -> np.ndarray:
    """Places (..., 2) in a region, 0..1 from its left and top edge, -> pixels of the picture (..., 2)."""
    return (places - 0.5) @ (region.side * _rotation(region.turn)).T + (region.x, region.y)


def cut_out(frame: np.ndarray, region: Region, side: int, border: int) -> np.ndarray:
    """A region of a picture (H, W, 3) blue green red -> (side, side, 3) uint8, red green blue, upright. border: what
    lies outside of the picture, as OpenCV names it.
    """
    ends = in_picture(np.array([(0, 0), (1, 0), (0, 1)]), region)  # (3, 2)
    steps = np.arange(side)[:, None] / side
    along, down = steps * (ends[1] - ends[0]), steps * (ends[2] - ends[0])  # (side, 2) each
    # To 1/32 of a pixel, as OpenCV did it when the models were made: a finer crop moves points whose heat map is flat.
    places = np.rint(FRACTIONS * (ends[0] + down[:, None] + along[None])).astype(np.int32)  # (side, side, 2)
    whole, rest = np.clip(places // FRACTIONS, -(2**15), 2**15 - 1).astype(np.int16), places & (FRACTIONS - 1)
    table = (FRACTIONS * rest[..., 1] + rest[..., 0]).astype(np.uint16)
    return cv2.cvtColor(cv2.remap(frame, whole, table, cv2.INTER_LINEAR, borderMode=border), cv2.COLOR_BGR2RGB)


def anchors() -> np.ndarray:
    """The middles (2254, 2) of the person detector's cells, x and y from 0 to 1, in the order of its outputs."""
    middles = []
    for cells, each in GRIDS:
        y, x = np.meshgrid(*[(np.arange(cells) + 0.5) / cells] * 2, indexing="ij")
        middles.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), each, axis=0))
    return np.concatenate(middles).astype(np.float32)


_ANCHORS = anchors()


def people_of(boxes: np.ndarray, scores: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """The person detector's outputs (1, 2254, 12) and (1, 2254, 1) -> of everybody the score and four points (4, 2),
    0..1 in its square, the surest first. Boxes that overlap are one person: their mean, weighted by the scores.
    """
    sure = _sigmoid(scores[0, :, 0])
    rows = np.flatnonzero(sure >= SURE)
    rows = rows[np.argsort(-sure[rows], kind="stable")]
    raw, middles, sure = boxes[0, rows].astype(np.float64) / FINDER_SIDE, _ANCHORS[rows], sure[rows]
    rows = np.flatnonzero((raw[:, 2:4] >= 0).all(axis=1))
    raw, middles, sure = raw[rows], middles[rows], sure[rows]
    centre, half = raw[:, :2] + middles, raw[:, 2:4] / 2
    low, high = centre - half, centre + half  # (n, 2)
    points = raw[:, 4:].reshape(-1, 4, 2) + middles[:, None]  # (n, 4, 2)
    found, left = [], np.arange(len(sure))
    while len(left):
        first = left[0]
        overlap = _overlap(low[first], high[first], low[left], high[left])
        one = left[(overlap > OVERLAP) | (left == first)]
        found.append((float(sure[first]), np.average(points[one], axis=0, weights=sure[one])))
        left = np.setdiff1d(left, one)
    return found


def _overlap(low: np.ndarray, high: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> np.ndarray:
    """Intersection over union of one box, from low (2,) to high (2,), with n others (n, 2) -> (n,)."""
    shared = np.maximum(np.minimum(high, highs) - np.maximum(low, lows), 0).prod(axis=1)
    union = (high - low).prod() + (highs - lows).prod(axis=1) - shared
    return shared / np.maximum(union, 1e-12)


def landmarks_of(points: np.ndarray, heat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The landmark model's points (1, 195) and heat maps (1, 64, 64, 39) -> places (39, 2), 0..1 in the region, and
    scores (39,): how sure it is that a point is in the picture and not hidden.
    """
    raw = points.reshape(-1, 5)  # (39, 5): x, y, z, visible, present
    places = raw[:, :2].astype(np.float64) / LOOKER_SIDE
    for number, place in enumerate(places):
        places[number] = refined(place, heat[0, :, :, number])
    return places, _sigmoid(raw[:, 3:].min(axis=1))


def refined(place: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A place (2,), 0..1, moved to the centre of mass of the heat map (H, W), as logits, around it; as it was where the
    heat map is not sure.
    """
    height, width = heat.shape
    column, row = int(place[0] * width), int(place[1] * height)
    if not (0 <= column < width and 0 <= row < height):
        return place
    left, top = max(column - KERNEL, 0), max(row - KERNEL, 0)
    weights = _sigmoid(heat[top : row + KERNEL + 1, left : column + KERNEL + 1].astype(np.float64))
    if weights.max() < SURE:
        return place
    rows, columns = np.arange(weights.shape[0]) + top, np.arange(weights.shape[1]) + left
    mass = weights.sum()
    return np.array([weights.sum(axis=0) @ columns / width, weights.sum(axis=1) @ rows / height]) / mass


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(np.asarray(values, np.float64), -100, 100)))


# Files and the package
# ---------------------------------------------------------------------------------------------------------------------


def landmark_model(model: str | Path | None) -> Path:
    """The file of a landmark model, given by name or path; None: heavy where it is there, else full. Raises InputError
    where there is none.
    """
    if model in (None, "full", "heavy"):
        names = {"full": ("full",), "heavy": ("heavy",)}.get(str(model), ("heavy", "full"))
        return find_model(*(f"pose_landmark_{name}.tflite" for name in names))
    path = Path(model or "")
    if not path.is_file():
        raise InputError(f"{path}: no such model; give --detector_model full, heavy or the path of a .tflite file")
    return path.resolve()


def litert(module: str) -> Any:
    """A module of LiteRT. Raises InputError where there is none."""
    try:
        return importlib.import_module(f"ai_edge_litert.{module}")
    except (ImportError, TypeError) as error:  # the second: of a wrong protobuf or flatbuffers
        raise InputError(
            f"ai-edge-litert, which runs the models that find people, cannot be imported ({_line(error)}); install it "
            f"by: {INSTALL}"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _no_such_model(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path}: is no such model of BlazePose, or damaged ({reason}); `python demo/models.py full` gets the models"
    )


def _without_silhouette(path: Path) -> bytes:
    """A landmark model without what finds the person's silhouette, up to a third of its time, for which nobody here
    asks. The rest is as it was, to the bit. Raises InputError where it is no landmark model.
    """
    data, schema = path.read_bytes(), litert("schema_py_generated")
    Network(data, LOOKER_SIDE, LOOKER_OUTPUTS, path)  # what is no such model is found out before it is taken apart
    builder = importlib.import_module("flatbuffers").Builder()
    whole = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    graph = whole.subgraphs[0]
    wanted = set(LOOKER_OUTPUTS.values())
    graph.outputs = [output for output in graph.outputs if tuple(graph.tensors[output].shape) in wanted]
    needed, operators = set(graph.outputs), []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            needed.update(operator.inputs)
            operators.append(operator)
    graph.operators = operators[::-1]
    whole.signatureDefs = []  # they name the outputs that are gone
    builder.Finish(whole.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep off stderr what the library says in passing (INFO, WARNING and the like), by no switch of its own; the rest
    is passed on afterwards, unless an InputError says it.
    """
    sys.stderr.flush()
    said = True
    with contextlib.ExitStack() as closing:
        try:
            file = closing.enter_context(tempfile.TemporaryFile())
        except OSError as error:
            folder = tempfile.tempdir or "the temporary folder"
            raise InputError(
                f"{folder}: cannot be written ({error.strerror or error}); make room, or name another folder by the "
                "variable TMPDIR"
            ) from error
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield
        except InputError:
            said = False
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            file.seek(0)
            lines = file.read().decode(errors="replace").splitlines(keepends=True)
            if said:
                os.write(
                    2, "".join(line for line in lines if not re.match(r"(INFO|WARNING)\b|[IW]\d{4} ", line)).encode()
                )
