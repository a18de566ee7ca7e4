"""2D detectors: pictures of a video in, the people's joints out, behind one interface; and files of detected
keypoints.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import re
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np

from common.data.custom_2d import read_custom_2d
from common.data.npz import open_npz
from common.data.schema import FPS, MOST_PIXELS, NUMBER, SIZE, TEXT, Field, shown
from common.errors import InputError
from common.files import replacing
from common.geometry.skeleton import H36M
from demo.convert import BLAZEPOSE_33, COCO_17, Conversion, convert
from demo.track import patience


class Detector(Protocol):
    """Finds people's joints in the pictures of one video, in order; joints says what joints, by their table."""

    name: str
    joints: Conversion

    def detect(self, frame: np.ndarray, time: float) -> np.ndarray:
        """The people in a picture (H, W, 3) uint8, blue green red, at `time` seconds -> (P, J, 3): pixels and score
        0..1.

        P may be 0, and who is first may change from picture to picture.
        """

    def reset(self) -> None:
        """Forget who was seen where: the next picture is of another scene."""

    def close(self) -> None:
        """Give back the threads and the memory; nothing is detected after this."""


class Region(NamedTuple):
    """A square of the picture in which to look for one person's joints: centre and side in pixels, turn in radians
    (clockwise).
    """

    x: float
    y: float
    side: float
    turn: float

    @classmethod
    def around(cls, centre: np.ndarray, end: np.ndarray) -> Region:
        """Around the middle of the hips `centre` (2,), so that the body reaches to `end` (2,), the side of the head;
        with a margin.
        """
        along = end - centre
        turn = math.atan2(along[1], along[0]) + math.pi / 2
        return cls(
            float(centre[0]),
            float(centre[1]),
            MARGIN * 2 * math.hypot(*along),
            (turn + math.pi) % (2 * math.pi) - math.pi,
        )

    def same(self, other: Region) -> bool:
        """Whether both are probably about one person."""
        return math.hypot(self.x - other.x, self.y - other.y) < 0.15 * min(self.side, other.side)


# MediaPipe
# ---------------------------------------------------------------------------------------------------------------------

WHEEL = "0.10.21"
"""The last release of mediapipe that carries its models and the graphs that are used here."""
INSTALL = f'pip install --no-deps "mediapipe=={WHEEL}" && pip install absl-py attrs flatbuffers "protobuf>=4.25.3,<5"'
HEAVY = "pose_landmark_heavy.tflite"
HEAVY_SOURCE = f"`npm pack @mediapipe/pose@0.5.1675469404` brings it as package/{HEAVY}"

MARGIN = 1.25
"""The region's side over what the body reaches, as in the training of the landmark models."""
FIND_EVERY = 0.2
"""People who come into the picture are looked for this often, seconds, in every square, one after the other; while
there is nobody, in every picture and all squares, but those who are far off still only this often.
"""
AROUND = 1.5
"""Whoever was lost is looked for in a square that reaches so many sides of the region around where he or she was, and
is now.
"""
NEWS = 0.3
"""The share that the last step has in the velocity of a person."""
FORGET = 1.0
"""After a gap of so many seconds, or a step back, the people are looked for from the start."""
OVERLAP = 0.2
"""Of the squares in which people are looked for, the share that the next one sees again."""
OUTSIDE = 0.2
"""Of a joint's score, what is left where the joint is outside the picture, and so guessed."""
GONE = 0.3
"""Below this mean score nobody is there: a person who has left the picture, say."""
SILHOUETTE = (1, 256, 256, 1)
"""Of a landmark model's outputs, the one of this shape is not used here."""
SMALLEST = 8
"""The smallest side of a region, pixels."""
PARALLEL = min(4, os.cpu_count() or 1)
"""So many people, or squares of a search, are seen to at once."""
LARGE = 15e6
"""Bytes of a landmark model that is worth all cores for one person; a smaller one leaves a core to who decodes the
video.
"""
DOUBLE, DOUBTFUL = 0.06, 0.15
"""People whose points are less than this apart in the mean, in sides of the region, are one; the more so where one of
them was out of sight, and so is only guessed to be in the region.
"""

