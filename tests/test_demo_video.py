"""Reading and writing video: what is written is read back, upright and in step with its sound; what is spoilt is one
sentence.
"""

from __future__ import annotations

import os
import struct
import sys
import weakref
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from common.errors import InputError
from demo import video_record
from demo.video_read import VideoReader, find_source, open_video
from demo.video_record import record_camera
from demo.video_write import VideoWriter

SOUND_RATE = 48000


def bars(index: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A picture that tells its number, 0 to 255: eight upright bars, black or white."""
    width, height = size
    column = np.arange(width) * 8 // width
    return np.broadcast_to(((index >> column & 1) * 220 + 16)[None, :, None], (height, width, 3)).astype(np.uint8)


def number(picture: np.ndarray) -> int:
    return sum(1 << i for i, bar in enumerate(np.array_split(picture, 8, axis=1)) if bar.mean() > 127)


def quarters(size: tuple[int, int]) -> np.ndarray:
    """A picture whose four quarters are blue, green, red and grey (rows from the top, BGR)."""
    width, height = size
    picture = np.full((height, width, 3), 128, np.uint8)
    picture[: height // 2, : width // 2] = 220, 30, 30
    picture[: height // 2, width // 2 :] = 30, 220, 30
    picture[height // 2 :, : width // 2] = 30, 30, 220
    return picture


def close(found: np.ndarray, expected: np.ndarray, within: float = 8) -> bool:
    """Whether two pictures have about the same colours, lossy coding and half-size colour aside."""
    return found.shape == expected.shape and float(np.abs(found.astype(int) - expected).mean()) < within


def click(seconds: float, at: float) -> np.ndarray:
    """Sound (samples,) int16: silence, with a tone from `at` for 0.1 s."""
    time = np.arange(int(seconds * SOUND_RATE)) / SOUND_RATE
    return (np.where((time >= at) & (time < at + 0.1), 20000, 0) * np.sin(2 * np.pi * 1000 * time)).astype(np.int16)


def make(
    path: Path,
    pictures: list[np.ndarray],
    *,
    rate: int | Fraction = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    stamps: list[int] | None = None,
    sound: tuple[str, np.ndarray] | None = None,
) -> Path:
    """A video as other programs make it. stamps: milliseconds of each picture; sound: its codec and samples."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if stamps:
            stream.codec_context.time_base = Fraction(1, 1000)
        track = output.add_stream(sound[0], rate=SOUND_RATE, layout="mono") if sound else None
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = (stamps[i], Fraction(1, 1000)) if stamps else (i, 1 / Fraction(rate))
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound:
            for start in range(0, len(sound[1]), 1024):
                frame = av.AudioFrame.from_ndarray(sound[1][None, start : start + 1024], format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
                output.mux(track.encode(frame))
            output.mux(track.encode(None))
    return path


def write(
    path: Path,
    pictures: Iterable[np.ndarray],
    rate: float | Fraction = 25,
    size: tuple[int, int] = (64, 48),
    **sound: object,
) -> Path:
    with VideoWriter(path, rate, size, **sound) as writer:
        for picture in pictures:
            writer.write(picture)
    return path


def pictures_of(source: Path) -> list[np.ndarray]:
    return [picture for _, _, picture in open_video(source)]


def hear(path: Path) -> tuple[str, np.ndarray, np.ndarray]:
    """The codec of the sound, the samples (n,) -1 to 1 and their times (n,) in seconds since the first picture."""
    with av.open(str(path)) as container:
        zero = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        samples = [frame.to_ndarray().astype(float).reshape(-1, frame.samples)[0] for frame in frames]
        times = [frame.time - zero + np.arange(frame.samples) / frame.sample_rate for frame in frames]
        samples = np.concatenate(samples)
        return (
            stream.codec_context.codec.canonical_name,
            samples / max(np.abs(samples).max(), 1e-9),
            np.concatenate(times),
        )


# Round trips
# -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "rate", "count"),
    [
        ((64, 48), 25, 30),
        ((48, 64), Fraction(30000, 1001), 31),
        ((1280, 720), 50, 2),
        ((64, 48), 25, 1),
        ((3840, 2160), 25, 1),
    ],
    ids=["landscape", "portrait", "hd", "one frame", "4k"],
)
def test_what_is_written_is_read_back(size: tuple[int, int], rate: int | Fraction, count: int, tmp_path: Path) -> None:
    pictures = [quarters(size)] * count
    reader = open_video(write(tmp_path / "new" / "a.mp4", pictures, rate, size))
    assert (reader.size, reader.fps, reader.frames, reader.has_audio) == (size, rate, count, False)
    assert reader.duration == pytest.approx(count / rate, abs=1e-3)
    found = list(reader)
    assert [index for index, _, _ in found] == list(range(count))
    assert [time for _, time, _ in found] == pytest.approx([float(i / rate) for i in range(count)])
    for _, _, picture in found:
        assert picture.dtype == np.uint8
        assert picture.flags.c_contiguous
        assert picture.flags.writeable
        assert close(picture, pictures[0])


def test_a_reader_reads_again_from_the_start(tmp_path: Path) -> None:
    reader = open_video(write(tmp_path / "a.mp4", [bars(i) for i in range(5)]))
    next(iter(reader))
    assert (
        [number(picture) for _, _, picture in reader]
        == [number(picture) for _, _, picture in reader]
        == [0, 1, 2, 3, 4]
    )


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"), [("a.mkv", "libx264", "yuv420p"), ("a.nut", "rawvideo", "bgr24")]
)
def test_every_picture_is_the_callers_own(name: str, codec: str, pix_fmt: str, tmp_path: Path) -> None:
    pictures = [bars(0), bars(1), bars(2)]
    path = make(
        tmp_path / name, pictures, rate=10, codec=codec, pix_fmt=pix_fmt, stamps=[0, 400, 500]
    )  # 0 is shown thrice
    seen = []
    for _, _, picture in open_video(path):
        seen.append(number(picture))
        picture[:] = 255
    assert seen.count(0) > 1
    assert set(seen) == {0, 1, 2}


