"""Time and memory of a pass and of a training step against the frames of a window: HoT beside its backbone.

    python benchmark/scaling.py

Prints a table and draws figure/scaling.png. Every number is measured in a process of its own: seconds are processor
time, of all threads, the median of --rounds calls after one that warms up; memory is the most that the process held
during the calls, less what it held before. A training step is forward and backward, with and without
--checkpoint_activations. HoT keeps a third of the frames from layer 3 of 8 on.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
import json
import resource
import statistics
import subprocess
import time

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch

from common.arguments import Parser, number
from common.errors import exit_on_input_error
from common.files import replacing
from model import create_model

ROOT = Path(__file__).resolve().parent.parent
MODELS = {"mixste.mixste": "MixSTE", "mixste.hot_mixste": "HoT w. MixSTE"}
FRAMES = (27, 81, 243, 729)
BATCHES = (1, 4)
KINDS = {"pass": "a pass", "step": "a training step", "checkpointed": "a training step, --checkpoint_activations"}
COLOURS = {"mixste.mixste": "#888888", "mixste.hot_mixste": "#2f6db3"}
STYLES = {"pass": "-", "step": "-", "checkpointed": "--"}


def measure(name: str, frames: int, batch: int, channel: int, kind: str, rounds: int) -> tuple[float, float]:
    """Seconds of a call, and the mebibytes that the calls took at most, in this process."""
    if channel > 8:
        measure(name, min(FRAMES), 1, 8, kind, 1)  # what PyTorch loads and holds once is no part of the answer
    plan = {"token_num": frames // 3, "layer_index": 3} if name == "mixste.hot_mixste" else {}
    model = create_model(name, frames=frames, channel=channel, d_hid=2 * channel, **plan)
    model.train(kind != "pass")
    model.checkpoint_activations = kind == "checkpointed"
    x = torch.randn(batch, frames, model.joints, model.in_channels)
    for parameter in model.parameters():  # held before, since training holds them anyway
        parameter.grad = torch.zeros_like(parameter)

    def call() -> None:
        with torch.set_grad_enabled(kind != "pass"):
            pose = model(x).pose
            if kind != "pass":
                pose.square().mean().backward()

    before, seconds = memory(), []
    for _ in range(rounds + 1):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds[1:]), memory() - before


def memory() -> float:
    """The most mebibytes that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def draw(rows: list[dict], channel: int, path: Path) -> None:
    """Seconds and memory against frames, at batch 1, and how much of its backbone's HoT takes."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    panels = (
        (axes[0], "seconds", ("pass", "step"), "seconds"),
        (axes[1], "mebibytes", ("step", "checkpointed"), "MiB"),
    )
    for panel, field, kinds, unit in panels:
        for name, title in MODELS.items():
            for number_of, kind in enumerate(kinds):
                points = [row for row in rows if (row["model"], row["kind"], row["batch"]) == (name, kind, 1)]
                style = {"color": COLOURS[name], "linestyle": "-" if number_of == 0 else "--", "marker": "o"}
                panel.plot(
                    [row["frames"] for row in points],
                    [row[field] for row in points],
                    label=f"{title}, {KINDS[kind]}",
                    **style,
                )
        panel.set(xscale="log", yscale="log", xlabel="frames of a window", ylabel=unit)
        panel.legend(fontsize=7)
    axes[0].set_title("time")
    axes[1].set_title("memory of training")
    for kind, colour in (("pass", "#2f6db3"), ("step", "#c0392b")):
        for field, style in (("seconds", "-"), ("mebibytes", ":")):
            values = {
                (row["model"], row["frames"]): row[field] for row in rows if (row["kind"], row["batch"]) == (kind, 1)
            }
            frames = sorted({frames for _, frames in values})
            saved = [100 * (1 - values["mixste.hot_mixste", f] / values["mixste.mixste", f]) for f in frames]
            axes[2].plot(frames, saved, color=colour, linestyle=style, marker="o", label=f"{KINDS[kind]}, {field}")
    axes[2].axhline(0, color="black", linewidth=0.5)
    axes[2].set(xscale="log", xlabel="frames of a window", ylabel="%", title="what HoT saves")
    axes[2].legend(fontsize=7)
    for panel in axes:
        panel.set_xticks(FRAMES, map(str, FRAMES))
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    figure.suptitle(
        f"MixSTE and HoT, 8 layers, {channel} channels, a third of the frames kept from layer 3 on; batch 1"
    )
    figure.tight_layout()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def main() -> None:
    """Measure everything, print the table, draw."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channel", type=number(int, 8), default=64, help="width of the tokens (default: %(default)s)")
    parser.add_argument("--frames", type=number(int, 27), nargs="+", default=FRAMES, help="(default: 27 81 243 729)")
    parser.add_argument("--batch", type=number(int, 1), nargs="+", default=BATCHES, help="(default: 1 4)")
    parser.add_argument("--rounds", type=number(int, 1), default=3, help="timed calls of each (default: %(default)s)")
    parser.add_argument(
        "--figure", default=ROOT / "figure" / "scaling.png", type=Path, help="(default: figure/scaling.png)"
    )
    parser.add_argument("--one", nargs=4, metavar=("MODEL", "FRAMES", "BATCH", "KIND"), help="measure this alone")
    args = parser.parse_args()
    if args.one:
        name, frames, batch, kind = args.one
        print(json.dumps(measure(name, int(frames), int(batch), args.channel, kind, args.rounds)))
        return
    rows = []
    print(f"{'':16}{'frames':>7}{'batch':>6}  {'':42}{'seconds':>9}{'MiB':>8}   {torch.get_num_threads()} threads")
    for frames in args.frames:
        for batch in args.batch:
            for kind, words in KINDS.items():
                for name, title in MODELS.items():
                    command = [sys.executable, __file__, "--channel", str(args.channel), "--rounds", str(args.rounds)]
                    command += ["--one", name, str(frames), str(batch), kind]
                    seconds, mebibytes = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
                    row = {"model": name, "frames": frames, "batch": batch, "kind": kind}
                    rows.append({**row, "seconds": seconds, "mebibytes": mebibytes})
                    print(f"{title:16}{frames:7}{batch:6}  {words:42}{seconds:9.3f}{mebibytes:8.0f}", flush=True)
    draw(rows, args.channel, args.figure)
    print(f"drawn: {args.figure}")


if __name__ == "__main__":
    exit_on_input_error(main)