# Of the packaged graph: the person detector on one picture, and the landmarks of one person in one region. Not the
# graph as a whole, since that follows one person only and finds nobody who is small in the picture.
_FIND = """
input_stream: "IMAGE:image"
output_stream: "DETECTIONS:found"
node { calculator: "PoseDetectionCpu" input_stream: "IMAGE:image" output_stream: "DETECTIONS:found" }
"""
_LOOK = """
input_stream: "IMAGE:image"
input_stream: "ROI:region"
input_side_packet: "MODEL_COMPLEXITY:model_complexity"
output_stream: "LANDMARKS:landmarks"
output_stream: "AUXILIARY_LANDMARKS:reach"
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:region"
  input_side_packet: "MODEL_COMPLEXITY:model_complexity"
  output_stream: "LANDMARKS:landmarks"
  output_stream: "AUXILIARY_LANDMARKS:reach"
}
"""


class _Person(NamedTuple):
    points: np.ndarray  # (33, 3)
    region: Region  # where to look in the next picture
    velocity: tuple[float, float] = (0.0, 0.0)  # of the region, pixels per second
    first: float = 0.0  # when the person was found, seconds
    last: float = 0.0  # when the person was last seen

    def going_on(self, now: _Person, time: float) -> _Person:
        """The same person as he or she is `now`, at `time`."""
        seconds = max(time - self.last, 1e-3)
        moved = ((now.region.x - self.region.x) / seconds, (now.region.y - self.region.y) / seconds)
        velocity = ((1 - NEWS) * self.velocity[0] + NEWS * moved[0], (1 - NEWS) * self.velocity[1] + NEWS * moved[1])
        return now._replace(velocity=velocity, first=self.first, last=time)

    def doubles(self, others: list[_Person], nearest: float = DOUBLE) -> bool:
        """Whether this is one of the others, as when two regions have slipped onto one person."""
        apart = [
            np.linalg.norm(self.points[:, :2] - other.points[:, :2], axis=-1).mean() / other.region.side
            for other in others
        ]
        return min(apart, default=math.inf) <= nearest

    def heading(self, time: float) -> Region:
        """Where the person should be by then."""
        (x, y), seconds = self.velocity, time - self.last
        return self.region._replace(x=self.region.x + x * seconds, y=self.region.y + y * seconds)

    def error(self, now: _Person, time: float) -> float:
        """How far somebody is from where this person should be, pixels."""
        expected = self.heading(time)
        return math.hypot(now.region.x - expected.x, now.region.y - expected.y)

    def is_awaited(self, time: float, width: int, height: int) -> bool:
        """Whether the person, who was lost, should still be in the picture, and is looked for there."""
        x, y = self.heading(time)[:2]
        return 0 <= x < width and 0 <= y < height and time - self.last <= patience(self.last - self.first)

    def square(self, time: float, width: int, height: int) -> tuple[int, int, int, int]:
        """The part (x, y, width, height) of a picture in which the person is looked for who was lost: from there to
        where he or she is heading; of no size where that is outside.
        """
        ahead, reach = self.heading(time), AROUND / 2 * self.region.side
        left, right = (round(min(max(end, 0), width)) for end in _span(self.region.x, ahead.x, reach))
        top, bottom = (round(min(max(end, 0), height)) for end in _span(self.region.y, ahead.y, reach))
        return left, top, right - left, bottom - top

    def is_at(self, newcomer: _Person, time: float) -> bool:
        """Whether somebody who was found is where this person, who was lost, is looked for."""
        ahead, reach = self.heading(time), AROUND / 2 * self.region.side
        left, right = _span(self.region.x, ahead.x, reach)
        top, bottom = _span(self.region.y, ahead.y, reach)
        return left <= newcomer.region.x <= right and top <= newcomer.region.y <= bottom


