"""The camera of a film: from the field of view, a file of intrinsics, or what cameras write into images (EXIF)."""

from __future__ import annotations

import json
import math
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from PIL.ExifTags import IFD, Base

from common.errors import InputError
from common.geometry.camera import Camera, camera_for, camera_of_view
from demo.video_read import IMAGES

BENT = ("distortions", "distortion_coefficients", "dist_coeffs", "distCoeffs", "distortion", "dist", "D")
COUNTS = (4, 5, 8, 12, 14)
"""How many numbers OpenCV takes for a lens: k1, k2, p1, p2, k3 and so on; of a fisheye four, k1 to k4."""
EXACT = 0.5
"""A lens that bends the picture's border cannot be made straight better than this, pixels, is none."""
ROUNDS = 20
"""Of the approximation of straight points; each leaves a small share of the error."""
MATRIX = ("matrix", "camera_matrix", "cameraMatrix", "K")
SIZE = ("size", "image_size", "imageSize")
SIDES = (("image_width", "image_height"), ("width", "height"))
LAYOUT = (
    "it must have `matrix`, 3 x 3 in pixels, and `size`, width and height, as a Pose2Sim .toml, an OpenCV .yml or .xml "
    "(camera_matrix, image_width, image_height) or a .json"
)
FILM_DIAGONAL = math.hypot(36, 24)
"""Millimetres across a picture on 35 mm film, for which equivalent focal lengths are given."""
UNITS = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""Millimetres in the unit of EXIF's FocalPlaneResolutionUnit."""


@dataclass(frozen=True)
class Lens(Camera):
    """A camera whose lens bends lines. coefficients: as OpenCV has them; fisheye: whether of its fisheye model."""

    coefficients: tuple[float, ...] = ()
    fisheye: bool = False

    def straight(self, pixels: np.ndarray) -> np.ndarray:
        """Where pixels (N, 2) would be if the lens did not bend: (N, 2), float64."""
        matrix, points = self._matrix(), np.ascontiguousarray(pixels, np.float64).reshape(-1, 1, 2)
        coefficients = np.array(self.coefficients)
        if self.fisheye:
            return cv2.fisheye.undistortPoints(points, matrix, coefficients, P=matrix).reshape(-1, 2)
        straight = cv2.undistortPoints(points, matrix, coefficients, P=matrix).reshape(-1, 2)
        for _ in range(ROUNDS):  # OpenCV stops early
            straight = straight + pixels - self.bent(straight)
        return straight

    def bent(self, pixels: np.ndarray) -> np.ndarray:
        """The inverse of `straight`."""
        matrix, coefficients = self._matrix(), np.array(self.coefficients)
        rays = (np.asarray(pixels, np.float64) - self.center) / self.focal  # (N, 2)
        if self.fisheye:
            return cv2.fisheye.distortPoints(rays.reshape(-1, 1, 2), matrix, coefficients).reshape(-1, 2)
        ahead = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)  # (N, 3)
        return cv2.projectPoints(ahead, np.zeros(3), np.zeros(3), matrix, coefficients)[0].reshape(-1, 2)

    def _matrix(self) -> np.ndarray:
        return np.array([[self.focal[0], 0, self.center[0]], [0, self.focal[1], self.center[1]], [0, 0, 1]])


def straighten(keypoints: np.ndarray, camera: Camera | None) -> np.ndarray:
    """Keypoints (..., 3), pixels and score, as a camera without distortion would see them.

    A joint outside the picture, where the numbers of a lens mean nothing, is moved as the border next to it is.
    """
    if not isinstance(camera, Lens):
        return keypoints
    pixels = keypoints[..., :2].reshape(-1, 2)  # (N, 2)
    inside = np.clip(pixels, 0, camera.size)
    moved = (camera.straight(inside) + pixels - inside).reshape(keypoints[..., :2].shape)
    found = keypoints[..., 2:] > 0
    return np.concatenate([np.where(found, moved, keypoints[..., :2]), keypoints[..., 2:]], axis=-1).astype(np.float32)


