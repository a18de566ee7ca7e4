"""Which frames stay, how the others come back, and the layers that both are made of, each against a slow plain
reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from model.layers import SPACE, TIME, Attention, Block, CrossAttention, DropPath, attend, fuse
from model.pruning import (
    SELECTORS,
    gather_frames,
    select_by_attention,
    select_by_cluster,
    select_by_motion,
    select_by_uniform,
)
from model.recovering import recover_by_attention, recover_by_interpolation, recover_by_nearest


def reference(frames: Tensor, keep: int, always: tuple[int, ...] = ()) -> list[int]:
    """Density-peaks clustering of one sequence (F, D) as the paper words it, in loops over Python floats."""
    x = frames.tolist()
    count, width = len(x), len(x[0])
    squared = [[sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) / width for q in x] for p in x]
    near = [sorted(row)[:2] for row in squared]  # the point itself included
    log_density = [-sum(two) / len(two) for two in near]
    largest = max(max(row) for row in squared)
    scores = []
    for i in range(count):
        denser = [
            j for j in range(count) if log_density[j] > log_density[i] or (log_density[j] == log_density[i] and j < i)
        ]
        parent = math.sqrt(min((squared[i][j] for j in denser), default=largest))
        if min(log_density) > -500:
            scores.append(math.exp(log_density[i]) * parent)
        else:  # the densities underflow: the same order by logarithms
            scores.append((math.log(parent) if parent else -math.inf) + log_density[i])
    ranked = sorted(range(count), key=lambda i: (i not in always, -scores[i], i))
    return sorted(ranked[:keep])


def agrees(features: Tensor, keep: int, always: tuple[int, ...] = ()) -> bool:
    """Whether the selector keeps the frames of the reference, for every sequence of (B, F, D)."""
    mask = None
    if always:
        mask = torch.zeros(features.shape[:2], dtype=torch.bool)
        mask[:, list(always)] = True
    return select_by_cluster(features, keep, mask).tolist() == [reference(x, keep, always) for x in features.double()]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("frames", "width"), [(2, 1), (3, 4), (9, 5), (27, 32), (45, 16)])
@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0])
def test_cluster_keeps_the_frames_of_the_reference(frames: int, width: int, spread: float) -> None:
    features = spread * noise(3, frames, width, seed=frames)
    for keep in sorted({1, 2, frames // 3 or 1, frames - 1, frames}):
        assert agrees(features, keep)
        assert agrees(features.cumsum(1), keep)  # neighbours in time are neighbours in space, as in motion


@pytest.mark.parametrize("always", [(13,), (0, 26), (5, 13, 21)])
def test_protected_frames_stay_and_take_part_in_the_densities(always: tuple[int, ...]) -> None:
    features = noise(4, 27, 8, seed=1)
    for keep in (len(always), 7, 27):
        assert agrees(features, keep, always)
    without = [frame for frame in range(27) if frame not in always]
    mask = torch.zeros(4, 27, dtype=torch.bool)
    mask[:, list(always)] = True
    others = [[frame for frame in row if frame not in always] for row in select_by_cluster(features, 9, mask).tolist()]
    alone = select_by_cluster(features[:, without], 9 - len(always))
    assert others != [
        [without[i] for i in row] for row in alone.tolist()
    ]  # leaving them out first is another selection


def test_protected_frames_may_differ_between_sequences() -> None:
    features, mask = noise(3, 11, 4, seed=2), torch.zeros(3, 11, dtype=torch.bool)
    mask[0, 2] = mask[2, 10] = True
    expected = [
        reference(features[0].double(), 3, (2,)),
        reference(features[1].double(), 3),
        reference(features[2].double(), 3, (10,)),
    ]
    assert select_by_cluster(features, 3, mask).tolist() == expected


def test_ties_go_to_the_earlier_frame() -> None:
    line = torch.arange(9.0)[
        None, :, None
    ]  # equal densities: frame 0 counts as densest, each other is 1 from its parent
    assert select_by_cluster(line, 3).tolist() == [[0, 1, 2]]
    assert select_by_cluster(line.flip(1), 3).tolist() == [[0, 1, 2]]
    pairs = torch.tensor([0.0, 0.0, 8.0, 8.0, 2.0, 2.0])[None, :, None]  # three pairs of equal frames
    assert select_by_cluster(pairs, 3).tolist() == [[0, 2, 4]]
    assert select_by_cluster(pairs, 5).tolist() == [[0, 1, 2, 3, 4]]
    square = torch.tensor([[0.0, 0], [0, 2], [2, 0], [2, 2]])[None]
    for keep in (1, 2, 3):
        assert select_by_cluster(square, keep).tolist() == [list(range(keep))]


@pytest.mark.parametrize("seed", range(10))
def test_tied_sequences_agree_with_the_reference(seed: int) -> None:
    """Small whole numbers, and powers of two as sizes: every sum is exact, so that equal distances are equal."""
    grid = torch.randint(0, 3, (4, 16, 4), generator=torch.Generator().manual_seed(seed)).float()
    for keep in (1, 5, 8, 15):
        assert agrees(grid, keep)
        assert agrees(grid, keep, (7,))


@pytest.mark.parametrize("seed", range(4))
def test_standing_still_at_either_end(seed: int) -> None:
    """Edge padding repeats the first and the last frame."""
    features = noise(2, 27, 24, seed=seed).cumsum(1)
    features[:, :7], features[:, 21:] = features[:, 7:8].clone(), features[:, 21:22].clone()
    for keep in (3, 9, 15):
        assert agrees(features, keep)


@pytest.mark.parametrize("seed", range(6))
def test_repeated_frames_agree_with_the_reference(seed: int) -> None:
    """Equal frames are at distance zero whatever rounding does: of each group the earliest is the one that stands for
    it.
    """
    features = noise(2, 27, 64, seed=seed)[:, torch.randint(0, 9, (27,), generator=torch.Generator().manual_seed(seed))]
    for keep in (3, 6, 9):
        assert agrees(features, keep)


@pytest.mark.parametrize("frames", [1, 2, 9, 243])
@pytest.mark.parametrize("value", [0.0, 1.1, -1e6])
def test_constant_features_keep_the_first_frames(frames: int, value: float) -> None:
    pose = value * (1 + noise(1, 1, 48).abs())
    keep = (frames + 2) // 3
    assert select_by_cluster(pose.expand(2, frames, 48), keep).tolist() == [list(range(keep))] * 2


def test_smallest_and_largest_selections() -> None:
    features = noise(3, 9, 4)
    assert select_by_cluster(features[:, :1], 1).tolist() == [[0]] * 3
    assert select_by_cluster(features, 9).tolist() == [list(range(9))] * 3
    mask = torch.zeros(3, 9, dtype=torch.bool)
    mask[:, 4] = True
    assert select_by_cluster(features, 1, mask).tolist() == [[4]] * 3


def test_result_is_sorted_unique_whole_numbers_without_gradient() -> None:
    features = noise(5, 61, 12).requires_grad_()
    frames = select_by_cluster(features, 20)
    assert frames.shape == (5, 20)
    assert frames.dtype == torch.int64
    assert not frames.requires_grad
    assert (frames.diff(dim=1) > 0).all()
    assert frames.min() >= 0
    assert frames.max() < 61


@pytest.mark.parametrize("width", [8, 512])
def test_each_sequence_is_selected_by_itself(width: int) -> None:
    features = noise(6, 45, width, seed=3)
    together = select_by_cluster(features, 15)
    assert torch.equal(torch.cat([select_by_cluster(x[None], 15) for x in features]), together)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    assert torch.equal(select_by_cluster(features[order], 15), together[order])
    assert torch.equal(select_by_cluster(torch.cat([features[:1], 1e6 * features[1:]]), 15)[:1], together[:1])


def test_selection_depends_on_scaled_distances_alone() -> None:
    features = noise(3, 27, 16, seed=4).double()
    kept = select_by_cluster(features, 9)
    assert torch.equal(select_by_cluster(features + 7.5, 9), kept)
    turn = torch.linalg.qr(noise(16, 16).double()).Q
    assert torch.equal(select_by_cluster(features @ turn, 9), kept)
    assert torch.equal(select_by_cluster(torch.cat([features] * 4, dim=-1), 9), kept)  # d is divided by sqrt(D)
    far = noise(1, 1, 16) * 1e4  # float64: a common offset costs no digits that matter
    assert torch.equal(
        select_by_cluster(features.float() + far, 9), select_by_cluster((features.float() + far).double(), 9)
    )


def test_huge_distances_still_rank() -> None:
    features = 1e6 * noise(3, 27, 8, seed=5)
    assert math.exp(-(features[0, 0] - features[0, 1]).square().mean().item()) == 0  # every density underflows
    for keep in (1, 5, 20):
        assert agrees(features, keep)
    assert select_by_cluster(features, 5).tolist() != [[0, 1, 2, 3, 4]] * 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features(dtype: torch.dtype) -> None:
    features = noise(2, 27, 32, seed=6).to(dtype)
    assert torch.equal(select_by_cluster(features, 9), select_by_cluster(features.double(), 9))


def test_autocast_does_not_reach_the_distances() -> None:
    features = noise(2, 243, 32, seed=7)
    kept = select_by_cluster(features, 81)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (features @ features.mT).dtype == torch.bfloat16  # autocast is on
        assert torch.equal(select_by_cluster(features, 81), kept)


def test_the_input_is_left_alone() -> None:
    features = noise(2, 9, 4)
    before = features.clone()
    select_by_cluster(features, 3, torch.zeros(2, 9, dtype=torch.bool))
    assert torch.equal(features, before)


# Attention, motion, uniform


def marked(batch: int, count: int, *always: int) -> Tensor:
    """The mask (batch, count) of frames that must stay."""
    return torch.isin(torch.arange(count), torch.tensor(always)).expand(batch, -1)


def test_attention_keeps_the_largest_scores_and_of_equal_ones_the_earlier() -> None:
    scores = torch.tensor([[0.1, 0.4, 0.1, 0.3, 0.1], [0.2, 0.2, 0.2, 0.2, 0.2]], requires_grad=True)
    assert select_by_attention(scores, 3).tolist() == [[0, 1, 3], [0, 1, 2]]
    assert select_by_attention(scores, 2, marked(2, 5, 4)).tolist() == [[1, 4], [0, 4]]


def test_motion_keeps_the_frames_that_moved_the_most() -> None:
    place = torch.tensor([0.0, 1, 1, 4, 4.5, 2.5])  # of every joint; steps (1), 1, 0, 3, 0.5, 2
    pose = torch.stack([place, torch.zeros(6), noise(6)], dim=-1)[None, :, None].expand(
        1, 6, 17, 3
    )  # the score moves for nothing
    assert select_by_motion(pose, 2).tolist() == [[3, 5]]
    assert select_by_motion(pose, 3).tolist() == [[0, 3, 5]]  # the first frame counts as the second, and comes earlier
    assert select_by_motion(pose, 2, marked(1, 6, 2)).tolist() == [[2, 3]]
    assert select_by_motion(pose[..., :2], 5).tolist() == [[0, 1, 3, 4, 5]]
    assert select_by_motion(pose[:, :1], 1).tolist() == [[0]]
    one = torch.zeros(1, 3, 2, 2)
    one[0, 1:, 0], one[0, 2, 1] = 3.0, 4.0  # the mean over joints of distances, not the distance of the mean
    assert select_by_motion(one, 1).tolist() == [[2]]


@pytest.mark.parametrize("frames", [1, 2, 3, 9, 27, 243, 351])
def test_uniform_is_linear_sampling_with_both_ends(frames: int) -> None:
    x = noise(2, frames, 1)
    for keep in range(1, frames + 1):
        kept = select_by_uniform(x, keep)
        assert kept.shape == (2, keep)
        assert (kept.diff(dim=1) > 0).all()
        ideal = (
            torch.linspace(0, frames - 1, keep, dtype=torch.float64) if keep > 1 else torch.tensor([(frames - 1) // 2])
        )
        assert (kept - ideal).abs().max() <= 0.5 + 1e-9
        if frames % 2 and keep % 2:
            assert (kept == frames // 2).any(dim=1).all()
    assert select_by_uniform(x, frames).tolist() == [list(range(frames))] * 2


def test_uniform_makes_room_for_frames_that_must_stay() -> None:
    x = noise(2, 13, 1)
    assert select_by_uniform(x, 4).tolist() == [[0, 4, 8, 12]] * 2
    assert select_by_uniform(x, 4, marked(2, 13, 7)).tolist() == [[0, 4, 7, 12]] * 2
    assert select_by_uniform(x, 4, marked(2, 13, 8)).tolist() == [[0, 4, 8, 12]] * 2
    assert select_by_uniform(x, 1, marked(2, 13, 2)).tolist() == [[2]] * 2
    assert select_by_uniform(x, 4, torch.cat([marked(1, 13, 6), marked(1, 13)])).tolist() == [
        [0, 4, 6, 12],
        [0, 4, 8, 12],
    ]  # 4 and 8 are as near: the earlier stays


@pytest.mark.parametrize("select", SELECTORS)
def test_every_selector(select: str) -> None:
    """Sorted unique whole numbers, no gradient, protected frames stay, each sequence by itself, the same under
    autocast.
    """
    seen = noise(4, 27, 5, 2, seed=8)
    seen = {"cluster": seen.flatten(2), "attention": seen[:, :, 0, 0]}.get(select, seen).requires_grad_()
    choose, always = SELECTORS[select], marked(4, 27, 13, 20)
    for keep in (2, 9, 26, 27):
        for mask in (None, always):
            kept = choose(seen, keep, mask)
            assert (kept.shape, kept.dtype, kept.requires_grad) == ((4, keep), torch.int64, False)
            assert (kept.diff(dim=1) > 0).all()
            assert kept.min() >= 0
            assert kept.max() < 27
            assert mask is None or (kept[:, :, None] == torch.tensor([13, 20])).any(dim=1).all()
            assert torch.equal(
                torch.cat([choose(one[None], keep, None if mask is None else mask[:1]) for one in seen]), kept
            )
            with torch.autocast("cpu", dtype=torch.bfloat16):
                assert torch.equal(choose(seen, keep, mask), kept)


@pytest.mark.parametrize("tail", [(), (4,), (17, 3), (17, 4, 2)])
def test_gather_frames_takes_rows_of_time(tail: tuple[int, ...]) -> None:
    x, frames = noise(2, 9, *tail), torch.tensor([[0, 3, 8], [1, 2, 7]])
    gathered = gather_frames(x, frames)
    assert gathered.shape == (2, 3, *tail)
    for b in range(2):
        for row, frame in enumerate(frames[b].tolist()):
            assert torch.equal(gathered[b, row], x[b, frame])
    assert torch.equal(gather_frames(x, torch.arange(9).expand(2, -1)), x)


def test_gather_frames_of_masks_and_gradients() -> None:
    frames = torch.tensor([[0, 2], [1, 2]])
    mask = torch.tensor([[True, False, False], [False, True, True]])
    assert gather_frames(mask, frames).tolist() == [[True, False], [True, True]]
    x = torch.ones(2, 3, 5, requires_grad=True)
    gather_frames(x, frames).sum().backward()
    assert x.grad[..., 0].tolist() == [[1, 0, 1], [0, 1, 1]]


# Recovering


def naive_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Multi-head attention of q (N, C) over k, v (M, C), a head at a time."""
    size, parts = q.shape[-1] // heads, []
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        weights = (torch.einsum("nc,mc->nm", q[:, part], k[:, part]) / math.sqrt(size)).softmax(dim=-1)
        parts.append(weights @ v[:, part])
    return torch.cat(parts, dim=-1)


