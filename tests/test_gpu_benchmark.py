"""benchmark/gpu.py, as far as a machine without a GPU can run it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmark import gpu
from common.inference.compute import Compute

CPU = torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(main: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main("benchmark/gpu.py")
    assert capsys.readouterr().err.startswith("error: no GPU is here")
    with pytest.raises(SystemExit, match="2"):
        main("benchmark/gpu.py", "--device", "cpu")
    assert "add --quick" in capsys.readouterr().err


@pytest.mark.parametrize("work", ["inference", "training"])
def test_every_model_has_a_row_that_runs(work: str) -> None:
    for case in gpu.cases(quick=True):
        if (case.work, case.precision) == (work, "fp32"):
            call, windows = gpu.caller(case, Compute(CPU), quick=True)
            assert gpu.rate(call, windows, 1, CPU)[0] > 0


def test_the_sampler_draws_as_many_windows_as_it_says() -> None:
    call, windows = gpu.sampler(CPU, quick=True)
    assert len(call().pose_2d) == windows


def test_the_full_table_has_every_format_eager_and_compiled() -> None:
    rows = [(case.model.name, *case[1:]) for case in gpu.cases(quick=False)]
    assert len(rows) == len(set(rows)) == len(gpu.MODELS) * 2 * 4 * 2