def choose_camera(
    fov: float | None, file: str | Path | None, film: Path | None, size: tuple[int, int]
) -> Camera | None:
    """The camera of a film: by --fov or --camera, else by the images of a folder; None where none of these says it.

    film: the video, the folder of images, or a file that was made from one; size: its (width, height) in pixels. Raises
    InputError where both flags are given, the file cannot be read, or no camera can be as it says.
    """
    if fov is not None and file is not None:
        raise InputError("--fov and --camera are both given; give one of them")
    if fov is not None:
        return camera_of_view(fov, size)
    if file is not None:
        return camera_for(read_camera(file, film.stem if film else ""), size)
    if film is None or not film.is_dir():
        return None
    images = sorted(path for path in film.iterdir() if path.suffix.lower() in IMAGES)
    return next(filter(None, map(camera_of_image, images)), None)


def read_camera(path: str | Path, name: str = "") -> Camera:
    """The camera of a file of intrinsics: TOML as Pose2Sim writes it, YAML or XML as OpenCV does, or JSON with the same
    names.

    name: which camera, where the file holds several, each in a table of its own. It is a Lens where it bends lines.
    Raises InputError where the file cannot be read, holds no camera or one that cannot be, or holds several and none of
    them is called `name`.
    """
    path = Path(path)
    cameras = list(_cameras(_read_table(path), ""))
    if not cameras:
        raise InputError(f"{path}: holds no camera; {LAYOUT}")
    if len(cameras) > 1:
        names = [own for own, _ in cameras]
        cameras = [camera for camera in cameras if camera[0].lower() == name.lower()]
        if len(cameras) != 1:
            raise InputError(
                f"{path}: holds the cameras {', '.join(names)}, none or several called {name!r} as the film is; "
                "give a file with one camera, or --fov"
            )
    return _camera(path, *cameras[0])


def _read_table(path: Path) -> Mapping[str, object]:
    """A file of names and values, some of which may be tables themselves."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; give one by --camera") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a text ({error}); give a file of intrinsics") from error
    suffix = path.suffix.lower()
    table: object
    try:
        if suffix == ".toml":
            table = tomllib.loads(text)
        elif suffix == ".json":
            table = json.loads(text)
        elif suffix in (".yml", ".yaml", ".xml"):
            storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
            table = _plain(storage.root())
        else:
            raise InputError(f"{path}: is no .toml, .yml, .yaml, .xml or .json; {LAYOUT}")
    except (ValueError, RecursionError, cv2.error, SystemError) as error:
        raise InputError(f"{path}: is damaged, or no {suffix} file ({_line(error)}); {LAYOUT}") from error
    if not isinstance(table, Mapping):
        raise InputError(f"{path}: holds no names and values; {LAYOUT}")
    return table


def _plain(node: cv2.FileNode) -> object:
    if node.isMap():
        return {key: _plain(node.getNode(key)) for key in node.keys()}  # noqa: SIM118 - a node is no dict
    if node.isSeq():
        return [_plain(node.at(number)) for number in range(node.size())]
    return node.string() if node.isString() else node.real() if node.isReal() or node.isInt() else None


def _cameras(table: Mapping[str, object], name: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The name and table of each camera, which is a table with a matrix: this table, or tables in it."""
    if any(key in table for key in MATRIX):
        yield str(table.get("name", name)), table
        return
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _cameras(value, key)


def _camera(path: Path, name: str, table: Mapping[str, object]) -> Camera:
    key = next(key for key in MATRIX if key in table)
    matrix = table[key]
    if isinstance(matrix, Mapping):  # as OpenCV and ROS write one
        matrix = matrix.get("data")
    matrix = _numbers(path, key, matrix, 9)
    (fx, skew, cx), (row, fy, cy), last = matrix.reshape(3, 3).tolist()
    if not (fx > 0 and fy > 0 and row == 0 and last == [0, 0, 1] and abs(skew) < 0.01 * fx):
        raise InputError(f"{path}: field {key} is no camera matrix [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; correct it")
    names = next((key for key in SIZE if key in table), None)
    sides = next((pair for pair in SIDES if all(key in table for key in pair)), None)
    if names is not None:
        size = _numbers(path, names, table[names], 2)
    elif sides is not None:
        size = _numbers(path, " and ".join(sides), [table[side] for side in sides], 2)
    else:
        raise InputError(f"{path}: has no size of the picture beside {key}; {LAYOUT}")
    if not (size >= 1).all():
        raise InputError(f"{path}: says that the picture is {size[0]:g} x {size[1]:g} pixels; correct it")
    camera = Camera(name, (float(size[0]), float(size[1])), (fx, fy), (cx, cy))
    return _with_lens(path, camera, table)


