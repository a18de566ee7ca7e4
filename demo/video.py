"""Reading and writing video: files, folders of images and cameras in, MP4 that browsers play out. PyAV (FFmpeg) does
the coding.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer, OutputContainer
from av.stream import Disposition
from av.video.reformatter import Colorspace, VideoReformatter

from common.errors import InputError
from common.files import FULL, replacing

VIDEOS = Path(__file__).resolve().parent / "video"
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
TIFF = (".tif", ".tiff")
SLOWEST, FASTEST = 1, 240  # frames per second: a rate outside may be a fault of the file, and is measured
DEFAULT_FPS = 30  # where neither the file nor the camera knows
# FFmpeg also draws text as pictures; nobody who gives a text file means that.
_TEXT_FORMATS = ("tty", "bin", "xbin", "adf", "idf")
_COPIED_SOUND = ("aac", "mp3", "opus")  # codecs that fit into MP4 and that browsers play
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # Hz
_LONGEST_PAUSE = 10.0  # seconds between two frames: a longer step, beyond the file's own length, is a broken clock
_BROKEN_STEP = 1.0  # seconds backwards: a smaller step is jitter, a larger one a broken clock
_LEAD = 0.5  # seconds by which sound is written before the pictures, so that players need not seek
_EARLY_SOUND = (
    0.1  # seconds before the first picture that are kept: decoders need them to settle, players do not play them
)
# Beside "veryfast" alone: less than half the time at nearly the same picture, for a file that is a third larger.
_CODING = {"preset": "veryfast", "crf": "20", "x264-params": "subme=0:me=dia:partitions=none:cabac=0"}


# Reading
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VideoReader:
    """A source of pictures at a constant rate. Iterating reads it from the start, one picture in memory at a time.

    path: the file or folder. size: (width, height) in pixels, upright and with square pixels. fps: pictures per second.
    frames, duration (seconds): what the file says about itself, None where it does not; a damaged file yields fewer.
    has_audio: whether there is sound for VideoWriter's audio_from.

    Each step yields (index, seconds = index / fps, picture (H, W, 3) uint8 BGR, the caller's own). Raises InputError
    where an image cannot be read; warns on stderr, once, where a part of a video cannot be.
    """

    path: Path
    size: tuple[int, int]
    fps: Fraction
    frames: int | None
    duration: float | None
    has_audio: bool
    _pictures: Callable[[tuple[int, int]], Iterator[np.ndarray]] = field(repr=False)

    def __iter__(self) -> Iterator[tuple[int, float, np.ndarray]]:
        for index, picture in enumerate(self._pictures(self.size)):
            yield index, float(index / self.fps), picture

    def scaled(self, lines: int) -> VideoReader:
        """The same with pictures that are no higher than `lines` pixels; made small while they are decoded, which is
        cheap.
        """
        return replace(self, size=scaled_size(self.size, lines))


def scaled_size(size: tuple[int, int], lines: int) -> tuple[int, int]:
    """A size (width, height) brought down to a height of `lines` pixels, where it is higher, and then an even width."""
    width, height = size
    return (max(2, 2 * round(width * lines / height / 2)), lines) if height > lines else (width, height)


def open_video(
    source: str | Path,
    folder: str | Path = VIDEOS,
    *,
    fps: float | Fraction = DEFAULT_FPS,
    seconds: float | None = None,
) -> VideoReader:
    """A reader of `source`: a video, a folder of images, a bare name of one of these in `folder`, or a camera's number
    in digits.

    Videos come out upright, at their average rate. Where their own rate varies, each picture is the frame that is
    nearest in time, repeated or left out as needed: the length stays, and sound stays in step. Time 0 is the first
    frame that decodes. Images come in natural order (frame2 before frame10) at `fps`. A camera is first recorded into
    `folder`, see record_camera, for `seconds`.

    Raises InputError where there is no such file, it is not a video, none of its frames can be decoded, a folder has no
    images, or these cannot be read or differ in size.
    """
    path, camera = find_source(source, folder)
    if camera is not None:
        record_camera(camera, seconds, path)
    return _open_images(path, fps) if path.is_dir() else _open_file(path)


def find_source(source: str | Path, folder: str | Path = VIDEOS) -> tuple[Path, int | None]:
    """The path that `open_video` reads for a source, and None; for a camera the new file in `folder` that it would be
    recorded to, and its number. Raises InputError where there is no such file.
    """
    name, folder = str(source), Path(folder)
    # os.path's functions, since those of Path raise errors for names that are too long and others.
    for path in [Path(name), folder / name] if len(Path(name).parts) == 1 else [Path(name)]:
        if name and os.path.exists(path):
            if not os.path.isdir(path) and not os.path.isfile(path):
                raise InputError(f"{path}: is neither a file nor a folder; give a video or a folder of images")
            return path, None
    if re.fullmatch(r"[0-9]{1,9}", name):
        path = folder / f"camera{name}_{time.strftime('%Y%m%d_%H%M%S')}.mp4"
        while path.exists():
            path = path.with_stem(path.stem + "_")
        return path, int(name)
    raise InputError(
        f"{name or 'no name'}: there is no such file, here or in {folder}; give a video or a folder of images"
    )


def _open_file(path: Path) -> VideoReader:
    video = _VideoFile(path)
    length = video.duration
    return VideoReader(
        path=path,
        size=video.size,
        fps=video.fps,
        frames=None if length is None else max(1, round(length * video.fps)),
        duration=length,
        has_audio=video.has_audio,
        _pictures=video.pictures,
    )


class _VideoFile:
    """A video file of which at least one frame decodes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warned = False
        with _opened(path) as container:
            stream = _video_stream(container)
            sound = container.streams.best("audio")
            if stream is None:
                what = (
                    "no pictures that FFmpeg can read, it is no video or was cut off" if sound is None else "only sound"
                )
                raise InputError(f"{path}: holds {what}; give a video")
            first = next(_decode(container, stream), None)
            if first is None:
                raise InputError(
                    f"{path}: no frame of it can be decoded, it is empty or damaged; record, download or copy it again"
                )
            self.has_audio = sound is not None
            claimed = stream.average_rate or stream.guessed_rate
            self.fps = simple_rate(
                claimed if claimed and SLOWEST <= claimed <= FASTEST else self._measured_rate(claimed)
            )
            self.duration = _duration(container, stream)
            self.matrix = _display_matrix(first)
            aspect = stream.sample_aspect_ratio or 1
            stored = round(first.width * aspect) if 0.25 <= aspect <= 4 else first.width, first.height
        self.size = stored[::-1] if _lies_on_its_side(self.matrix) else stored  # with square pixels, upright
        # What players take for the colours of a file that does not say: HD is BT.709, smaller pictures are BT.601.
        self.colours = Colorspace.ITU709 if min(stored) >= 720 else Colorspace.ITU601

    def _measured_rate(self, claimed: Fraction | None) -> Fraction | float:
        """Frames per second as the times of the packets show them; as the file claims, where these bear it out or are
        not there.
        """
        times: list[float] = []
        with _opened(self.path) as container:
            stream = _video_stream(container)
            assert stream is not None  # as when it was opened first
            with contextlib.suppress(av.FFmpegError):  # up to a fault
                for packet in container.demux(stream):
                    seconds = _seconds(packet.pts, stream.time_base)
                    times += [] if seconds is None else [seconds]
        steps = np.diff(np.unique(times))
        steps = (
            steps[steps <= max(_LONGEST_PAUSE, np.median(steps))] if len(steps) else steps
        )  # a longer one is a broken clock
        if not len(steps):
            return claimed or DEFAULT_FPS
        rate = float(1 / steps.mean())
        return claimed if claimed and abs(rate / claimed - 1) < 0.1 else rate  # files round their times

    def pictures(self, size: tuple[int, int]) -> Iterator[np.ndarray]:
        """Yield pictures of `size` (W, H) as (H, W, 3) uint8 BGR, upright, at self.fps."""
        convert = VideoReformatter()
        width, height = size[::-1] if _lies_on_its_side(self.matrix) else size
        for frame in _at_constant_rate(self._timed(), float(self.fps)):
            colours = self.colours if frame.colorspace == 2 else None  # 2: the file does not say
            plain = convert.reformat(
                frame, width, height, "bgr24", src_colorspace=colours, interpolation="AREA", threads=1
            )
            picture = plain.to_ndarray()
            yield _upright(picture.copy() if plain is frame else picture, self.matrix)  # the frame may be shown again

    def _timed(self) -> Iterator[tuple[av.VideoFrame, float, float]]:
        """Yield each frame that decodes, the seconds since the first one, never falling, and those that it lasts."""
        period = 1 / float(self.fps)
        longest = max(_LONGEST_PAUSE, self.duration or 0.0)
        count, shown, offset = 0, -period, None
        with _opened(self.path) as container:
            stream = _video_stream(container)
            assert stream is not None  # as when it was opened first
            stream.thread_type = "AUTO"
            by_decoding = container.format.name == "avi"  # it knows no time of presentation
            frames = _decode(container, stream)
            while True:
                try:
                    frame = next(frames)
                except StopIteration as end:
                    if end.value:
                        self._warn(count, shown + period)
                    return
                stamp = _seconds(frame.dts if by_decoding else frame.pts, stream.time_base)
                if stamp is None:
                    shown += period
                else:
                    if (
                        offset is None or not -_BROKEN_STEP <= stamp - offset - shown <= longest
                    ):  # the clock starts, or jumped
                        offset = stamp - (shown + period)
                    shown = max(shown, stamp - offset)
                lasts = _seconds(frame.duration or None, stream.time_base) or period
                count += 1
                yield frame, shown, max(period, min(lasts, longest))  # the last one may claim to be over at once

    def _warn(self, count: int, until: float) -> None:
        if self.warned:
            return
        self.warned = True
        of = "" if self.duration is None else f" of {self.duration:.1f}"
        print(
            f"warning: {self.path}: is damaged or cut off; going on with {count} frames, {until:.1f}{of} seconds",
            file=sys.stderr,
        )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    """Yield the file opened by FFmpeg, which may read no other file and no network. Raises InputError where it cannot
    be read.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(8)
        container = av.open(
            str(path.absolute()), container_options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
    except OSError as error:  # some of FFmpeg's are such
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file that you may read") from error
    except av.FFmpegError as error:
        if start[4:] in (b"ftyp", b"wide", b"mdat"):  # MP4, QuickTime
            what = (
                "cannot be read, it was cut off before its index (moov), which is written last; record or copy it again"
            )
        else:
            what = "is not a video that FFmpeg can read; give a video" if start else "is empty; give a video"
        raise InputError(f"{path}: {what}") from error
    with container:
        if container.format.name in _TEXT_FORMATS:
            raise InputError(f"{path}: is text, not a video; give a video")
        yield container


def _video_stream(container: InputContainer) -> av.VideoStream | None:
    """The moving pictures of a file; the cover of an album is none."""
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream) or Disposition.attached_pic in Disposition(stream.disposition):
        return None
    return stream


def _decode(container: InputContainer, stream: av.VideoStream) -> Generator[av.VideoFrame, None, bool]:
    """Yield the frames that decode; return whether the file is damaged or ends before its time."""
    damaged, end = False, -math.inf
    packets = container.demux()  # all streams: the last of any of them tells where the file ends
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            damaged, packet = True, None
        if packet is None:
            break
        if not packet.size:  # PyAV's marks of the end: the decoder is emptied below, however the file ended
            continue
        if packet.pts is not None:
            end = max(end, _seconds(packet.pts + (packet.duration or 0), packet.time_base) or end)
        if packet.stream_index == stream.index:
            damaged |= packet.is_corrupt
            try:
                yield from stream.decode(packet)
            except av.FFmpegError:
                damaged = True
    with contextlib.suppress(av.FFmpegError):
        yield from stream.decode(None)
    if container.duration is not None and end > -math.inf:
        expected = (_start(container) + container.duration) / av.time_base
        damaged |= end < expected - 1  # a second: many files do not know their length better
    return damaged


def _start(container: InputContainer) -> int:
    """Where the time of which the file says the length begins, microseconds: in Matroska and WebM at 0, wherever the
    pictures begin.
    """
    return 0 if "matroska" in container.format.name else container.start_time or 0


def _seconds(ticks: int | None, base: Fraction | None) -> float | None:
    return None if ticks is None or base is None else float(ticks * base)


def simple_rate(fps: float | Fraction) -> Fraction:
    """`fps` as a fraction that every player can count in: exact for 25, 30000/1001, 1/2 and the like, else within
    0.0005.

    Raises InputError for a rate that no video can have.
    """
    if not 0.001 <= fps <= 1e6:
        raise InputError(f"{float(fps):g} frames per second are no rate of a video; give 0.001 to 1,000,000")
    return (
        Fraction(fps).limit_denominator(1001) if fps >= 1 else 1 / Fraction(1 / Fraction(fps)).limit_denominator(1001)
    )


def _duration(container: InputContainer, stream: av.VideoStream) -> float | None:
    """Seconds of the pictures, as the file says, or else of the whole file, or None."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))  # Matroska, WebM
    if stream.duration:
        length = _seconds(stream.duration, stream.time_base) or 0.0
    elif tag:
        length = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
        length -= _seconds(stream.start_time, stream.time_base) or 0.0  # the tag is the time of the end
    else:
        length = ((container.duration or 0) + _start(container) - (container.start_time or 0)) / av.time_base
    return length if length > 0 else None


# Turning pictures
# ------------------------------------------------------------------------------------------------------------

_Matrix = tuple[float, float, float, float]


def _display_matrix(frame: av.VideoFrame) -> _Matrix:
    """(a, b, c, d) of the turn that a phone asks for: the column p and row q of a picture go to x = a p + c q, y = b p
    + d q.
    """
    with contextlib.suppress(ValueError):  # PyAV raises it for kinds of side data that it does not know
        found: Any = frame.side_data  # all of it, where the stub says that it is one
        for data in found:
            if data.type.name == "DISPLAYMATRIX":
                a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
                return a, b, c, d
    angle = math.radians(frame.rotation)  # anticlockwise
    return math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)