@pytest.mark.parametrize("qkv_bias", [True, False])
def test_recovering_attention_joint_by_joint(qkv_bias: bool) -> None:
    torch.manual_seed(0)
    attention = CrossAttention(16, heads=4, qkv_bias=qkv_bias).double()
    assert (attention.linear_q.bias is not None) == qkv_bias
    tokens, queries = noise(2, 5, 7, 16).double(), noise(1, 9, 16, seed=1).double()
    recovered = recover_by_attention(tokens, queries, attention)
    assert recovered.shape == (2, 9, 7, 16)
    for b in range(2):
        for joint in range(7):
            kept = tokens[b, :, joint]
            mixed = naive_attention(
                attention.linear_q(queries[0]), attention.linear_k(kept), attention.linear_v(kept), heads=4
            )
            torch.testing.assert_close(recovered[b, :, joint], queries[0] + attention.proj(mixed))


def test_recovering_hands_gradients_to_tokens_and_queries() -> None:
    attention = CrossAttention(8, heads=2)
    tokens, queries = noise(2, 3, 4, 8).requires_grad_(), noise(1, 6, 8).requires_grad_()
    recover_by_attention(tokens, queries, attention).square().sum().backward()
    assert (tokens.grad != 0).all()
    assert (queries.grad != 0).all()


