"""One video file as FFmpeg (PyAV) decodes it: upright pictures at a constant rate, whatever the rate of the file is.

video_read.py has the interface; video_write.py takes the sound of a file by the functions at the end.
"""

from __future__ import annotations

import contextlib
import math
import re
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.reformatter import Colorspace, VideoReformatter

from common.errors import InputError

SLOWEST, FASTEST = 1, 240  # frames per second: a rate outside may be a fault of the file, and is measured
DEFAULT_FPS = 30  # where neither the file nor the camera says a rate
# FFmpeg also draws text as pictures; nobody who gives a text file means that.
_TEXT_FORMATS = ("tty", "bin", "xbin", "adf", "idf")
_LONGEST_PAUSE = 10.0  # seconds between two frames: a longer step, beyond the file's own length, is a broken clock
_BROKEN_STEP = 1.0  # seconds backwards: a smaller step is jitter, a larger one a broken clock
_TOLERANCE = 1.0  # seconds that a whole file may be shorter than it says: many do not know their length better
_UNSPECIFIED = 2  # FFmpeg's number for a colour space that the file does not name


class TimedFrame(NamedTuple):
    """A frame, when it is shown (seconds since the first frame) and for how long (seconds)."""

    frame: av.VideoFrame
    start: float
    length: float


class VideoFile:
    """A video file of which at least one frame decodes.

    size: (width, height) in pixels, upright and with square pixels. fps: frames per second. duration: seconds as the
    file says them, or None. has_audio: whether it has sound.

    Raises InputError where the file cannot be read, is not a video, or none of its frames decodes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._warned = False
        with opened(path) as container:
            self.has_audio = container.streams.best("audio") is not None
            stream = video_stream(container)
            if stream is None:
                nothing = "no pictures that FFmpeg can read, it is no video or was cut off"
                raise InputError(f"{path}: holds {'only sound' if self.has_audio else nothing}; give a video")
            first = first_frame(container, stream)
            if first is None:
                raise InputError(
                    f"{path}: no frame of it can be decoded, it is empty or damaged; record, download or copy it again"
                )
            self.fps = simple_rate(self._rate(stream.average_rate or stream.guessed_rate))
            self.duration = _duration(container, stream)
            self._matrix = _display_matrix(first)
            aspect = stream.sample_aspect_ratio or 1
            stored = round(first.width * aspect) if 0.25 <= aspect <= 4 else first.width, first.height
        self.size = stored[::-1] if _lies_on_its_side(self._matrix) else stored
        # What players assume about a file that does not name its colours: HD is BT.709, smaller pictures are BT.601.
        self._colours = Colorspace.ITU709 if min(stored) >= 720 else Colorspace.ITU601

    def pictures(self, size: tuple[int, int]) -> Iterator[np.ndarray]:
        """Yield pictures of `size` (W, H) as (H, W, 3) uint8 BGR, upright, at self.fps.

        Prints a warning, once, where the file turns out to be damaged.
        """
        convert = VideoReformatter()
        width, height = size[::-1] if _lies_on_its_side(self._matrix) else size
        for frame in _at_constant_rate(self._timed_frames(), float(self.fps)):
            colours = self._colours if frame.colorspace == _UNSPECIFIED else None
            plain = convert.reformat(
                frame, width, height, "bgr24", src_colorspace=colours, interpolation="AREA", threads=1
            )
            picture = plain.to_ndarray()
            yield _upright(picture.copy() if plain is frame else picture, self._matrix)  # the frame may be shown again

    def _rate(self, claimed: Fraction | None) -> Fraction | float:
        """Frames per second: the file's own claim, or a measured rate where the claim is missing or unlikely."""
        if claimed and SLOWEST <= claimed <= FASTEST:
            return claimed
        times = np.unique(self._packet_times())
        steps = np.diff(times)
        if len(steps):
            steps = steps[steps <= max(_LONGEST_PAUSE, np.median(steps))]  # a longer one is a broken clock
        if not len(steps):
            return claimed or DEFAULT_FPS
        measured = float(1 / steps.mean())
        return claimed if claimed and abs(measured / claimed - 1) < 0.1 else measured  # files round their times

    def _packet_times(self) -> list[float]:
        """The times of presentation, in seconds, of the packets up to the first fault."""
        times: list[float] = []
        with opened(self.path) as container, contextlib.suppress(av.FFmpegError):
            stream = video_stream(container)
            assert stream is not None  # as when it was opened first
            for packet in container.demux(stream):
                time = seconds(packet.pts, stream.time_base)
                times += [] if time is None else [time]
        return times

    def _timed_frames(self) -> Iterator[TimedFrame]:
        """Yield each frame that decodes, with times that never fall."""
        period = 1 / float(self.fps)
        longest = max(_LONGEST_PAUSE, self.duration or 0.0)
        clock, count = _Clock(period, longest), 0
        with opened(self.path) as container:
            stream = video_stream(container)
            assert stream is not None  # as when it was opened first
            stream.thread_type = "AUTO"
            has_presentation_times = container.format.name != "avi"
            frames = FrameDecoder(container, stream)
            for frame in frames:
                ticks = frame.pts if has_presentation_times else frame.dts
                start = clock.time_of(seconds(ticks, stream.time_base))
                length = seconds(frame.duration or None, stream.time_base) or period
                count += 1
                # The last frame of a file may claim to be over at once.
                yield TimedFrame(frame, start, max(period, min(length, longest)))
            if frames.damaged:
                self._warn(count, clock.now + period)

    def _warn(self, count: int, until: float) -> None:
        if self._warned:
            return
        self._warned = True
        total = "" if self.duration is None else f" of {self.duration:.1f}"
        print(
            f"warning: {self.path}: is damaged or cut off; going on with {count} frames, {until:.1f}{total} seconds",
            file=sys.stderr,
        )


