"""Where a model runs and in which number format."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from common.errors import InputError


@dataclass(frozen=True)
class Compute:
    """Where and in which number format the model runs. precision: "fp32", "tf32", "bf16" or "fp16"."""

    device: torch.device
    precision: str = "fp32"

    def autocast(self) -> contextlib.AbstractContextManager:
        """The context that a forward pass runs in."""
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.precision)
        return torch.autocast(self.device.type, dtype) if dtype else contextlib.nullcontext()


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 by itself; others take many times as long for it as for float32."""
    has = torch.cpu.get_capabilities()
    return any(has.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # the last one is Arm's


def choose_compute(device: str, gpu: str, precision: str) -> Compute:
    """The device and number format that the flags ask for; auto without CUDA is the CPU, bf16 on a CPU without it fp32:
    it says so.

    Raises InputError where --device or --precision names what this machine does not have.
    """
    if not gpu.isdigit():
        raise InputError(f"--gpu is {gpu!r}; give the number of one CUDA device, such as 0")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cpu":
            print("device: no CUDA device is here, running on the CPU")
    elif device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device is cuda, but this machine or this PyTorch has no CUDA; use --device auto or cpu")
    elif device == "mps" and not torch.backends.mps.is_available():
        raise InputError("--device is mps, but this machine or this PyTorch has no MPS; use --device auto or cpu")
    if device == "cuda":
        if int(gpu) >= torch.cuda.device_count():
            raise InputError(f"--gpu is {gpu}, but there are {torch.cuda.device_count()} CUDA devices, counted from 0")
        device = f"cuda:{gpu}"
    if precision == "tf32" and not device.startswith("cuda"):
        raise InputError(f"--precision is tf32, which only CUDA devices have; use fp32 or bf16 on {device}")
    if precision == "bf16" and device == "cpu" and not cpu_has_bf16():
        print("device: this CPU has no bf16 products, running in fp32")
        precision = "fp32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True
    return Compute(torch.device(device), precision)


def check_compiler() -> None:
    """Raise InputError where there is no C++ compiler for torch.compile: it takes $CXX, or one of the usual names."""
    given = os.environ.get("CXX")
    if not any(map(shutil.which, [given.split()[0]] if given and given.strip() else ["g++", "clang++", "cl"])):
        missing = f"CXX names {given}, which is not here" if given else "no C++ compiler is here"
        raise InputError(f"--compile is 1, but {missing}; install g++ or clang++, or leave --compile out")


class OutOfMemory(InputError):
    """What was asked for does not fit into the memory of this machine."""


# PyTorch has a class of its own for CUDA only. The last two: shared memory, by which loader processes hand over.
_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|bad_alloc|ALLOC_FAILED|allocate shared memory|/torch_\S+: No space", re.I
)
_ASKED = re.compile(r"allocate (\d[\d.,]* \w+)")


@contextlib.contextmanager
def out_of_memory_named() -> Iterator[None]:
    """Turn what PyTorch, numpy and Python raise for want of memory in the block into an OutOfMemory that names what to
    lower.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if isinstance(error, OSError):
            full = error.errno == errno.ENOMEM  # of a process that cannot be forked
        else:
            full = isinstance(error, MemoryError) or bool(_NO_MEMORY.search(str(error)))
        if not full:
            raise
        asked = _ASKED.search(str(error))
        more = f" ({asked[1]} more were asked for)" if asked else ""
        traceback.clear_frames(error.__traceback__)  # which hold what filled the memory
        raise OutOfMemory(f"out of memory{more}; lower --batch_size, --frames or --channel, or --workers") from None