def test_the_output_plays_in_browsers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [bars(i) for i in range(5)])
    data = path.read_bytes()
    assert data[4:8] == b"ftyp"
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (6, 1, 1, 1)


@pytest.mark.parametrize("size", [(63, 47), (64, 47), (63, 48), (1, 1)])
def test_odd_sizes_are_padded_to_even_ones(size: tuple[int, int], tmp_path: Path) -> None:
    picture = quarters(size)
    (found,) = pictures_of(write(tmp_path / "a.mp4", [picture], size=size))
    width, height = size
    expected = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    assert close(found, expected)


def test_odd_sizes_are_read(tmp_path: Path) -> None:
    picture = quarters((63, 47))
    path = make(tmp_path / "a.mkv", [picture] * 3, codec="ffv1")
    assert open_video(path).size == (63, 47)
    assert all(close(found, picture) for found in pictures_of(path))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "libx264"), ("a.ts", "libx264"), ("a.avi", "libx264"), ("a.webm", "libvpx")]
)
def test_other_containers_keep_count_and_order(
    name: str, codec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / name, [bars(i) for i in range(40)], codec=codec)
    assert [number(picture) for picture in pictures_of(path)] == list(range(40))
    assert capsys.readouterr().err == ""


def test_one_image_is_a_video_of_one_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), quarters((40, 30)))
    (found,) = pictures_of(tmp_path / "a.png")
    assert close(found, quarters((40, 30)), within=1)


# Phones
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
        ((0, -1, 1, 0), lambda picture: np.rot90(picture, 1)),
        ((-1, 0, 0, -1), lambda picture: np.rot90(picture, 2)),
        ((-1, 0, 0, 1), lambda picture: picture[:, ::-1]),
        ((0, 1, 1, 0), lambda picture: picture.transpose(1, 0, 2)),
    ],
    ids=["clockwise", "anticlockwise", "upside down", "mirrored", "transposed"],
)
def test_a_display_matrix_is_obeyed(matrix: tuple[int, ...], expected: object, tmp_path: Path) -> None:
    picture = quarters((64, 48))
    path = make(tmp_path / "a.mp4", [picture] * 3)
    data = bytearray(path.read_bytes())
    a, b, c, d = (65536 * value for value in matrix)
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    upright = np.ascontiguousarray(expected(picture))
    assert open_video(path).size == upright.shape[1::-1]
    found = pictures_of(path)
    assert len(found) == 3
    assert all(close(picture, upright) and picture.flags.c_contiguous for picture in found)
    small = open_video(path).scaled(24)
    assert small.size == ((32, 24) if upright.shape == picture.shape else (18, 24))
    smaller = cv2.resize(upright, small.size, interpolation=cv2.INTER_AREA)
    assert all(close(picture, smaller, within=12) for _, _, picture in small)