def _span(first: float, second: float, reach: float) -> tuple[float, float]:
    """What reaches so far beyond two numbers."""
    return min(first, second) - reach, max(first, second) + reach


def _follow(
    people: list[_Person], looks: list[Future[_Person | None]], time: float, others: list[_Person], nearest: float
) -> list[_Person | None]:
    """People as they are now, by what the looks at them say; None: out of sight, also where the region has slipped onto
    somebody else.

    Of two regions on one person, that of the person who should be there goes on.
    """
    results = [look.result() for look in looks]
    seen = {number: person for number, person in enumerate(results) if person is not None}
    kept: dict[int, _Person] = {}
    for number in sorted(seen, key=lambda number: people[number].error(seen[number], time)):
        if not seen[number].doubles([*others, *kept.values()], nearest):
            kept[number] = people[number].going_on(seen[number], time)
    return [kept.get(number) for number in range(len(people))]


class _PeopleDetector(ABC):
    """Follows people with two models: one finds people in a square of the picture, one sees the joints of a person in a
    region.

    most: no more people than this are followed. A child class has the two models as `_find_in` and `_look`.
    """

    joints: Conversion

    def __init__(self, most: int) -> None:
        self.most = most
        self._people: list[_Person] = []
        self._lost: list[_Person] = []
        self._time = -math.inf
        self._turn = -1  # which of the squares was searched last; they are counted on and on
        # A graph does one thing at a time; several people, and the squares of a search, share a few of each kind. One
        # person alone has a graph that runs on several cores, which makes no difference to the result.
        self._workers = ThreadPoolExecutor(PARALLEL, thread_name_prefix="mediapipe")
        self._finders: SimpleQueue[Any] = SimpleQueue()
        self._lookers: SimpleQueue[Any] = SimpleQueue()
        self._alone: SimpleQueue[Any] = SimpleQueue()

    def reset(self) -> None:
        """As `Detector.reset`."""
        self._people, self._lost, self._turn = [], [], -1

    def detect(self, frame: np.ndarray, time: float) -> np.ndarray:
        """As `Detector.detect`; who is seen longest first."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ValueError(f"a frame is {frame.dtype} {frame.shape}, not uint8 (H, W, 3)")
        if not 0 <= time - self._time <= FORGET:
            self.reset()
        self._time = time
        height, width = frame.shape[:2]
        side = max(min(height, width), max(height, width) // 4)
        # The package's model sees 224 x 224 pixels, in which a person of a third of a wide picture's height is lost: so
        # squares as large as the picture's shorter side are searched too and, where nothing is found, smaller ones.
        tiles = _tiles(width, height, side) or [(0, 0, width, height)]
        squares = [*tiles, *([(0, 0, width, height)] if len(tiles) > 1 else [])]
        due = self._due(len(tiles), time)
        room = self.most - len(self._people)
        first = squares if not self._people else [tiles[number % len(tiles)] for number in due if room]
        lost = [person for person in self._lost if person.is_awaited(time, width, height)][:room]
        graphs = self._alone if len(self._people) == 1 and not first and not lost else self._lookers
        looks = [self._workers.submit(self._look, graphs, frame, person.region) for person in self._people]
        guesses = [self._workers.submit(self._look, self._lookers, frame, person.heading(time)) for person in lost]
        finds = self._search(frame, [*first, *(person.square(time, width, height) for person in lost)])
        known = _follow(self._people, looks, time, [], DOUBLE)
        people = [person for person in known if person is not None]
        gone = [person for person, now in zip(self._people, known, strict=True) if now is None]
        rest = [] if people else [square for square in squares if square not in first]
        finds += self._search(frame, [*rest, *(person.square(time, width, height) for person in gone)])
        back = _follow(lost, guesses, time, people, DOUBTFUL)
        people += [person for person in back if person is not None]
        found = [pair for find in finds for pair in find.result()]
        if not people and not found and any(number % len(tiles) == 0 for number in due):
            found = [
                pair for find in self._search(frame, _tiles(width, height, round(0.6 * side))) for pair in find.result()
            ]
        newcomers = self._newcomers(frame, time, found, people)
        missing = [*gone, *(person for person, now in zip(lost, back, strict=True) if now is None)]
        for newcomer in newcomers:
            who = min(
                (person for person in missing if person.is_at(newcomer, time)),
                default=None,
                key=lambda person: person.error(newcomer, time),
            )
            people.append(newcomer if who is None else who.going_on(newcomer, time))
            missing = [person for person in missing if person is not who]
        self._people, self._lost = people, missing
        if not self._people:
            return np.zeros((0, self.joints.sources, 3), np.float32)
        return np.stack([person.points for person in self._people])

    def _due(self, squares: int, time: float) -> range:
        """Which squares are to be searched by now, so that each of so many is in FIND_EVERY; they are counted on and
        on.
        """
        last = math.floor(time / FIND_EVERY * squares + 1e-6)  # times are rounded: 0.6 / 0.2 is 2.9999999999999996
        first, self._turn = max(self._turn, last - squares) + 1, last
        return range(first, last + 1)

    def _newcomers(
        self, frame: np.ndarray, time: float, found: list[tuple[float, Region]], known: list[_Person]
    ) -> list[_Person]:
        """The people in regions that were found, beside those who are known."""
        people = list(known)
        for region in _different(found):
            if len(people) >= self.most:
                break
            if any(region.same(person.region) for person in people):
                continue
            person = self._look(self._alone, frame, region)
            if person is not None:
                person = self._look(
                    self._alone, frame, person.region
                )  # again, now that it is known better where the person is
            if person is not None and not person.doubles(people):
                people.append(person._replace(first=time, last=time))
        return people[len(known) :]

    def _search(
        self, frame: np.ndarray, squares: list[tuple[int, int, int, int]]
    ) -> list[Future[list[tuple[float, Region]]]]:
        """Have people looked for in squares (x, y, width, height) of a frame, side by side."""
        return [self._workers.submit(self._find_in, frame, square) for square in squares if min(square[2:]) >= SMALLEST]

    @abstractmethod
    def _find_in(self, frame: np.ndarray, square: tuple[int, int, int, int]) -> list[tuple[float, Region]]:
        """Regions in which a person seems to be, each with how sure that is."""

    @abstractmethod
    def _look(self, graphs: SimpleQueue, frame: np.ndarray, region: Region) -> _Person | None:
        """The joints of the person in a region, as one of the graphs sees them; None where there is nobody."""


class MediaPipeDetector(_PeopleDetector):
    """BlazePose of the mediapipe package: 33 points of each person, on the CPU, without a download.

    model: "full" (in the package), "heavy" or the path of a landmark model; None: heavy where its file lies beside the
    full one, else full. most: no more people than this are followed, the largest first.

    The points are not smoothed in time: the package's filter knows the past only, and the noise is what the lifters
    were trained on.

    Raises InputError where the package or the model is not there.
    """

    joints = BLAZEPOSE_33

    def __init__(self, model: str | Path | None = None, most: int = 4) -> None:
        package = _import_mediapipe()
        path = _landmark_model(model, Path(package.__file__).parent / "modules" / "pose_landmark")
        self.name = f"mediapipe {path.stem.removeprefix('pose_landmark_')}"
        super().__init__(most)
        self._rect = importlib.import_module("mediapipe.framework.formats.rect_pb2").NormalizedRect
        with _quiet():  # what the library has to say comes with the first picture
            try:
                self._make_graphs(path)
            except BaseException:
                self.close()
                raise

    def _make_graphs(self, path: Path) -> None:
        """Fill the queues. path: of the landmark model."""
        black = np.zeros((64, 64, 3), np.uint8)
        for _ in range(PARALLEL):
            self._finders.put(_graph(_FIND))
        for _ in range(PARALLEL):  # the queue brings each graph once
            self._find_in(black, (0, 0, 64, 64))
        try:
            self._alone.put(_graph(_LOOK, path))
            self._look(
                self._alone, black, Region(32, 32, 64, 0)
            )  # what is no such model is found out before it is taken apart
            self._alone.get().close()
            with _temporary_file(
                _without_silhouette(path), path.name
            ) as lean:  # a graph reads its file at the first picture
                several = PARALLEL if path.stat().st_size > LARGE else max(1, PARALLEL - 1)
                for graphs, threads in [(self._lookers, 1)] * PARALLEL + [(self._alone, several)]:
                    graphs.put(_graph(_LOOK, lean, threads))
                for graphs in [self._lookers] * PARALLEL + [self._alone]:
                    self._look(graphs, black, Region(32, 32, 64, 0))
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{path}: is no pose landmark model of mediapipe ({_line(error)[:120]}); give another"
            ) from error

    def close(self) -> None:
        """As `Detector.close`."""
        self._workers.shutdown(cancel_futures=True)
        for graphs in (self._finders, self._lookers, self._alone):
            while not graphs.empty():
                with contextlib.suppress(RuntimeError, ValueError):  # it has failed already, and said so
                    graphs.get().close()

    def _find_in(self, frame: np.ndarray, square: tuple[int, int, int, int]) -> list[tuple[float, Region]]:
        """Regions in which a person seems to be, each with how sure that is."""
        x, y, width, height = square
        tile = cv2.cvtColor(frame[y : y + height, x : x + width], cv2.COLOR_BGR2RGB)
        found = []
        for detection in _process(self._finders, tile).found or ():
            points = np.array(
                [(point.x * width + x, point.y * height + y) for point in detection.location_data.relative_keypoints]
            )
            found.append((detection.score[0], Region.around(points[0], points[1])))
        return found

    def _look(self, graphs: SimpleQueue, frame: np.ndarray, region: Region) -> _Person | None:
        """The joints of the person in a region, as one of the graphs sees them; None where there is nobody."""
        height, width = frame.shape[:2]
        x, y, side, turn = region
        if not (side >= SMALLEST and math.isfinite(x + y + side + turn)):
            return None  # the graph would not outlive it
        reach = (
            0.75 * side + 2
        )  # a little more than from the middle to a corner: the rest of the frame need not be copied
        left, right = (round(min(max(end, 0), width)) for end in (x - reach, x + reach))
        top, bottom = (round(min(max(end, 0), height)) for end in (y - reach, y + reach))
        if left >= right or top >= bottom:
            return None
        part, corner, size = (
            frame[top:bottom, left:right],
            np.array([left, top]),
            np.array([right - left, bottom - top]),
        )
        middle, sides = (np.array([x, y]) - corner) / size, side / size
        rect = self._rect(x_center=middle[0], y_center=middle[1], width=sides[0], height=sides[1], rotation=turn)
        seen = _process(graphs, {"image": cv2.cvtColor(part, cv2.COLOR_BGR2RGB), "region": rect})
        if seen.landmarks is None or seen.reach is None:
            return None
        points = np.array([(p.x, p.y, min(p.visibility, p.presence)) for p in seen.landmarks.landmark], np.float32)
        points[:, :2] = points[:, :2] * size + corner
        outside = (points[:, :2] < 0) | (points[:, :2] >= (width, height))  # (J, 2)
        points[outside.any(axis=1), 2] *= OUTSIDE
        if points[:, 2].mean() < GONE:
            return None
        centre, end = (np.array([p.x, p.y]) * size + corner for p in seen.reach.landmark[:2])
        return _Person(points, Region.around(centre, end))


def _process(graphs: SimpleQueue, what: object) -> Any:
    """What the next free graph says."""
    graph = graphs.get()
    try:
        return graph.process(what)
    finally:
        graphs.put(graph)


def _different(found: list[tuple[float, Region]]) -> list[Region]:
    """Of several regions of one person the surest, the largest first."""
    regions: list[Region] = []
    for _, region in sorted(found, reverse=True, key=lambda pair: pair[0]):
        if not any(region.same(other) for other in regions):
            regions.append(region)
    return sorted(regions, key=lambda region: -region.side)


def _tiles(width: int, height: int, side: int) -> list[tuple[int, int, int, int]]:
    """Squares (x, y, width, height) that cover a picture and overlap by OVERLAP or more, cut where the picture is
    narrower; none where one would be the picture itself.
    """

    def starts(length: int) -> list[int]:
        if length <= side:
            return [0]
        return [
            round(start)
            for start in np.linspace(0, length - side, math.ceil((length - side) / (side * (1 - OVERLAP))) + 1)
        ]

    if max(width, height) <= side:
        return []
    return [(x, y, min(width, side), min(height, side)) for y in starts(height) for x in starts(width)]


def _import_mediapipe() -> Any:
    """The package mediapipe, of a release that carries what is needed. Raises InputError where there is none."""
    advice = f"install it by: {INSTALL}"
    if sys.version_info >= (3, 13):
        here = f"{sys.version_info[0]}.{sys.version_info[1]}"
        advice = (
            f"there is no mediapipe {WHEEL} for Python {here}: use Python 3.11 or 3.12, or give --keypoints FILE with "
            "2D keypoints"
        )
    broken = (ImportError, AttributeError, TypeError)  # the last two: of a wrong protobuf
    try:
        package = importlib.import_module("mediapipe")
    except broken as error:
        raise InputError(
            f"mediapipe, which finds the people in the pictures, cannot be imported ({_line(error)}); {advice}"
        ) from error
    try:
        for module in (
            "python.solution_base",
            "python.solutions.pose",
            "framework.formats.rect_pb2",
            "tasks.metadata.schema_py_generated",
        ):
            importlib.import_module(f"mediapipe.{module}")
    except broken as error:
        version = getattr(package, "__version__", "of an unknown version")
        raise InputError(
            f"mediapipe {version} lacks what {WHEEL} has of pose models ({_line(error)}); {advice}"
        ) from error
    return package


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _landmark_model(model: str | Path | None, folder: Path) -> Path:
    """The file of a landmark model, given by name or path; folder: where the package has its own."""
    full, heavy = folder / "pose_landmark_full.tflite", folder / HEAVY
    known: dict[str | Path | None, Path] = {None: heavy if heavy.is_file() else full, "full": full, "heavy": heavy}
    path = known.get(model, Path(model or ""))
    if not path.is_file():
        if path == full:
            raise InputError(
                f"{full}: no such file, though it is part of mediapipe {WHEEL}; install it again: {INSTALL}"
            )
        if path == heavy:
            raise InputError(
                f"the model heavy is not in {folder}; {HEAVY_SOURCE}: give that path by --detector_model, or copy it "
                "there"
            )
        raise InputError(
            f"{path}: no such model; give --detector_model full, heavy or the path of a .tflite file ({HEAVY_SOURCE})"
        )
    with open(path, "rb") as file:
        if file.read(8)[4:] != b"TFL3":
            raise InputError(
                f"{path}: is no TensorFlow Lite model; give full, heavy or the path of a pose landmark model"
            )
    return path.resolve()


def _graph(text: str, model: Path | None = None, threads: int = 1) -> Any:
    """A graph of mediapipe that waits for pictures. model: the landmark model to use in place of the full one in the
    package, which the graph names itself: so no file has to be written among those of the package. threads: of the
    model's computation.
    """
    base = importlib.import_module("mediapipe.python.solution_base")
    importlib.import_module("mediapipe.python.solutions.pose")  # brings the options of the calculators
    calculators = importlib.import_module("mediapipe.framework.calculator_pb2")
    constants = importlib.import_module("mediapipe.calculators.core.constant_side_packet_calculator_pb2")
    parse = importlib.import_module("google.protobuf.text_format").Parse
    whole = base.validated_graph_config.ValidatedGraphConfig()
    whole.initialize(graph_config=parse(text, calculators.CalculatorGraphConfig()))
    config = calculators.CalculatorGraphConfig()
    config.ParseFromString(whole.binary_config)  # with the subgraphs in full
    inference = importlib.import_module(
        "mediapipe.calculators.tensor.inference_calculator_pb2"
    ).InferenceCalculatorOptions.ext
    for node in config.node:
        if node.calculator == "InferenceCalculatorCpu":
            node.options.Extensions[inference].delegate.xnnpack.num_threads = threads
        if model is not None and node.calculator == "ConstantSidePacketCalculator":
            for packet in node.options.Extensions[constants.ConstantSidePacketCalculatorOptions.ext].packet:
                if packet.string_value.endswith("pose_landmark_full.tflite"):
                    packet.string_value = str(model)
    return base.SolutionBase(
        graph_config=config, side_inputs={} if model is None else {"model_complexity": 1}
    )  # 1: full


def _without_silhouette(model: Path) -> bytes:
    """A landmark model without what finds the person's silhouette, up to a third of its time, for which nobody here
    asks.

    The rest is as it was, to the bit. The graph wants as many outputs as before: the score stands in for the
    silhouette.
    """
    schema = importlib.import_module("mediapipe.tasks.metadata.schema_py_generated")
    builder = importlib.import_module("flatbuffers").Builder()
    whole = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model.read_bytes(), 0))
    graph = whole.subgraphs[0]
    shapes = {output: tuple(graph.tensors[output].shape) for output in graph.outputs}
    score = next(output for output, shape in shapes.items() if shape == (1, 1))
    graph.outputs = [score if shapes[output] == SILHOUETTE else output for output in graph.outputs]
    needed, operators = set(graph.outputs), []
    for operator in reversed(graph.operators):
        if needed.intersection(operator.outputs):
            needed.update(operator.inputs)
            operators.append(operator)
    graph.operators = operators[::-1]
    builder.Finish(whole.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@contextlib.contextmanager
def _temporary_file(data: bytes, name: str) -> Iterator[Path]:
    """The path of a file that is there while the block runs. Raises InputError where the system's temporary folder does
    not take it.
    """
    with contextlib.ExitStack() as closing:
        try:
            folder = closing.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            path = Path(folder) / name
            path.write_bytes(data)
        except OSError as error:
            raise _no_temporary_folder(error) from error
        yield path


def _no_temporary_folder(error: OSError) -> InputError:
    folder = tempfile.tempdir or "the temporary folder"
    return InputError(
        f"{folder}: cannot be written ({error.strerror or error}); make room, or name another folder by the variable "
        "TMPDIR"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep off stderr what the library says in passing (INFO, WARNING and the like), by no switch of its own; the rest
    is passed on afterwards, unless an InputError says it.
    """
    sys.stderr.flush()
    said = True
    with contextlib.ExitStack() as closing:
        try:
            file = closing.enter_context(tempfile.TemporaryFile())
        except OSError as error:
            raise _no_temporary_folder(error) from error
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


