"""How fast the models run beside plain ones with the same weights, and beside the machine's own matrix products.

    python benchmark/inference.py --json speed.json

For each number of threads, batch and model, plain (benchmark/reference.py) and ours run in turns, in float32 and, on a
CPU that has it, in bf16 by torch.autocast. Shown are the fastest times; of one thread the time of the processor, which
other programs lengthen less. "of the machine": the products of the model per second, as a share of what a product of
two matrices of 2,048 x 2,048 reaches, which is measured in turns with them. The poses of both are compared first.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import platform
import time
from collections.abc import Callable

import torch

from benchmark.reference import plain_model
from common.arguments import Parser, number
from common.errors import InputError, exit_on_input_error
from common.files import write_text
from common.inference.compute import Compute, cpu_has_bf16
from model import PoseTransformer, create_model
from model.complexity import gflops

CPU = torch.device("cpu")
MODELS = ("mixste.mixste", "mixste.hot_mixste", "mhformer.mhformer")
SIDE = 2048
CLOSE = 1e-4
"""Metres by which the poses of plain and ours may differ in float32."""


def seeded(name: str) -> PoseTransformer:
    """A model of full size in evaluation mode, with learned positions that are not zero."""
    torch.manual_seed(0)
    model = create_model(name).eval()
    with torch.no_grad():
        for position in model.learned_positions():
            position.normal_(std=0.02)
    return model


def fastest(runs: dict[str, Callable[[], object]], rounds: int, warm: bool = True) -> dict[str, float]:
    """The least seconds of each of the runs, which take turns."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    least = dict.fromkeys(runs, float("inf"))
    for turn in range(rounds + warm):
        for name, run in runs.items():
            started = clock()
            run()
            took = clock() - started
            if turn >= warm:
                least[name] = min(least[name], took)
    return least


def measure(name: str, batch: int, formats: tuple[str, ...], rounds: int) -> dict[str, float]:
    """The numbers of one model: milliseconds, ratios to plain, and the share of the machine's rate.

    Raises InputError where its poses are not those of the plain model.
    """
    ours = seeded(name)
    plain = plain_model(ours)
    assert plain is not None  # all of MODELS have one
    x = torch.randn(batch, ours.frames, ours.joints, ours.in_channels, generator=torch.Generator().manual_seed(0))
    apart = (plain(x[:1]).pose - ours(x[:1]).pose).abs().max().item()
    if not apart < CLOSE:
        raise InputError(f"{name}: poses are {apart:.2g} m apart from the plain model's; the two are not comparable")

    def runner(model: torch.nn.Module, precision: str) -> Callable[[], object]:
        def run() -> None:
            with Compute(CPU, precision).autocast():
                model(x)

        return run

    runs: dict[str, Callable[[], object]] = {}
    for precision in formats:
        matrix = torch.randn(SIDE, SIDE).to(torch.bfloat16 if precision == "bf16" else torch.float32)
        runs |= {
            f"plain {precision}": runner(plain, precision),
            f"ours {precision}": runner(ours, precision),
            f"matrix {precision}": lambda matrix=matrix: matrix @ matrix,
        }
    seconds = fastest(runs, rounds)
    found: dict[str, float] = {"apart_m": apart, "gflop": batch * gflops(ours)[1]}
    for precision in formats:
        mine, rate = seconds[f"ours {precision}"], 2e-9 * SIDE**3 / seconds[f"matrix {precision}"]
        found |= {
            f"plain_{precision}_ms": 1e3 * seconds[f"plain {precision}"],
            f"ours_{precision}_ms": 1e3 * mine,
            f"ratio_{precision}": seconds[f"plain {precision}"] / mine,
            f"matrix_{precision}_gflops": rate,
            f"of_machine_{precision}": found["gflop"] / mine / rate,
        }
    return found


def inference_rows(threads: list[int], batches: list[int], rounds: int, models: tuple[str, ...] = MODELS) -> list[dict]:
    """One row for each number of threads, batch and model; printed as they come."""
    formats = ("fp32", "bf16") if cpu_has_bf16() else ("fp32",)
    titles = ("model", "threads", "batch", *(f"{what} {form}" for form in formats for what in TITLES))
    print("| " + " | ".join(titles) + " |\n" + "|---" * len(titles) + "|")
    rows = []
    with torch.inference_mode():
        for count in threads:
            torch.set_num_threads(count)
            for batch in batches:
                for name in models:
                    row = measure(name, batch, formats, max(1, rounds // batch))
                    rows.append({"model": name, "threads": count, "batch": batch, **row})
                    cells = [
                        cell
                        for form in formats
                        for cell in (
                            f"{row[f'plain_{form}_ms']:,.0f} ms", f"{row[f'ours_{form}_ms']:,.0f} ms",
                            f"{row[f'ratio_{form}']:.2f}x", f"{row[f'of_machine_{form}']:.2f}",
                        )
                    ]  # fmt: skip
                    print("| " + " | ".join([name, str(count), str(batch), *cells]) + " |", flush=True)
    return rows


TITLES = ("plain", "ours", "ratio", "of the machine")


def hourglass_savings(rows: list[dict]) -> list[dict]:
    """HoT w. MixSTE beside MixSTE: the share of the time and of the FLOPs that it saves, by threads and batch."""
    found = {(row["model"], row["threads"], row["batch"]): row for row in rows}
    savings = []
    for (name, threads, batch), row in found.items():
        whole = found.get(("mixste.mixste", threads, batch))
        if name == "mixste.hot_mixste" and whole:
            saved = {
                f"time_saved_{form}": 1 - row[f"ours_{form}_ms"] / whole[f"ours_{form}_ms"]
                for form in ("fp32", "bf16")
                if f"ours_{form}_ms" in row
            }
            savings.append(
                {"threads": threads, "batch": batch, "flops_saved": 1 - row["gflop"] / whole["gflop"], **saved}
            )
    for saving in savings:
        print("HoT w. MixSTE saves: " + ", ".join(f"{name} {value:.3g}" for name, value in saving.items()))
    return savings


def about_the_machine() -> dict[str, str]:
    """What the numbers were measured on, and when."""
    fast = ("avx", "amx", "bf16", "sve")
    has = sorted(
        name for name, there in torch.cpu.get_capabilities().items() if there is True and name.startswith(fast)
    )
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {', '.join(has)}",
        "torch": torch.__version__,
    }


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say what is measured."""
    cores = os.cpu_count() or 1
    positive = number(int, 1)
    parser.add_argument("--threads", type=positive, nargs="+", default=sorted({1, min(2, cores)}))
    parser.add_argument("--batches", type=positive, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=positive, default=3, help="timed passes of a batch of 1 (default: 3)")
    parser.add_argument("--json", help="file to write the numbers to")


def main() -> None:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_flags(parser)
    args = parser.parse_args()
    rows = inference_rows(args.threads, args.batches, args.rounds)
    found = {**about_the_machine(), "inference": rows, "hourglass": hourglass_savings(rows)}
    if args.json:
        write_text(args.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    exit_on_input_error(main)