def test_interpolation_is_that_of_numpy() -> None:
    frames = torch.tensor([[0, 2, 3, 8], [1, 4, 5, 6]])  # the second ends before the window does
    pose = noise(2, 4, 17, 3).double()
    recovered = recover_by_interpolation(pose, frames, 9)
    assert recovered.shape == (2, 9, 17, 3)
    for b in range(2):
        for joint in range(17):
            for axis in range(3):
                expected = np.interp(np.arange(9), frames[b].numpy(), pose[b, :, joint, axis].numpy())
                np.testing.assert_allclose(recovered[b, :, joint, axis].numpy(), expected, atol=1e-12)


def test_nearest_takes_the_earlier_of_two() -> None:
    frames = torch.tensor([[0, 2, 3, 8], [1, 4, 5, 7]])
    pose = frames[..., None, None].expand(-1, -1, 2, 3).float()
    recovered = recover_by_nearest(pose, frames, 9)
    assert recovered.shape == (2, 9, 2, 3)
    assert recovered[..., 1, 2].tolist() == [[0, 0, 2, 3, 3, 3, 8, 8, 8], [1, 1, 1, 4, 4, 5, 5, 7, 7]]


@pytest.mark.parametrize("recover", [recover_by_interpolation, recover_by_nearest])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_kept_poses_come_back_to_the_bit(recover: Callable, dtype: torch.dtype) -> None:
    pose, frames = (1e3 * noise(3, 4, 17, 3)).to(dtype), torch.tensor([[0, 3, 4, 10], [1, 2, 5, 9], [7, 8, 9, 10]])
    assert torch.equal(gather_frames(recover(pose, frames, 11), frames), pose)
    every = torch.arange(4).expand(3, -1)
    assert torch.equal(recover(pose, every, 4), pose)
    one = recover(pose[:, :1], frames[:, :1], 11)
    assert torch.equal(one, pose[:, :1].expand_as(one))
    assert recover(pose, frames, 11).dtype == dtype


