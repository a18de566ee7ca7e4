"""How much memory the demo takes for a long video: one of --frames frames is made from a short one, and the whole demo
runs on it.

    python benchmark/demo_memory.py --video sample_video.mp4

The short video is played to and fro, so that people go on from frame to frame. Prints the most memory that the demo's
process held at once (resident set), and what it took.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import itertools
import resource
import subprocess
import tempfile
import time

import av
import cv2

from common.arguments import Parser, number
from common.errors import InputError, exit_on_input_error
from demo.video_read import open_video
from demo.video_write import VideoWriter

SIZE = (1280, 720)
TO_AND_FRO = 300  # frames


def make(source: str, frames: int, path: Path) -> int:
    """Write a video of SIZE and `frames` frames or a few more, which plays the first of `source` to and fro; return how
    many.
    """
    reader, once = open_video(source), path.with_name("once.mp4")
    pictures = [cv2.resize(picture, SIZE) for _, _, picture in itertools.islice(reader, TO_AND_FRO // 2)]
    with VideoWriter(once, reader.fps, SIZE) as writer:
        for picture in pictures + pictures[::-1]:
            writer.write(picture)
    times, later, copy = -(-frames // writer.frames), 0, None
    with av.open(str(path), "w") as output:
        for _ in range(times):  # coded once, copied often
            with av.open(str(once)) as container:
                stream = container.streams.video[0]
                copy = copy or output.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.dts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + later, packet.dts + later, copy
                        output.mux(packet)
                later += stream.duration
    return times * writer.frames


def main() -> None:
    """Make the video, run the demo on it, print what it took."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", default="sample_video.mp4", help="a video, by path or by its name in demo/video/")
    parser.add_argument("--frames", type=number(int, 1), default=20_000, help="of the long video (default: 20000)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.mp4"
        frames = make(args.video, args.frames, path)
        started = time.perf_counter()
        flags = ["--video", str(path), "--output", f"{folder}/out", "--detector_model", "full"]
        if subprocess.run([sys.executable, str(ROOT / "demo" / "vis.py"), *flags]).returncode:
            raise InputError("the demo failed; see above")
        minutes = (time.perf_counter() - started) / 60
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # kilobytes on Linux
    print(f"{frames} frames of {SIZE[0]}x{SIZE[1]}: {minutes:.0f} minutes, at most {most / 1e9:.2f} GB of memory")


if __name__ == "__main__":
    exit_on_input_error(main)