def test_pixels_that_are_not_square_are_made_square(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        frame = av.VideoFrame.from_ndarray(quarters((48, 48)), format="bgr24")
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert open_video(path).size == (64, 48)
    assert close(pictures_of(path)[0], quarters((64, 48)), within=12)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_variable_rate_becomes_constant_and_keeps_the_length(name: str, tmp_path: Path) -> None:
    steps = np.random.default_rng(3).choice([17, 33, 33, 50, 100], 39)
    stamps = [0, *np.cumsum(steps).tolist()]
    reader = open_video(make(tmp_path / name, [bars(i) for i in range(40)], rate=30, stamps=stamps))
    found = list(reader)
    assert len(found) / reader.fps == pytest.approx(stamps[-1] / 1000 + 1 / reader.fps, abs=float(1.5 / reader.fps))
    assert reader.duration == pytest.approx(len(found) / reader.fps, abs=float(1.5 / reader.fps))
    for _, time, picture in found:
        shown = abs(stamps[number(picture)] / 1000 - time)
        assert shown <= min(abs(stamp / 1000 - time) for stamp in stamps) + 2e-3  # the stamps of files are rounded


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
@pytest.mark.parametrize("rate", [1000, 400, Fraction(1, 2), Fraction(1, 60)])
def test_fast_and_slow_videos_keep_every_frame(rate: Fraction, name: str, tmp_path: Path) -> None:
    reader = open_video(make(tmp_path / name, [bars(i) for i in range(20)], rate=rate))
    assert (reader.fps, reader.frames) == (rate, 20)
    assert [number(picture) for _, _, picture in reader] == list(range(20))
    copy = open_video(write(tmp_path / "copy.mp4", pictures_of(reader.path), rate=reader.fps))
    assert (copy.fps, [number(picture) for _, _, picture in copy]) == (rate, list(range(20)))


def test_a_rate_that_a_file_makes_up_is_measured(tmp_path: Path) -> None:
    """Browsers record WebM that claims 1,000 frames a second, which are the ticks of its clock."""
    reader = open_video(
        make(
            tmp_path / "a.webm", [bars(i) for i in range(20)], codec="libvpx", rate=1000, stamps=list(range(0, 660, 33))
        )
    )
    assert reader.fps == pytest.approx(1000 / 33, abs=1e-3)
    assert [number(picture) for _, _, picture in reader] == list(range(20))


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.mp4", "a.mov", "a.ts", "a.flv"])
def test_time_that_does_not_start_at_zero_is_no_damage(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codec = "libvpx" if name == "a.webm" else "libx264"
    path = make(tmp_path / name, noise(50), codec=codec, stamps=[10_000 + 40 * i for i in range(50)])
    reader = open_video(path)
    assert reader.duration == pytest.approx(2, abs=0.1)
    assert len(list(reader)) == 50
    assert capsys.readouterr().err == ""


def test_a_cut_off_matroska_file_is_still_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = cut(make(tmp_path / "a.mkv", noise(100), stamps=[10_000 + 40 * i for i in range(100)]), 0.5)
    assert len(pictures_of(path)) < 70
    assert "is damaged or cut off" in capsys.readouterr().err


# Sound
# ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "becomes"),
    [
        ("a.mp4", "aac", "aac"),
        ("a.ts", "aac", "aac"),
        ("a.mkv", "libopus", "opus"),
        ("a.mkv", "libmp3lame", "mp3"),
        ("a.mov", "pcm_s16le", "aac"),
        ("a.mkv", "flac", "aac"),
        ("a.avi", "ac3", "aac"),
    ],
)
def test_sound_is_kept_in_step(name: str, codec: str, becomes: str, tmp_path: Path) -> None:
    source = make(tmp_path / name, [bars(255 * (i == 20)) for i in range(40)], sound=(codec, click(1.6, at=20 / 25)))
    reader = open_video(source)
    assert reader.has_audio
    pictures = [picture for _, _, picture in reader]
    path = write(tmp_path / "new.mp4", pictures, reader.fps, audio_from=source)
    found, samples, times = hear(path)
    assert found == becomes
    assert open_video(path).duration == pytest.approx(1.6, abs=1e-3)
    assert times[-1] - times[0] == pytest.approx(1.6, abs=0.1)
    white = next(i for i, picture in enumerate(pictures) if number(picture) == 255) / reader.fps
    assert times[np.abs(samples) > 0.3][0] == pytest.approx(float(white), abs=0.05)


def test_sound_that_fits_is_not_coded_again(tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", [bars(i) for i in range(25)], sound=("aac", click(1, at=0.5)))
    path = write(tmp_path / "new.mp4", pictures_of(source), audio_from=source)
    packets = []
    for file in (source, path):
        with av.open(str(file)) as container:
            packets.append([bytes(packet) for packet in container.demux(audio=0) if packet.size])
    assert packets[0] == packets[1]


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_before_the_first_picture_is_left_out(codec: str, tmp_path: Path) -> None:
    stamps = [600 + 40 * i for i in range(25)]
    source = make(tmp_path / "a.mkv", [bars(i) for i in range(25)], stamps=stamps, sound=(codec, click(1.6, at=1)))
    path = write(tmp_path / "new.mp4", pictures_of(source), audio_from=source)
    _, samples, times = hear(path)
    assert times[np.abs(samples) > 0.3][0] == pytest.approx(0.4, abs=0.05)
    assert times[0] == pytest.approx(0, abs=0.12)
    assert times[-1] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_ends_where_it_is_told_to(codec: str, tmp_path: Path) -> None:
    source = make(tmp_path / "a.mov", [bars(i) for i in range(25)], sound=(codec, click(2, at=0.2)))
    path = write(tmp_path / "new.mp4", pictures_of(source)[:15], audio_from=source, seconds=0.6)
    _, _, times = hear(path)
    assert times[-1] == pytest.approx(0.6, abs=0.1)


def test_a_source_without_sound_gives_a_video_without(tmp_path: Path) -> None:
    source = write(tmp_path / "a.mp4", [bars(0)])
    for audio_from in (source, tmp_path):  # a folder of images has none either
        assert not open_video(write(tmp_path / "new.mp4", [bars(0)], audio_from=audio_from)).has_audio


# Images and names
# ------------------------------------------------------------------------------------------------------------


def test_a_folder_of_images_is_read_in_natural_order(tmp_path: Path) -> None:
    for name, i in [("frame10.png", 3), ("frame2.PNG", 1), ("frame1.png", 0), ("frame9.bmp", 2)]:
        good, data = cv2.imencode(Path(name).suffix.lower(), bars(i))
        assert good
        (tmp_path / name).write_bytes(data)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._frame1.png").write_bytes(b"what macOS leaves on foreign disks")
    reader = open_video(tmp_path)
    assert (reader.size, reader.fps, reader.frames, reader.has_audio) == ((64, 48), 30, 4, False)
    assert [number(picture) for _, _, picture in reader] == [0, 1, 2, 3]
    assert [(picture.shape, number(cv2.resize(picture, (64, 48)))) for _, _, picture in reader.scaled(12)] == [
        ((12, 16, 3), i) for i in range(4)
    ]
    assert reader.scaled(1000) == reader  # nothing is made larger
    slow = open_video(tmp_path, fps=12.5)
    assert (slow.fps, slow.duration) == (Fraction(25, 2), 0.32)
    assert [time for _, time, _ in slow] == [0, 0.08, 0.16, 0.24]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff_is_read_like_png(kind: type, channels: int, tmp_path: Path) -> None:
    most = np.iinfo(kind).max
    for i in range(3):
        picture = (bars(i)[..., :1] / 255 * most).repeat(channels, axis=-1).astype(kind)
        for folder, name in (("png", f"{9 + i}.png"), ("tiff", f"{9 + i}.{('tif', 'TIFF')[i % 2]}")):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_bytes(cv2.imencode(Path(name).suffix.lower(), picture)[1])
    found = pictures_of(tmp_path / "tiff")
    assert [number(picture) for picture in found] == [0, 1, 2]
    assert np.array_equal(found, pictures_of(tmp_path / "png"))


def test_a_tiff_that_cannot_be_a_picture_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "1.tif").write_bytes(cv2.imencodemulti(".tif", [bars(0), bars(1)])[1])
    with pytest.raises(InputError, match=r"1\.tif: holds several pages; save each page as an image"):
        open_video(tmp_path)
    (tmp_path / "1.tif").write_bytes(cv2.imencode(".tif", bars(0).astype(np.float32))[1])
    with pytest.raises(InputError, match=r"1\.tif: cannot be read as an image"):
        open_video(tmp_path)
    assert capfd.readouterr().err == ""


def test_a_name_in_digits_is_a_file_or_folder_before_it_is_a_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path / "0", tmp_path / "videos" / "7"):
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "1.png"), bars(5))
    write(tmp_path / "12.mp4", [bars(1)]).rename(tmp_path / "12")
    monkeypatch.chdir(tmp_path)
    for name in ("0", "0/", "./0", "7", "7/", "12"):
        assert open_video(name, "videos").frames == 1
    path, camera = find_source("3", "videos")
    assert (path.parent, camera) == (Path("videos"), 3)
    path.touch()
    assert find_source("3", "videos")[0] != path  # in the same second


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_what_is_neither_file_nor_folder_is_one_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(InputError, match="is neither a file nor a folder; give"):
            open_video(path)