# Which detectors there are
# -----------------------------------------------------------------------------------------------------

DETECTORS: dict[str, Callable[[str | Path | None], Detector]] = {"mediapipe": MediaPipeDetector}
"""By name: each is called with the model that the user asked for, or None. Another detector joins by a line here."""


def create_detector(name: str = "mediapipe", model: str | Path | None = None) -> Detector:
    """A detector for one video. model: which of the detector's models, or the path of one; None: the best that is
    there.

    Raises InputError where there is no detector of the name, or it cannot run here.
    """
    if name not in DETECTORS:
        raise InputError(f"detector is {name!r}; there is {', '.join(sorted(DETECTORS))}")
    return DETECTORS[name](model)


# Files of keypoints
# ------------------------------------------------------------------------------------------------------------

FORMAT = "hot-keypoints 1"
LAYOUT = "give x, y and score of the 17 joints, as demo/detect.py says; demo/convert.py has tables for other joints"
SCHEMA = {
    "format": Field(TEXT, choices=(FORMAT,)),
    "joints": Field(TEXT, (H36M.joints,)),
    "keypoints": Field(NUMBER, ("people", "frames", H36M.joints, 3), finite=False),
    "fps": FPS,
    "size": SIZE,
}


def write_keypoints(path: str | Path, keypoints: np.ndarray, fps: float, size: tuple[int, int]) -> None:
    """Write the keypoints of a video: one .npz of plain arrays (no pickles).

    | array | shape | what |
    |---|---|---|
    | format | () | "hot-keypoints 1" |
    | joints | (17,) | the names of the joints, `skeleton.H36M.names` |
    | keypoints | (P, T, 17, 3) | of P people in T frames: x right, y down in pixels, and score 0..1; 0: the joint was
    not found |
    | fps | () | frames per second |
    | size | (2,) | width and height of the picture in pixels |

    In a frame without the person all its scores are 0. Raises InputError where the file cannot be written.
    """
    if keypoints.ndim != 4 or keypoints.shape[2:] != (H36M.joints, 3):
        raise ValueError(f"keypoints of shape {keypoints.shape} are not (people, frames, {H36M.joints}, 3)")
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            format=FORMAT,
            joints=np.array(H36M.names),
            keypoints=keypoints.astype(np.float32),
            fps=float(fps),
            size=np.array(size, dtype=np.int64),
        )