class _Clock:
    """Turns the time stamps of a file into seconds since its first frame.

    The seconds never fall. Where a stamp jumps (the clock of the file is broken), time goes on by one period.
    """

    def __init__(self, period: float, longest_step: float) -> None:
        self.now = -period
        self._period, self._longest_step = period, longest_step
        self._zero: float | None = None  # the stamp at which `now` is 0

    def time_of(self, stamp: float | None) -> float:
        """The time of the next frame, from its stamp in seconds; None: it has none, and follows after one period."""
        if stamp is None:
            self.now += self._period
            return self.now
        if self._zero is None or not -_BROKEN_STEP <= stamp - self._zero - self.now <= self._longest_step:
            self._zero = stamp - (self.now + self._period)
        self.now = max(self.now, stamp - self._zero)
        return self.now


def _at_constant_rate(frames: Iterable[TimedFrame], fps: float) -> Iterator[av.VideoFrame]:
    """Yield, for each of the times 0, 1/fps, 2/fps, ... until the end, the frame that is nearest in time."""
    index, last = 0, None
    for frame in frames:
        if last is not None:
            while index / fps <= (last.start + frame.start) / 2:
                yield last.frame
                index += 1
        last = frame
    if last is not None:
        for _ in range(index, max(index + (index == 0), round((last.start + last.length) * fps))):
            yield last.frame


# Turning pictures
# ------------------------------------------------------------------------------------------------------------

_Matrix = tuple[float, float, float, float]


def _display_matrix(frame: av.VideoFrame) -> _Matrix:
    """The turn that a phone asks for, as (a, b, c, d): column p and row q of a picture go to x = a p + c q and
    y = b p + d q.
    """
    with contextlib.suppress(ValueError):  # PyAV raises it for kinds of side data that it does not know
        entries: Any = frame.side_data  # all of them; PyAV's stub says that it is one
        for entry in entries:
            if entry.type.name == "DISPLAYMATRIX":
                a, b, _, c, d = np.frombuffer(bytes(entry), np.int32)[:5].tolist()
                return a, b, c, d
    angle = math.radians(frame.rotation)  # anticlockwise
    return math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)


def _lies_on_its_side(matrix: _Matrix) -> bool:
    a, b, c, d = matrix
    return abs(b) + abs(c) > abs(a) + abs(d)