def test_a_name_that_is_not_utf8_is_read_and_written(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    path = write(folder / os.fsdecode(b"\xff.mp4"), [bars(3)])
    assert [number(picture) for picture in pictures_of(path)] == [3]
    (folder / os.fsdecode(b"\xfe.png")).write_bytes(cv2.imencode(".png", bars(4))[1])
    assert [number(picture) for picture in pictures_of(folder)] == [4]


def test_a_bare_name_is_looked_up_in_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", [bars(0)])
    assert open_video("a.mp4", tmp_path).path == tmp_path / "a.mp4"
    for name in ("b.mp4", "", "b" * 5000):
        with pytest.raises(
            InputError, match=rf"{name or 'no name'}: there is no such file, here or in .*; give a video"
        ):
            open_video(name, tmp_path)


# What cannot be read
# ---------------------------------------------------------------------------------------------------------


def cut(path: Path, part: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    return path


def noise(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 255, (count, 48, 64, 3), np.uint8))


def spoilt(what: str, folder: Path) -> Path:
    path = folder / f"{what}.mp4"
    if what == "text":
        path.write_text("no video\n" * 100)
    elif what == "prose":
        path = folder / "prose.txt"
        path.write_text("FFmpeg would draw this as a picture.\n" * 100)
    elif what == "empty":
        path.touch()
    elif what == "unfinished":
        cut(make(path, noise(20)), 0.5)
    elif what in ("sound", "frameless", "trackless"):
        path = path.with_suffix(".mp4" if what == "trackless" else ".mkv")
        with av.open(str(path), "w") as output:
            if what != "sound":
                pictures = output.add_stream("libx264", rate=25)
                pictures.width = pictures.height = 64
            if what != "trackless":
                stream = output.add_stream("aac", rate=SOUND_RATE, layout="mono")
                frame = av.AudioFrame.from_ndarray(click(0.5, at=0.1)[None], format="s16", layout="mono")
                frame.sample_rate = SOUND_RATE
                output.mux([*stream.encode(frame), *stream.encode(None)])
            else:
                output.start_encoding()
    elif what == "overwritten":
        data = bytearray(write(path, noise(20)).read_bytes())
        start = data.index(b"mdat") + 4
        data[start:] = bytes(len(data) - start)
        path.write_bytes(data)
    elif what == "no images":
        path = folder / "no images"
        path.mkdir()
    elif what == "bad image":
        path = folder / "bad image"
        path.mkdir()
        cv2.imwrite(str(path / "1.png"), bars(0))
        (path / "2.png").write_text("no image")
    elif what == "empty image":
        path = folder / "empty image"
        path.mkdir()
        (path / "1.png").touch()
    elif what == "sizes":
        path = folder / "sizes"
        path.mkdir()
        for name, size in [("1.png", (64, 48)), ("2.png", (64, 48)), ("3.png", (48, 64)), ("4.png", (9, 9))]:
            cv2.imwrite(str(path / name), bars(0, size))
    return path


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", r"missing\.mp4: there is no such file, here or in .*; give"),
        ("text", r"text\.mp4: is not a video that FFmpeg can read; give a video"),
        ("prose", r"prose\.txt: is text, not a video; give a video"),
        ("empty", r"empty\.mp4: is empty; give a video"),
        ("unfinished", r"unfinished\.mp4: cannot be read, it was cut off before its index .*; record or copy it again"),
        ("sound", r"sound\.mkv: holds only sound; give a video"),
        ("overwritten", r"overwritten\.mp4: no frame of it can be decoded, .*; record"),
        ("frameless", r"frameless\.mkv: no frame of it can be decoded, .*; record"),
        (
            "trackless",
            r"trackless\.mp4: holds no pictures that FFmpeg can read, it is no video or was cut off; give a video",
        ),
        ("no images", r"no images: holds no images \(\.png, .*\); give"),
        ("bad image", r"2\.png: cannot be read as an image; repair it"),
        ("empty image", r"1\.png: cannot be read as an image; repair it"),
        ("sizes", r"3\.png: is 48 x 64, but 1\.png is 64 x 48; the images of a folder must be of one size"),
    ],
)
def test_a_bad_source_is_one_sentence(what: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_video(spoilt(what, tmp_path), tmp_path / "video")
    assert "\n" not in str(caught.value)


def test_an_image_that_changes_on_the_way_is_one_sentence(tmp_path: Path) -> None:
    for i in range(2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), bars(i))
    reader = open_video(tmp_path)
    (tmp_path / "1.png").unlink()
    with pytest.raises(InputError, match=r"1\.png: cannot be read as an image"):
        list(reader)