def _with_lens(path: Path, camera: Camera, table: Mapping[str, object]) -> Camera:
    """The camera with the distortion that its table has, if any."""
    key = next((key for key in BENT if table.get(key) is not None), None)
    if key is None:
        return camera
    value = table[key]
    if isinstance(value, Mapping):  # as OpenCV and ROS write one
        value = value.get("data")
    fisheye = table.get("fisheye") in (True, 1) or table.get("distortion_model") in ("equidistant", "fisheye")
    counts = (4,) if fisheye else COUNTS
    try:
        count = np.size(np.array(value, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        count = 0
    coefficients = _numbers(path, key, value, count if count in counts else counts[0])
    if not coefficients.any():
        return camera
    lens = Lens(
        camera.name,
        camera.size,
        camera.focal,
        camera.center,
        coefficients=tuple(coefficients.tolist()),
        fisheye=fisheye,
    )
    _check_lens(path, key, lens)
    return lens


def _check_lens(path: Path, key: str, lens: Lens) -> None:
    """Raise InputError where no lens bends a picture so: lines outwards fold, or cannot be made straight."""
    width, height = lens.size
    steps = np.linspace(0, 1, 33)[:, None]  # (33, 1)
    middle = np.array(lens.center)
    for corner in np.array([(0, 0), (width, 0), (0, height), (width, height)]):
        line = middle + steps * (corner - middle)  # (33, 2) from the centre outwards
        straight = lens.straight(line)
        outwards = ((straight - middle) @ (corner - middle)) / max(np.linalg.norm(corner - middle), 1)
        exact = np.isfinite(straight).all() and np.abs(lens.bent(straight) - line).max() <= EXACT
        if not exact or not (np.diff(outwards) > 0).all():
            raise InputError(
                f"{path}: field {key} is of no lens, it folds the picture at its corner {corner[0]:g}, {corner[1]:g}; "
                "correct it, or leave it out"
            )


def _numbers(path: Path, key: str, value: object, count: int) -> np.ndarray:
    """`count` finite numbers, however they are nested -> (count,)."""
    try:
        numbers = np.array(value, dtype=np.float64).ravel()  # (count,)
    except (TypeError, ValueError, OverflowError):
        numbers = np.zeros(0)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError(f"{path}: field {key} is not {count} numbers; {LAYOUT}")
    return numbers


def camera_of_image(path: str | Path) -> Camera | None:
    """The camera of an image by its EXIF: the focal length on 35 mm film, else focal length and sensor; None where the
    EXIF has neither.

    Raises InputError where no camera has such a field of view.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of damaged EXIF, and reads what can be read
            with Image.open(path) as image:
                size, exif = image.size, image.getexif().get_ifd(IFD.Exif)
        focal = _focal_length(exif, size)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, Image.DecompressionBombError):
        return None  # Pillow cannot read the image or its EXIF
    if focal is None:
        return None
    try:
        camera = Camera(path.name, size, (focal, focal), (size[0] / 2, size[1] / 2))
        return camera_for(camera, size)
    except InputError as error:
        raise InputError(f"{path}: by its EXIF, {error}; or say the true one by --fov") from error


def _focal_length(exif: Mapping[int, Any], size: tuple[int, int]) -> float | None:
    """The focal length in pixels of an image of `size`; None where the EXIF does not say it, or says 0 for unknown."""
    on_film = _positive(exif.get(Base.FocalLengthIn35mmFilm))
    if on_film:
        return on_film / FILM_DIAGONAL * math.hypot(*size)
    length, density = (_positive(exif.get(tag)) for tag in (Base.FocalLength, Base.FocalPlaneXResolution))
    unit = UNITS.get(exif.get(Base.FocalPlaneResolutionUnit, 2))
    taken = [_positive(exif.get(tag)) for tag in (Base.ExifImageWidth, Base.ExifImageHeight)]
    if length and density and unit and all(taken):
        return length * density / unit * max(size) / max(taken)
    return None


def _positive(value: Any) -> float:
    number = float(value) if value is not None else 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