def _lies_on_its_side(matrix: _Matrix) -> bool:
    a, b, c, d = matrix
    return abs(b) + abs(c) > abs(a) + abs(d)


def _upright(picture: np.ndarray, matrix: _Matrix) -> np.ndarray:
    """The picture (H, W, 3) turned and mirrored, to the nearest right angle, (H, W, 3) or (W, H, 3); rows without
    gaps.
    """
    a, b, c, d = matrix
    if _lies_on_its_side(matrix):
        picture, right, down = cv2.transpose(picture), c, b
    else:
        right, down = a, d
    if right < 0 or down < 0:
        picture = cv2.flip(picture, -1 if right < 0 and down < 0 else int(right < 0))
    return np.ascontiguousarray(picture)


def _at_constant_rate(timed: Iterator[tuple[av.VideoFrame, float, float]], fps: float) -> Iterator[av.VideoFrame]:
    """Of frames with their times and durations, yield the one nearest to each of the times 0, 1/fps, 2/fps, ... until
    the end.
    """
    index, shown, at, end = 0, None, 0.0, 0.0
    for frame, seconds, lasts in timed:
        if shown is not None:
            while index / fps <= (at + seconds) / 2:
                yield shown
                index += 1
        shown, at, end = frame, seconds, seconds + lasts
    if shown is not None:
        for _ in range(index, max(index + (index == 0), round(end * fps))):
            yield shown