def test_a_stream_that_is_cut_off_gives_what_decodes_and_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cut(write(tmp_path / "a.mp4", noise(60)), 0.5)
    reader = open_video(path)
    assert reader.frames == 60
    count = len(list(reader))
    assert 20 <= count < 40
    assert len(list(reader)) == count
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        line == f"warning: {path}: is damaged or cut off; going on with {count} frames, {count / 25:.1f} of 2.4 seconds"
    )


def test_a_hole_in_the_stream_keeps_the_length(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.mp4", noise(60))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 12] = bytes(len(data) // 12)
    path.write_bytes(data)
    assert len(pictures_of(path)) == 60
    assert "is damaged or cut off" in capsys.readouterr().err


# What cannot be written
# ------------------------------------------------------------------------------------------------------


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [bars(0)])
    old = path.read_bytes()

    def fail() -> Iterator[np.ndarray]:
        yield bars(1)
        raise FileNotFoundError("not the writer's")

    with pytest.raises(FileNotFoundError, match="not the writer's"):
        write(path, fail(), audio_from=path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("part", [0, 0.3, 0.9, 0.999])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(part: float, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # a limit on the size of files stands for the disk
    pictures = noise(20)
    size = write(tmp_path / "a.mp4", pictures).stat().st_size
    path = write(tmp_path / "a.mp4", [bars(0)])
    old = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(part * size), limits[1]))
    try:
        with pytest.raises(InputError, match=r"a\.mp4: cannot be written, the disk is full; make room") as caught:
            write(path, pictures)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"a\.mp4: cannot be written \(.*\); choose a folder"):
        write(tmp_path / "file" / "a.mp4", [bars(0)])
    with pytest.raises(InputError, match=r"a\.avi: is not the name of an MP4 file; choose one that ends in \.mp4"):
        write(tmp_path / "a.avi", [bars(0)])
    (tmp_path / "b.mp4").mkdir()
    with pytest.raises(InputError, match=r"b\.mp4: is a folder"):
        write(tmp_path / "b.mp4", [bars(0)])
    with pytest.raises(InputError, match=r"gone\.mp4: cannot be read"):
        write(tmp_path / "c.mp4", [bars(0)], audio_from=tmp_path / "gone.mp4")
    assert not (tmp_path / "c.mp4").exists()


