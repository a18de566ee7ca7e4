"""What is done for speed changes no result: attention without copies, dropout from few bits, bf16 on a CPU."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from common.errors import InputError
from common.inference import compute
from common.inference.compute import choose_compute
from model import create_model, layers
from model.layers import SPACE, TIME, Attention, CrossAttention, Dropout, attend
from tests.rules import SMALL, filled, motion

Seen = list[tuple[str, torch.dtype, torch.dtype]]


def plain_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, axis: int) -> Tensor:
    """`attend`, as the formula says: softmax(q k^T / sqrt(width)) v for each head, the other axes as batch."""
    q, k, v = (
        t.movedim(axis, -2).unflatten(-1, (heads, -1)).transpose(-3, -2) for t in (q, k, v)
    )  # (..., heads, N or M, width)
    weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1)  # (..., heads, N, M)
    return (weights @ v).transpose(-3, -2).flatten(-2).movedim(-2, axis)  # (..., N, ..., C)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((2, 5, 3, 8), TIME),
        ((2, 5, 3, 8), SPACE),
        ((1, 5, 1, 8), TIME),
        ((1, 1, 3, 8), SPACE),
        ((2, 1, 1, 8), TIME),
        ((3, 5, 8), 1),
    ],
)
@pytest.mark.parametrize("fused", [True, False], ids=["parts of one tensor", "tensors of their own"])
@pytest.mark.parametrize("heads", [1, 4])
def test_attention_along_any_axis(shape: tuple[int, ...], axis: int, fused: bool, heads: int) -> None:
    torch.manual_seed(0)
    qkv = torch.randn(*shape[:-1], 3 * shape[-1], dtype=torch.float64)
    parts = qkv.chunk(3, dim=-1)
    leaves = [(part if fused else part.contiguous()).detach().requires_grad_() for part in parts]
    ours, expected = attend(*leaves, heads, axis), plain_attention(*leaves, heads, axis)
    assert ours.shape == shape
    torch.testing.assert_close(ours, expected)
    weight = torch.randn_like(expected)
    for mine, theirs in zip(
        torch.autograd.grad(ours, leaves, weight), torch.autograd.grad(expected, leaves, weight), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(
    ("axis", "queries", "keys"), [(TIME, (1, 7, 1, 8), (2, 4, 3, 8)), (SPACE, (1, 1, 5, 8), (2, 4, 3, 8))]
)
def test_queries_that_all_share(axis: int, queries: tuple[int, ...], keys: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    q, tokens = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in (queries, keys))
    cross = CrossAttention(8, heads=2).double()
    shape = [*keys]
    shape[axis] = queries[axis]
    parts = cross.linear_q(q).expand(shape), cross.linear_k(tokens), cross.linear_v(tokens)
    ours, expected = cross(q, tokens, tokens, axis), cross.proj(plain_attention(*parts, 2, axis))
    torch.testing.assert_close(ours, expected)
    for mine, theirs in zip(
        torch.autograd.grad(ours.sin().sum(), (q, tokens)),
        torch.autograd.grad(expected.sin().sum(), (q, tokens)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("count", [5, 17])
@pytest.mark.parametrize("part", [1, 2**10, 2**30], ids=["a row at a time", "some rows", "all rows"])
@pytest.mark.parametrize("grad", [True, False])
def test_attention_in_half_precision_is_that_of_the_formula(
    count: int, part: int, grad: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows are worked on at a time."""
    monkeypatch.setattr(layers, "_PART", part)
    torch.manual_seed(0)
    exact = [torch.randn(5, count, 3, 8, requires_grad=True) for _ in range(3)]
    half = [t.detach().bfloat16().requires_grad_() for t in exact]
    expected = plain_attention(*exact, 2, TIME)
    with torch.set_grad_enabled(grad):
        ours = attend(*half, 2, TIME)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), expected, atol=0.03, rtol=0.03)
    if grad:
        weight = torch.randn_like(expected)
        for mine, theirs in zip(
            torch.autograd.grad(ours, half, weight.bfloat16()),
            torch.autograd.grad(expected, exact, weight),
            strict=True,
        ):
            torch.testing.assert_close(mine.float(), theirs, atol=0.1, rtol=0.05)


# Dropout


