"""Writing video: pictures, and the sound of another file -> an MP4 that browsers play. FFmpeg (PyAV) codes them."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from av.container import OutputContainer

from common.errors import InputError
from common.files import FULL, replacing
from demo.video_file import first_frame, opened, seconds, simple_rate, video_stream

# Beside "veryfast" alone: less than half the time at nearly the same picture, for a file that is a third larger.
_CODING = {"preset": "veryfast", "crf": "20", "x264-params": "subme=0:me=dia:partitions=none:cabac=0"}
_LEAD = 0.5  # seconds by which sound is written before the pictures, so that players need not seek
_EARLY_SOUND = 0.1  # seconds of sound kept from before the first picture: decoders need them, players skip them
_COPIED_SOUND = ("aac", "mp3", "opus")  # codecs that fit into MP4 and that browsers play
_SLOWEST_MP3 = 16000  # Hz: MP4 has no MP3 below
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # Hz

_TimedPacket = tuple[float, av.Packet]  # seconds since the first picture, and the packet


class _Abandoned(Exception):
    """Makes `replacing` keep the old file, without saying anything about the reason."""


class VideoWriter:
    """Writes pictures to an MP4 file (H.264, yuv420p, index first) that browsers play; used by `with`.

    path: ends in .mp4. The file gets this name when the block ends without an error; until then an older file stays.
    fps: pictures per second. size: (width, height) in pixels; an odd one is padded by repeating the last column or row.
    audio_from: the file whose sound is copied, in step with its own first picture, or None; it may have no sound. AAC,
    MP3 and Opus are copied as they are, other codecs become AAC. seconds: where the sound ends; None: all of it.

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
            self._stream = self._add_pictures()
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
            self._finish()
        except BaseException:
            self._abandon()
            raise
        self._close_sound()
        self._replacing.__exit__(None, None, None)

    def _add_pictures(self) -> av.VideoStream:
        """Add the stream of pictures to the output."""
        stream = self._output.add_stream("libx264", rate=self.fps, options=_CODING)
        stream.width, stream.height = (side + side % 2 for side in self.size)
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = 1 / self.fps
        # Players need not guess the colours: primaries and transfer of BT.709, and the matrix of BT.601, which is the
        # only one that OpenCV has. OpenCV converts as well as FFmpeg and faster.
        context.color_primaries = context.color_trc = 1
        context.colorspace = 6
        context.color_range = 1  # 16 to 235, as in television
        return stream

    def _finish(self) -> None:
        """Write what the coder and the sound still hold, and close the output."""
        if not self.frames:
            raise ValueError(f"{self.path}: no picture was written")
        with self._clear_errors():
            self._output.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.write(until=math.inf)
            self._output.close()

    def _abandon(self) -> None:
        """Close everything and leave an older file in place."""
        with contextlib.suppress(av.FFmpegError, AttributeError):
            self._output.close()
        self._close_sound()
        self._replacing.__exit__(_Abandoned, _Abandoned(), None)

    def _close_sound(self) -> None:
        if self._sound is not None:
            self._sound.close()

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


class _Sound:
    """Moves the sound of a file into an output file, a little at a time."""

    def __init__(self, path: Path, output: OutputContainer, end: float | None) -> None:
        """Add a stream to `output`, where the file has sound. end: seconds after which the sound is left out, or None.

        Raises InputError where the file cannot be read.
        """
        self._path = path
        self._output = output
        self._end = math.inf if end is None else end
        self._closing = contextlib.ExitStack()
        self._packets: Iterator[_TimedPacket] = iter(()) if path.is_dir() else self._checked(self._open())
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

    def _open(self) -> Iterator[_TimedPacket]:
        """Open the file and add a stream to the output; the packets for it."""
        zero = _time_of_first_picture(self._path)
        container = self._closing.enter_context(opened(self._path))
        stream = container.streams.best("audio")
        if not isinstance(stream, av.AudioStream):
            return iter(())
        context = stream.codec_context
        if context is None or stream.time_base is None or not context.sample_rate or not context.layout.nb_channels:
            self._warn("cannot be read")
            return iter(())
        codec = context.codec.canonical_name
        packets = container.demux(stream)
        if codec in _COPIED_SOUND and (codec != "mp3" or context.sample_rate >= _SLOWEST_MP3):
            copy = self._output.add_stream_from_template(stream)
            return _copied(packets, copy, round(zero / stream.time_base))
        rate = context.sample_rate if context.sample_rate in _AAC_RATES else 48000
        layout = "mono" if context.layout.nb_channels == 1 else "stereo"
        coded = self._output.add_stream("aac", rate=rate, layout=layout, bit_rate=160_000)
        return self._coded(packets, stream, coded, zero)

    def _give_up(self, why: str) -> None:
        self._warn(why)
        self._packets = iter(())

    def _warn(self, why: str) -> None:
        print(f"warning: {self._path}: its sound {why}; going on without the rest of it", file=sys.stderr)

    def _checked(self, packets: Iterator[_TimedPacket]) -> Iterator[_TimedPacket]:
        """Yield the packets that the output can take, up to the end of the sound or its first fault."""
        last = None
        try:
            for time, packet in packets:
                if time >= self._end:
                    return
                if last is None or packet.dts is None or packet.dts > last:  # MP4 takes times that rise
                    last = packet.dts
                    yield time, packet
        except (av.FFmpegError, ValueError):  # ValueError: PyAV's, where the rate or the channels change on the way
            self._warn("is damaged")

    def _coded(
        self, packets: Iterator[av.Packet], stream: av.AudioStream, coder: av.AudioStream, zero: float
    ) -> Iterator[_TimedPacket]:
        """Yield the sound of `stream`, coded again by `coder`; zero: the time of the first picture, seconds."""
        time = 0.0
        for time, frame in _timed_frames(packets, stream, zero):
            if time >= self._end:
                break
            if time > -_EARLY_SOUND:
                for coded in coder.encode(frame):
                    yield time, coded
        for coded in coder.encode(None):
            yield min(time, self._end - 1e-6), coded


def _time_of_first_picture(path: Path) -> float:
    """Seconds on the clock of a file, from which the sound counts: those of its first picture. AVI has no such clock:
    its pictures and its sound both begin with the file.
    """
    with opened(path) as container:
        stream = video_stream(container)
        first = None if stream is None else first_frame(container, stream)
        if stream is None or first is None or container.format.name == "avi":
            return 0.0
        return seconds(first.pts, stream.time_base) or 0.0


def _copied(packets: Iterator[av.Packet], copy: av.AudioStream, zero: int) -> Iterator[_TimedPacket]:
    """Yield the packets as they are, for the stream `copy`; zero: the time of the first picture in their ticks."""
    for packet in packets:
        if packet.pts is None:
            continue
        packet.pts -= zero
        packet.dts = packet.pts  # the same for sound, and some files give only one of them
        packet.stream = copy
        time = float(packet.pts * packet.time_base)
        if time > -_EARLY_SOUND:
            yield time, packet


def _timed_frames(
    packets: Iterator[av.Packet], stream: av.AudioStream, zero: float
) -> Iterator[tuple[float, av.AudioFrame]]:
    """Yield the frames of sound that decode, each with its seconds since the first picture, which is at `zero`. Where
    a part does not decode, what follows keeps its time.
    """
    for packet in packets:
        try:
            frames = stream.decode(packet)
        except av.FFmpegError:
            continue
        for frame in frames:
            base = frame.time_base or packet.time_base
            if frame.pts is not None and base is not None:
                frame.time_base = base
                frame.pts -= round(zero / base)
                yield float(frame.pts * base), frame