@pytest.mark.parametrize("rate", [0, 1e-6, 1e9, 1e300, float("nan")])
def test_a_rate_that_no_video_has_is_one_sentence(rate: float, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frames per second are no rate of a video"):
        write(tmp_path / "a.mp4", [bars(0)], rate=rate)
    assert list(tmp_path.iterdir()) == []


def test_misuse_is_no_input_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"uint8 \(47, 64, 3\), not uint8 \(48, 64, 3\)"),
        VideoWriter(tmp_path / "a.mp4", 25, (64, 48)) as writer,
    ):
        writer.write(bars(0, (64, 47)))
    with pytest.raises(ValueError, match="no picture was written"), VideoWriter(tmp_path / "a.mp4", 25, (64, 48)):
        pass
    assert list(tmp_path.iterdir()) == []


# Memory
# ----------------------------------------------------------------------------------------------------------------------


def resident() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say it so."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0


def test_a_long_video_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    size, count, alive, most, held = (640, 360), 300, [0], 0, {}

    def died() -> None:
        alive[0] -= 1

    with VideoWriter(tmp_path / "a.mp4", 30, size) as writer:
        for i in range(count):
            writer.write(bars(i % 256, size))
            held["written", i] = resident()
    for i, _, picture in open_video(tmp_path / "a.mp4"):
        alive[0] += 1
        weakref.finalize(picture, died)
        most = max(most, alive[0])
        held["read", i] = resident()
    assert most <= 3
    for way in ("written", "read"):  # at 100 the coder's own pictures are all there; 199 more would be 138 MB
        assert held[way, count - 1] - held[way, 100] < 50e6


