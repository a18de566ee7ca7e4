"""BlazePose: 33 points of each person, by the models of the package mediapipe."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import cv2
import numpy as np

from common.errors import InputError
from demo.convert import BLAZEPOSE_33
from demo.follow import PARALLEL, SMALLEST, PeopleDetector, Person, Region

WHEEL = "0.10.21"
"""The last release of mediapipe that carries its models and the graphs that are used here."""
INSTALL = f'pip install --no-deps "mediapipe=={WHEEL}" && pip install absl-py attrs flatbuffers "protobuf>=4.25.3,<5"'
HEAVY = "pose_landmark_heavy.tflite"
HEAVY_SOURCE = f"`npm pack @mediapipe/pose@0.5.1675469404` brings it as package/{HEAVY}"

OUTSIDE = 0.2
"""Of a joint's score, what is left where the joint is outside the picture, and so guessed."""
GONE = 0.3
"""Below this mean score nobody is there: a person who has left the picture, say."""
SILHOUETTE = (1, 256, 256, 1)
"""Of a landmark model's outputs, the one of this shape is not used here."""
LARGE = 15e6
"""Bytes of a landmark model that is worth all cores for one person; a smaller one leaves a core to who decodes the
video.
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


class MediaPipeDetector(PeopleDetector):
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

    def _look(self, graphs: SimpleQueue, frame: np.ndarray, region: Region) -> Person | None:
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
        return Person(points, Region.around(centre, end))


def _process(graphs: SimpleQueue, what: object) -> Any:
    """What the next free graph says."""
    graph = graphs.get()
    try:
        return graph.process(what)
    finally:
        graphs.put(graph)


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