def test_dropout_keeps_its_share_and_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(200_001, requires_grad=True)
    dropped = Dropout(0.1)(x)
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(1.0).div(0.9).item()}
    assert (dropped == 0).float().mean().item() == pytest.approx(0.1, abs=0.003)  # 4.5 standard deviations
    neighbours = (dropped[:-1] == 0) & (dropped[1:] == 0)
    assert neighbours.float().mean().item() == pytest.approx(0.01, abs=0.001)
    (gradient,) = torch.autograd.grad(dropped.sum(), x)
    assert torch.equal(gradient, dropped.detach())


def test_dropout_follows_the_seed() -> None:
    first, second, other = (torch.manual_seed(seed) and Dropout(0.3)(torch.ones(3, 7, 5)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_dropout_of_none_and_of_all(p: float) -> None:
    x, state = torch.randn(4, 5), torch.get_rng_state()
    assert torch.equal(Dropout(p)(x), (1 - p) * x)
    if p == 0:
        assert torch.equal(torch.get_rng_state(), state)
    assert Dropout(0.5).eval()(x) is x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dropout_keeps_the_dtype(dtype: torch.dtype) -> None:
    assert Dropout(0.5)(torch.ones(3, 5, dtype=dtype)).dtype == dtype
    assert Dropout(0.5)(torch.ones(0, 5, dtype=dtype)).shape == (0, 5)


# bf16 on a CPU


def seen_by(model: nn.Module, *kinds: type[nn.Module]) -> Seen:
    """A list that fills, as the model runs, with (kind, dtype in, dtype out) of the modules of these kinds."""
    seen: Seen = []
    for module in model.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(lambda m, x, y: seen.append((type(m).__name__, x[0].dtype, y.dtype)))
    return seen


@pytest.mark.parametrize("name", SMALL)
def test_norms_stay_float32_under_bf16(name: str) -> None:
    model = filled(create_model(name, **SMALL[name])).eval()
    norms, products = seen_by(model, nn.LayerNorm), seen_by(model, Attention)
    x = motion(2, model.frames, model.in_channels, 7)
    with torch.no_grad():
        reference = model(x)
        for seen in (norms, products):
            seen.clear()
        with torch.autocast("cpu", torch.bfloat16):
            prediction = model(x, reference.kept)  # the same frames: which ones stay is decided by thresholds
    assert set(norms) == {("LayerNorm", torch.float32, torch.float32)}
    assert torch.bfloat16 in {out for _, _, out in products}
    change = (prediction.pose.float() - reference.pose).abs()
    assert 0 < change.mean() < 0.02 * reference.pose.abs().mean()


@pytest.mark.parametrize("training", [True, False])
def test_the_input_is_read_in_float32_where_poses_are_tested(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model("mhformer.mhformer", **SMALL["mhformer.mhformer"]).train(training)
    embed, seen = model.embed, []
    monkeypatch.setattr(model, "embed", lambda x: seen.append(torch.is_autocast_enabled("cpu")) or embed(x))
    with torch.autocast("cpu", torch.bfloat16):
        model(motion(2, model.frames, model.in_channels, 7))
    assert seen == [training]


@pytest.mark.parametrize(
    ("compiler", "says"), [("", "no C++ compiler is here"), ("no-such-c++ -O2", "CXX names no-such")]
)
def test_compiling_without_a_compiler(compiler: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", compiler)
    with pytest.raises(InputError, match=f"--compile is 1, but {re.escape(says)}"):
        compute.check_compiler()


SENTENCE = "device: this CPU has no bf16 products, running in fp32\n"


@pytest.mark.parametrize(("precision", "has", "runs", "says"), [
    ("bf16", False, "fp32", SENTENCE), ("bf16", True, "bf16", ""), ("fp32", False, "fp32", ""),
    ("fp16", False, "fp16", ""),
])  # fmt: skip
def test_a_cpu_without_bf16_runs_in_float32(
    precision: str, has: bool, runs: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(compute, "cpu_has_bf16", lambda: has)
    assert choose_compute("cpu", "0", precision).precision == runs
    assert capsys.readouterr().out == says


@pytest.mark.parametrize(("capabilities", "has"), [
    ({}, False), ({"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
    ({"avx512_bf16": True}, True),
    ({"amx_bf16": True}, True), ({"neon": True, "bf16": True}, True), ({"neon": True, "bf16": False}, False),
])  # fmt: skip
def test_which_cpus_have_bf16(capabilities: dict[str, bool], has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert compute.cpu_has_bf16() is has