# Cameras
# ---------------------------------------------------------------------------------------------------------------------


class Camera:
    """What OpenCV gives for a camera of 100 pictures per second, by a clock of its own."""

    now = 0.0

    def __init__(self, number: int) -> None:
        self.connected = number == 0
        self.seen = 0

    def isOpened(self) -> bool:
        return self.connected

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: 25.0}[what]

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.seen += 1
        Camera.now += 0.01
        return self.connected, bars(self.seen // 10) if self.connected else None

    def release(self) -> None:
        self.connected = False


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """No windows, and a camera of number 0."""

    def no_window(*_: object) -> None:
        raise cv2.error("no windows")

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(cv2, "imshow", no_window)
    monkeypatch.setattr(cv2, "destroyAllWindows", no_window)
    monkeypatch.setattr(video_record.time, "monotonic", lambda: Camera.now)
    return monkeypatch


def check_recording(reader: VideoReader, seconds: float) -> None:
    assert (reader.size, reader.fps, reader.has_audio) == ((64, 48), 25, False)
    found = [number(picture) for _, _, picture in reader]
    assert len(found) / 25 == pytest.approx(seconds, abs=0.05)
    assert found == pytest.approx(
        [0.4 * i for i in range(len(found))], abs=1.1
    )  # the camera's clock shows 10 numbers a second


def test_a_camera_is_recorded_for_so_many_seconds(camera: pytest.MonkeyPatch, tmp_path: Path) -> None:
    reader = open_video("0", tmp_path, seconds=1)
    assert reader.path.parent == tmp_path
    assert reader.path.name.startswith("camera0_")
    check_recording(reader, 1)


def test_a_camera_is_recorded_until_q(camera: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = []
    camera.setattr(cv2, "imshow", lambda _, picture: shown.append(picture))
    camera.setattr(cv2, "waitKey", lambda _: ord("q") if len(shown) == 60 else -1)
    check_recording(open_video(record_camera(0, None, tmp_path / "a.mp4")), 0.6)


def test_a_camera_is_recorded_until_it_is_interrupted(camera: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Interrupted(Camera):
        def read(self) -> tuple[bool, np.ndarray | None]:
            if self.seen == 50:
                raise KeyboardInterrupt
            return super().read()

    camera.setattr(cv2, "VideoCapture", Interrupted)
    check_recording(open_video(record_camera(0, None, tmp_path / "a.mp4")), 0.5)


def test_a_recording_replaces_nothing(camera: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("mine")
    with pytest.raises(InputError, match=r"a\.mp4: is there already; give the name of a new file"):
        record_camera(0, 1, tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_text() == "mine"


def test_without_a_camera_there_is_a_sentence(tmp_path: Path, camera: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"camera 7: there is none, or it gives no picture; plug it in"):
        open_video("7", tmp_path)
    assert list(tmp_path.iterdir()) == []


if sys.platform.startswith("linux"):

    def test_opencv_itself_finds_no_camera_99(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(InputError, match="camera 99: there is none"):
            record_camera(99, 1, tmp_path / "a.mp4")
        assert capfd.readouterr().err == ""