def _upright(picture: np.ndarray, matrix: _Matrix) -> np.ndarray:
    """Turn and mirror a picture (H, W, 3) to the nearest right angle -> (H, W, 3) or (W, H, 3), contiguous."""
    a, b, c, d = matrix
    if _lies_on_its_side(matrix):
        picture, right, down = cv2.transpose(picture), c, b
    else:
        right, down = a, d
    if right < 0 or down < 0:
        picture = cv2.flip(picture, -1 if right < 0 and down < 0 else int(right < 0))
    return np.ascontiguousarray(picture)


# What reading and writing share
# ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Yield the file opened by FFmpeg, which may read no other file and no network.

    Raises InputError where it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(8)
        container = av.open(
            str(path.absolute()), container_options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
    except OSError as error:  # some errors of FFmpeg are OSErrors too
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file that you may read") from error
    except av.FFmpegError as error:
        raise InputError(f"{path}: {_what_is_wrong(start)}") from error
    with container:
        if container.format.name in _TEXT_FORMATS:
            raise InputError(f"{path}: is text, not a video; give a video")
        yield container


def _what_is_wrong(start: bytes) -> str:
    """A sentence about a file that FFmpeg does not open, from its first 8 bytes."""
    if not start:
        return "is empty; give a video"
    if start[4:] in (b"ftyp", b"wide", b"mdat"):  # MP4, QuickTime
        return "cannot be read, it was cut off before its index (moov), which is written last; record or copy it again"
    return "is not a video that FFmpeg can read; give a video"


def video_stream(container: InputContainer) -> av.VideoStream | None:
    """The moving pictures of a file, or None; the cover of an album is not one."""
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream) or Disposition.attached_pic in Disposition(stream.disposition):
        return None
    return stream


class FrameDecoder:
    """Iterates over the frames of a stream that decode.

    damaged: after the last frame, whether the file is damaged or ends earlier than it says.
    """

    def __init__(self, container: InputContainer, stream: av.VideoStream) -> None:
        self.damaged = False
        self._container, self._stream = container, stream

    def __iter__(self) -> Iterator[av.VideoFrame]:
        end = -math.inf
        for packet in self._packets():
            if packet.pts is not None:
                end = max(end, seconds(packet.pts + (packet.duration or 0), packet.time_base) or end)
            if packet.stream_index == self._stream.index:
                self.damaged |= packet.is_corrupt
                try:
                    yield from self._stream.decode(packet)
                except av.FFmpegError:
                    self.damaged = True
        with contextlib.suppress(av.FFmpegError):
            yield from self._stream.decode(None)
        if self._container.duration is not None and end > -math.inf:
            expected = (_start(self._container) + self._container.duration) / av.time_base
            self.damaged |= end < expected - _TOLERANCE

    def _packets(self) -> Iterator[av.Packet]:
        """The packets of all streams, since the last one of any stream shows where the file ends; up to a fault."""
        try:
            # PyAV marks the end by empty packets. They are left out: the decoder is emptied however the file ends.
            yield from (packet for packet in self._container.demux() if packet.size)
        except av.FFmpegError:
            self.damaged = True


def first_frame(container: InputContainer, stream: av.VideoStream) -> av.VideoFrame | None:
    """The first frame that decodes, or None."""
    return next(iter(FrameDecoder(container, stream)), None)


def seconds(ticks: int | None, base: Fraction | None) -> float | None:
    """Ticks of a clock whose tick lasts `base` seconds -> seconds; None where either is not known."""
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


def _start(container: InputContainer) -> int:
    """The time from which the length that the file says counts, microseconds. In Matroska and WebM it is 0, even where
    the pictures begin later.
    """
    return 0 if "matroska" in container.format.name else container.start_time or 0


def _duration(container: InputContainer, stream: av.VideoStream) -> float | None:
    """Seconds of the pictures as the file says them, else those of the whole file, else None."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))  # Matroska, WebM
    if stream.duration:
        length = seconds(stream.duration, stream.time_base) or 0.0
    elif tag:
        length = int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
        length -= seconds(stream.start_time, stream.time_base) or 0.0  # the tag is the time of the end
    else:
        length = ((container.duration or 0) + _start(container) - (container.start_time or 0)) / av.time_base
    return length if length > 0 else None