# Images
# ----------------------------------------------------------------------------------------------------------------------


def _open_images(folder: Path, fps: float | Fraction) -> VideoReader:
    """Every image is decoded once here, so that a bad one is found before the work begins."""
    try:
        names = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES and not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); give a folder that you may read") from error
    if not names:
        raise InputError(f"{folder}: holds no images ({', '.join(IMAGES)}); give a folder of images or a video")
    names.sort(key=_natural)
    height, width = _read_image(names[0]).shape[:2]
    for name in names[1:]:
        _read_image(name, (names[0], (width, height)))
    rate = simple_rate(fps)

    def pictures(size: tuple[int, int]) -> Iterator[np.ndarray]:
        for name in names:
            picture = _read_image(name, (names[0], (width, height)))
            yield picture if size == (width, height) else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)

    return VideoReader(
        folder, (width, height), rate, len(names), float(len(names) / rate), has_audio=False, _pictures=pictures
    )


def _natural(path: Path) -> tuple[list[str | int], str]:
    """The key under which frame2 stands before frame10."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


def _read_image(path: Path, first: tuple[Path, tuple[int, int]] | None = None) -> np.ndarray:
    """A picture (H, W, 3) uint8 BGR, upright. Raises InputError where it cannot be read or is not of the size of
    `first`.
    """
    picture = None
    with contextlib.suppress(OSError, cv2.error), _quiet_opencv():
        data = np.fromfile(path, np.uint8)  # cv2.imread fails on some names on Windows
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if (
            path.suffix.lower() in TIFF
            and picture is not None
            and cv2.imdecodemulti(data, cv2.IMREAD_COLOR, range=(1, 2))[1]
        ):
            raise InputError(f"{path}: holds several pages; save each page as an image of its own")
    if picture is None:
        raise InputError(f"{path}: cannot be read as an image; repair it or take it out of the folder")
    height, width = picture.shape[:2]
    if first is not None and (width, height) != first[1]:
        other = f"{first[0].name} is {first[1][0]} x {first[1][1]}"
        raise InputError(f"{path}: is {width} x {height}, but {other}; the images of a folder must be of one size")
    return picture


@contextlib.contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Keep off stderr what OpenCV says in passing: where something fails, a sentence says it."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


# Cameras
# ---------------------------------------------------------------------------------------------------------------------


def record_camera(number: int, seconds: float | None, path: str | Path) -> Path:
    """Record camera `number` into the new MP4 file `path`, which is returned: for `seconds`, or until q or Ctrl+C.

    Where OpenCV has windows, the picture is shown in one, and q ends the recording there. Frames are written by the
    clock, as a camera's rate is not steady. There is no sound. Raises InputError where there is no such camera or it
    gives no picture, or the file is there already or cannot be written.
    """
    if os.path.lexists(path):
        raise InputError(f"{path}: is there already; give the name of a new file")
    with _quiet_opencv():
        camera = cv2.VideoCapture(number)
    window = f"camera {number}: q ends the recording"
    shows = True
    try:
        good, picture = camera.read() if camera.isOpened() else (False, np.zeros((0, 0, 3), np.uint8))
        if not good:
            raise InputError(
                f"camera {number}: there is none, or it gives no picture; plug it in and close other programs that use "
                "it"
            )
        told = camera.get(cv2.CAP_PROP_FPS)
        fps = simple_rate(told if SLOWEST <= told <= FASTEST else DEFAULT_FPS)
        height, width = picture.shape[:2]
        print(f"recording camera {number}; q in its window, or Ctrl+C, ends it", file=sys.stderr)
        with VideoWriter(path, fps, (width, height)) as writer, contextlib.suppress(KeyboardInterrupt):
            start, elapsed = time.monotonic(), 0.0
            while good and (seconds is None or elapsed < seconds or not writer.frames):
                while writer.frames <= elapsed * fps:
                    writer.write(picture)
                if shows:
                    try:
                        cv2.imshow(window, picture)
                        if cv2.waitKey(1) & 0xFF == ord("q"):
                            break
                    except cv2.error:  # OpenCV without windows, or no screen
                        shows = False
                good, picture = camera.read()
                elapsed = time.monotonic() - start
    finally:
        camera.release()
        with contextlib.suppress(cv2.error):
            cv2.destroyAllWindows()
    return Path(path)


# Writing
# ---------------------------------------------------------------------------------------------------------------------


class _Abandoned(Exception):
    """Tells `replacing` to leave the old file, without a claim about why."""


class VideoWriter:
    """Writes pictures to an MP4 file (H.264, yuv420p, index first) that browsers play; used by `with`.

    path: ends in .mp4; takes its name when the block ends without an error, until then an older file stays. fps:
    pictures per second. size: (width, height) in pixels; an odd one is padded by repeating the last column or row.
    audio_from: the file whose sound is copied, in step with its own first picture, or None; one without sound is fine.
    AAC, MP3 and Opus are copied as they are, other codecs become AAC. seconds: where the sound ends; None: all of it.

    Raises InputError, from any of the methods, where the file cannot be written or the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float | Fraction,
        size: tuple[int, int],
        audio_from: str | Path | None = None,
        seconds: float | None = None,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise InputError(f"{path}: is not the name of an MP4 file; choose one that ends in .mp4")
        if self.path.is_dir():
            raise InputError(f"{path}: is a folder; give the name of a file")
        self.fps = simple_rate(fps)
        self.size = size
        self.frames = 0  # written so far
        self._audio_from = None if audio_from is None else Path(audio_from)
        self._seconds = seconds
        self._sound: _Sound | None = None

    def __enter__(self) -> VideoWriter:
        self._replacing = replacing(self.path)
        temporary = self._replacing.__enter__()
        with contextlib.ExitStack() as undo:
            undo.callback(self._abandon)
            self._output = av.open(str(temporary), "w", format="mp4", container_options={"movflags": "+faststart"})
            self._stream = self._output.add_stream("libx264", rate=self.fps, options=_CODING)
            self._stream.width, self._stream.height = (side + side % 2 for side in self.size)
            self._stream.pix_fmt = "yuv420p"
            context = self._stream.codec_context
            context.time_base = 1 / self.fps
            # Said, so that players need not guess: the colours of BT.709, brightness and colour parted by BT.601, which
            # is all that OpenCV does, as well as FFmpeg and faster.
            context.color_primaries = context.color_trc = 1
            context.colorspace = 6
            context.color_range = 1  # as television has it: 16 to 235
            self._sound = None if self._audio_from is None else _Sound(self._audio_from, self._output, self._seconds)
            undo.pop_all()
        return self

    def write(self, picture: np.ndarray) -> None:
        """Add a picture (H, W, 3) uint8 BGR."""
        width, height = self.size
        if picture.shape != (height, width, 3) or picture.dtype != np.uint8:
            raise ValueError(f"picture is {picture.dtype} {picture.shape}, not uint8 {(height, width, 3)}")
        if width % 2 or height % 2:
            picture = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420).astype(np.uint8, copy=False)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base, frame.duration = self.frames, 1 / self.fps, 1
        with self._clear_errors():
            if self._sound is not None:
                self._sound.write(until=float(self.frames / self.fps) + _LEAD)
            self._output.mux(self._stream.encode(frame))
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._abandon()
            return
        try:
            if not self.frames:
                raise ValueError(f"{self.path}: no picture was written")
            with self._clear_errors():
                self._output.mux(self._stream.encode(None))
                if self._sound is not None:
                    self._sound.write(until=math.inf)
                self._output.close()
        except BaseException:
            self._abandon()
            raise
        self._close_sound()
        self._replacing.__exit__(None, None, None)

    @contextlib.contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """Turn errors of the output file into InputError."""
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                raise InputError(
                    f"{self.path}: cannot be written, the disk is full; make room or choose another folder"
                ) from error
            raise InputError(f"{self.path}: cannot be written ({error.strerror}); choose another folder") from error

    def _abandon(self) -> None:
        with contextlib.suppress(av.FFmpegError, AttributeError):
            self._output.close()
        self._close_sound()
        self._replacing.__exit__(_Abandoned, _Abandoned(), None)

    def _close_sound(self) -> None:
        if self._sound is not None:
            self._sound.close()