def read_keypoints(
    path: str | Path, video: str | None = None, size: tuple[int, int] | None = None, fps: float | None = None
) -> tuple[np.ndarray, float, tuple[int, int]]:
    """The keypoints (P, T, 17, 3) float32, frames per second and (width, height) of a file in the layout of
    `write_keypoints`.

    Of VideoPose3D's files for one's own videos as well (common/data/custom_2d.py): video, size, fps are the video's
    name, what to take where the file does not tell. Raises InputError where the file is missing, damaged or of another
    layout.
    """
    path = Path(path)
    with open_npz(path, SCHEMA, make="give the path of a keypoints file", layout=LAYOUT) as field:
        if "positions_2d" in field:
            return _read_custom_2d(path, video, size, fps)
        field("format")
        names, keypoints, sides, rate = field("joints"), field("keypoints"), field("size"), float(field("fps"))
    if tuple(names.tolist()) != H36M.names:
        raise InputError(
            f"{path}: field joints is not the names of the {H36M.joints} joints of Human3.6M in order "
            "(common/geometry/skeleton.py); bring the joints into that order, demo/convert.py has tables"
        )
    wrong = ~(np.abs(keypoints) <= MOST_PIXELS)  # NaN as well
    wrong[..., 2] |= (keypoints[..., 2] < 0) | (keypoints[..., 2] > 1)
    if wrong.any():
        person, frame, joint, axis = (int(number) for number in np.argwhere(wrong)[0])
        what = f"{('x', 'y', 'score')[axis]} of {H36M.names[joint]}, person {person}, frame {frame}"
        raise InputError(
            f"{path}: field keypoints is {keypoints[person, frame, joint, axis]} ({what}), but pixels are finite and "
            "scores 0 to 1; "
            "give joints that were not found as x 0, y 0 and score 0"
        )
    return keypoints.astype(np.float32), rate, (int(sides[0]), int(sides[1]))


def _read_custom_2d(
    path: Path, video: str | None, size: tuple[int, int] | None, fps: float | None
) -> tuple[np.ndarray, float, tuple[int, int]]:
    clip = read_custom_2d(path, video)
    size, fps = clip.size or size, clip.fps or fps
    if size is None or fps is None:
        raise InputError(
            f"{path}: does not tell the size or the frame rate of {shown(clip.name)}; give --video with its file"
        )
    if clip.fps is None:
        print(f"{path}: does not tell the frame rate of {shown(clip.name)}; {fps:g} frames/s are taken", flush=True)
    points = convert(clip.points, COCO_17) if clip.layout == "coco" else clip.points  # (T, 17, 3)
    return points[None], fps, size