@pytest.mark.parametrize("recover", [recover_by_interpolation, recover_by_nearest])
def test_every_kept_pose_gets_a_gradient(recover: Callable) -> None:
    pose = noise(2, 3, 4, 3).requires_grad_()
    recover(pose, torch.tensor([[0, 4, 6], [2, 3, 5]]), 7).sum().backward()
    assert (pose.grad > 0).all()
    assert pose.grad.sum().item() == pytest.approx(2 * 7 * 4 * 3)


# Layers


@pytest.mark.parametrize("axis", [TIME, SPACE])
def test_attend_equals_softmax_of_products(axis: int) -> None:
    q, k, v = (noise(2, 5, 6, 12, seed=seed).double() for seed in range(3))
    result = attend(q, k, v, heads=3, axis=axis)
    heads = [t.reshape(2, 5, 6, 3, 4) for t in (q, k, v)]
    if axis == TIME:
        weights = (torch.einsum("bfshc,bgshc->bshfg", *heads[:2]) / 2).softmax(dim=-1)
        expected = torch.einsum("bshfg,bgshc->bfshc", weights, heads[2])
    else:
        weights = (torch.einsum("bfshc,bfthc->bfhst", *heads[:2]) / 2).softmax(dim=-1)
        expected = torch.einsum("bfhst,bfthc->bfshc", weights, heads[2])
    torch.testing.assert_close(result, expected.reshape(2, 5, 6, 12))