class _Sound:
    """The sound of a file on its way into an output file, a little at a time."""

    def __init__(self, path: Path, output: OutputContainer, seconds: float | None) -> None:
        """Add a stream to `output`, where the file has sound. Raises InputError where the file cannot be read."""
        self._path = path
        self._output = output
        self._end = math.inf if seconds is None else seconds
        self._packets: Iterator[tuple[float, av.Packet]] = iter(())
        self._next: tuple[float, av.Packet] | None = None
        self._closing = contextlib.ExitStack()
        if path.is_dir():  # a folder of images
            return
        zero = 0.0
        with _opened(path) as container:
            pictures = _video_stream(container)
            first = None if pictures is None else next(_decode(container, pictures), None)
            if (
                pictures is not None and first is not None and container.format.name != "avi"
            ):  # there, both begin with the file
                zero = _seconds(first.pts, pictures.time_base) or 0.0
        container = self._closing.enter_context(_opened(path))
        stream = container.streams.best("audio")
        if not isinstance(stream, av.AudioStream):
            return
        context = stream.codec_context
        if context is None or stream.time_base is None or not context.sample_rate or not context.layout.nb_channels:
            self._give_up("cannot be read")
            return
        codec = context.codec.canonical_name
        if codec in _COPIED_SOUND and (codec != "mp3" or context.sample_rate >= 16000):  # MP4 has no slower MP3
            copy = output.add_stream_from_template(stream)
            packets = self._copied(container.demux(stream), copy, round(zero / stream.time_base))
        else:
            rate = context.sample_rate if context.sample_rate in _AAC_RATES else 48000
            layout = "mono" if context.layout.nb_channels == 1 else "stereo"
            coded = output.add_stream("aac", rate=rate, layout=layout, bit_rate=160_000)
            packets = self._coded(container.demux(stream), stream, coded, zero)
        self._packets = self._checked(packets)
        self._next = next(self._packets, None)

    def write(self, until: float) -> None:
        """Write the sound before `until`, seconds since the first picture."""
        while self._next is not None and self._next[0] < until:
            try:
                self._output.mux(self._next[1])
            except OSError:  # the output's, not the sound's
                raise
            except av.FFmpegError:
                self._give_up("does not fit into the video")
            self._next = next(self._packets, None)

    def close(self) -> None:
        self._closing.close()

    def _give_up(self, why: str) -> None:
        print(f"warning: {self._path}: its sound {why}; going on without the rest of it", file=sys.stderr)
        self._packets = iter(())

    def _checked(self, packets: Iterator[tuple[float, av.Packet]]) -> Iterator[tuple[float, av.Packet]]:
        """Of (seconds since the first picture, packet), yield those that belong into the output, up to the first
        fault.
        """
        last = None
        try:
            for at, packet in packets:
                if at >= self._end:
                    return
                if last is None or packet.dts is None or packet.dts > last:  # MP4 takes times that rise
                    last = packet.dts
                    yield at, packet
        except (av.FFmpegError, ValueError):  # ValueError: PyAV's, where the rate or the channels change on the way
            self._give_up("is damaged")

    @staticmethod
    def _copied(packets: Iterator[av.Packet], into: av.AudioStream, zero: int) -> Iterator[tuple[float, av.Packet]]:
        """Yield the packets as they are, for the stream `into`; zero: the time of the first picture in ticks of
        theirs.
        """
        for packet in packets:
            if packet.pts is None:
                continue
            packet.pts -= zero
            packet.dts = packet.pts  # the same thing for sound, and some files give only one
            packet.stream = into
            at = float(packet.pts * packet.time_base)
            if at > -_EARLY_SOUND:
                yield at, packet

    def _coded(
        self, packets: Iterator[av.Packet], stream: av.AudioStream, into: av.AudioStream, zero: float
    ) -> Iterator[tuple[float, av.Packet]]:
        """Yield the sound of the packets of `stream`, coded again for `into`; zero: the time of the first picture,
        seconds.
        """
        late = 0.0
        for packet in packets:
            try:
                frames = stream.decode(packet)
            except av.FFmpegError:  # a hole; what follows keeps its time
                continue
            for frame in frames:
                if frame.pts is None:
                    continue
                frame.time_base = frame.time_base or packet.time_base
                frame.pts -= round(zero / frame.time_base)
                late = float(frame.pts * frame.time_base)
                if late >= self._end:
                    break
                if late > -_EARLY_SOUND:
                    for coded in into.encode(frame):
                        yield late, coded
            if late >= self._end:
                break
        for coded in into.encode(None):
            yield min(late, self._end - 1e-6), coded