def test_attend_from_few_to_many() -> None:
    q, k, v = noise(2, 3, 4, 8), noise(2, 7, 4, 8, seed=1), noise(2, 7, 4, 8, seed=2)
    result = attend(q, k, v, heads=2, axis=TIME)
    assert result.shape == q.shape
    for b in range(2):
        for s in range(4):
            torch.testing.assert_close(result[b, :, s], naive_attention(q[b, :, s], k[b, :, s], v[b, :, s], heads=2))


def test_attention_of_a_plain_sequence() -> None:
    torch.manual_seed(0)
    attention, x = Attention(8, heads=2).double(), noise(3, 5, 8).double()
    q, k, v = attention.qkv(x).split(8, dim=-1)
    expected = torch.stack([naive_attention(q[b], k[b], v[b], heads=2) for b in range(3)])
    torch.testing.assert_close(attention(x, axis=1), attention.proj(expected))
    torch.testing.assert_close(attention(x[:, :, None], TIME)[:, :, 0], attention(x, axis=1))


@pytest.mark.parametrize(("axis", "rows"), [(SPACE, (64, 50, 1, 1)), (TIME, (64, 1, 17, 1)), (None, (64, 1, 1, 1))])
def test_drop_path_draws_one_number_per_row(axis: int | None, rows: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    drop, x = DropPath(0.25), 1 + noise(64, 50, 17, 2).abs()
    factor = drop(x, axis) / x
    first = factor[tuple(slice(0, n if n > 1 else 1) for n in rows)]  # one number for each row
    assert first.shape == rows
    torch.testing.assert_close(factor, first.expand_as(factor))
    values = torch.unique(first.round(decimals=4))
    torch.testing.assert_close(values, torch.tensor([0.0, 4 / 3]), atol=1e-4, rtol=0)
    assert abs((first == 0).double().mean().item() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / first.numel())


def test_drop_path_keeps_the_expectation() -> None:
    torch.manual_seed(0)
    assert DropPath(0.2)(torch.ones(40000, 2)).mean().item() == pytest.approx(1, abs=0.01)


def test_drop_path_does_nothing_in_evaluation_or_at_rate_zero() -> None:
    x = noise(8, 3, 4, 2)
    assert torch.equal(DropPath(0.9).eval()(x, SPACE), x)
    assert torch.equal(DropPath(0.0).train()(x, SPACE), x)


@pytest.mark.parametrize(("axis", "shape"), [(SPACE, (16, 9)), (TIME, (16, 5))])
def test_block_drops_rows_of_its_attention_axis(axis: int, shape: tuple[int, int]) -> None:
    """Spatial attention: a row is a frame (B, F); temporal attention: a joint (B, J)."""
    torch.manual_seed(0)
    block, x = Block(8, 16, heads=2, drop_path=0.5), noise(16, 9, 5, 8)
    same = (block(x, axis) == x).all(dim=(axis, 3))  # both branches dropped
    assert same.shape == shape
    assert 0.1 < same.double().mean().item() < 0.4  # a quarter
    moved = (block(x, axis) != x).any(dim=3)  # (B, F, S): the rows are dropped whole
    assert torch.equal(moved, moved.any(dim=axis, keepdim=True).expand_as(moved))


def test_fuse_weighs_both_streams() -> None:
    weigh = torch.nn.Linear(8, 2)
    first, second = noise(2, 3, 4, seed=1), noise(2, 3, 4, seed=2)
    torch.nn.init.zeros_(weigh.weight)
    torch.nn.init.constant_(weigh.bias, 0.5)
    torch.testing.assert_close(fuse(first, second, weigh), (first + second) / 2)
    with torch.no_grad():
        weigh.weight[0, 0] = 1.0  # the first stream weighs more where its first channel is large
    alpha = torch.sigmoid(first[..., :1])
    torch.testing.assert_close(fuse(first, second, weigh), alpha * first + (1 - alpha) * second)
