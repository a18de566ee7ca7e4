"""What a 2D detector makes of people in camera space: the errors of `common.wild.detector_noise`, and worse.

Time is the second axis of everything: poses (B, F, 17, 3) metres, pixels (B, F, 17, 2), scores (B, F, 17).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from common.geometry.box import box_of
from common.geometry.skeleton import H36M
from common.geometry.windows import catmull_rom
from common.wild import detector_noise as noise
from common.wild.body import LEGS, LIMBS, rotations, unit
from common.wild.draw import Draw
from common.wild.options import Wild

MIRRORED = list(H36M.mirrored)
EVERYONE = tuple(range(17))


def observe(pose: Tensor, size: Tensor, focal: Tensor, fps: float, wild: Wild, draw: Draw) -> Tensor:
    """Camera-space poses at `fps`, in pictures of `size` (B, 2) and focal lengths (B,) pixels -> pixels and scores (B,
    F, 17, 3).

    Errors are in units of the person's height in the picture.
    """
    rate = fps
    if wild.film and draw.chance(wild.film).item():
        rate = draw.ratio(*wild.film_fps).item()
    if rate == fps:
        return detect(pose, size, focal, fps, wild, draw)
    to_film, from_film = film_weights(pose.shape[1], fps, rate, pose.device)
    film = torch.einsum("gf,bfjc->bgjc", to_film, pose)  # (B, G, 17, 3)
    return resample(detect(film, size, focal, rate, wild, draw), from_film)


def film_weights(frames: int, fps: float, rate: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Weights (G, F) that take `frames` frames at `fps` to the G frames of a film of frame rate `rate` over the same
    time, by Catmull-Rom splines, and (F, G) that bring its 2D back as `lifting.resample_2d` does.
    """
    count = max(2, math.floor((frames - 1) * rate / fps) + 1)
    step = fps / rate if count > 2 else frames - 1
    time = torch.arange(count, device=device) * step
    time = (time + (frames - 1 - time[-1]) / 2).clamp(0, frames - 1)  # (G,) frames
    left = time.long().clamp(max=max(frames - 2, 0))
    to_film = torch.zeros(count, frames, device=device)
    for offset, weight in zip((-1, 0, 1, 2), catmull_rom(time - left), strict=True):
        column = (left + offset).clamp(0, frames - 1)[:, None]
        to_film.scatter_add_(1, column, weight[:, None])
    wanted = torch.arange(frames, device=device).clamp(time[0], time[-1])  # (F,)
    width = max(step, 1.0)
    from_film = (1 - (wanted[:, None] - time).abs() / width).clamp(min=0)  # (F, G)
    return to_film, from_film / from_film.sum(dim=1, keepdim=True)


def resample(seen: Tensor, weights: Tensor) -> Tensor:
    """Pixels and scores (B, G, 17, 3) -> (B, F, 17, 3) by weights (F, G); joints of score 0 take no part, unless there
    are no others.
    """
    found = (seen[..., 2:] > 0).float()
    parts = torch.cat([seen[..., :2], seen * found, found], dim=-1)  # (B, G, 17, 6)
    plain, found, score, share = torch.einsum("fg,bgjc->bfjc", weights, parts).split((2, 2, 1, 1), dim=-1)
    some = share > 1e-4
    return torch.cat([torch.where(some, found / share.clamp(min=1e-4), plain), torch.where(some, score, 0.0)], dim=-1)


def project(pose: Tensor, focal: Tensor) -> Tensor:
    """Pixels from the picture's centre."""
    return pose[..., :2] / pose[..., 2:].clamp(min=0.1) * focal[:, None, None, None]


def detect(pose: Tensor, size: Tensor, focal: Tensor, fps: float, wild: Wild, draw: Draw) -> Tensor:
    """`observe` for a film of frame rate `fps`."""
    count, frames = pose.shape[:2]
    true = project(pose, focal)
    height = box_of(true)[1].clamp(min=1e-3)[:, None, None]  # (B, 1, 1)
    meant = other_definitions(pose, wild.definitions, draw) if wild.definitions else pose
    seen = project(meant, focal)
    doubt = torch.ones(count, frames, 17, device=pose.device)  # what scores are multiplied by
    if wild.astray:
        seen, doubt = go_astray(meant, seen, doubt, focal, fps, wild.astray, draw)
    seen, doubt = swap_sides(seen, doubt, fps, wild.swapped, draw)

    level = draw.ratio(*wild.noise, count, 1, 1, 1) * draw.ratio(*wild.uneven, count, 1, 17, 1)
    error = level * noise.residual((count, frames, 17, 2), fps, draw)
    error = error + noise.outliers((count, frames, 17), fps, draw)
    seen = seen + height[..., None] * error
    score = noise.score(error, draw) * doubt

    if wild.frozen:
        seen, score = freeze(seen, score, fps, wild.frozen, draw)
    gone = torch.zeros(score.shape, dtype=torch.bool, device=pose.device)
    if wild.missing:
        lost = noise.spells(wild.missing, (0.1, 2.0), frames, fps, draw, count)[..., None]  # (B, F, 1)
        gone = (
            lost & torch.where(draw.chance(0.5, count, 1), one_limb(draw, count), draw.chance(0.12, count, 17))[:, None]
        )
    if wild.cut:
        gone, seen, score = cut_by_edge(gone, seen, score, height, wild, draw)
    curved = draw.chance(wild.score_curve, count, 1, 1)
    score = score.clamp(0.05, 1) ** torch.where(curved, draw.uniform(0.5, 2.5, count, 1, 1), 1.0)
    score = torch.where(draw.chance(wild.unscored, count, 1, 1), 1.0, score)
    score = torch.where(gone, 0.0, score)

    if wild.followed:
        follows = draw.chance(wild.followed, count) * draw.uniform(0.5, 1.05, count)
        seen = seen - follows[:, None, None, None] * (true[:, :, :1] - true[:, frames // 2, None, :1])
    return torch.cat([seen + size[:, None, None] / 2, score[..., None]], dim=-1)


def other_definitions(pose: Tensor, chance: float, draw: Draw) -> Tensor:
    """Where a detector that means other points by the joints would see them, with `chance`.

    Constant offsets in the axes of the pelvis and of the shoulders: hips apart and up, shoulders, thorax, nose and
    head.
    """
    count = len(pose)
    chosen = draw.chance(chance, count, 1, 1)
    up = unit(pose[:, :, 8] - pose[:, :, 0])  # (B, F, 3)
    moved = pose.clone()

    def offset(spread: float) -> Tensor:
        return spread * draw.normal(count, 1, 1) * chosen

    for left, right, middle, apart, high in ((4, 1, 0, 0.025, 0.03), (11, 14, 8, 0.02, 0.025)):
        across = unit(pose[:, :, left] - pose[:, :, right])
        wide, raised = offset(apart) * across, offset(high) * up
        moved[:, :, left] += raised + wide
        moved[:, :, right] += raised - wide
        moved[:, :, middle] += raised + offset(0.01) * up
    ahead = torch.linalg.cross(across, up)  # of the shoulders: forward
    for joint, spread in ((7, 0.03), (9, 0.04), (10, 0.04)):
        moved[:, :, joint] += offset(spread) * ahead + offset(spread) * up
    return moved


def doubted(draw: Draw, count: int) -> Tensor:
    """What the scores of wrong joints are multiplied by (count,): little, or 1 where the detector is sure of itself."""
    return torch.where(draw.chance(0.5, count), draw.uniform(0.1, 0.7, count), 1.0)


def go_astray(
    pose: Tensor, seen: Tensor, doubt: Tensor, focal: Tensor, fps: float, chance: float, draw: Draw
) -> tuple[Tensor, Tensor]:
    """For a while, see an arm (or now and then a leg) in a wrong place: where the other one is, mirrored about the
    trunk, shortened, or turned about its shoulder as a whole, so that it looks like a limb of some other pose.
    """
    count, frames = seen.shape[:2]
    strength = noise.soft_spells(chance, (0.15, 4.0), frames, fps, draw, count)[..., None]  # (B, F, 1)
    which, kind = draw.pick((0.12, 0.12, 0.38, 0.38), count), draw.pick((0.25, 0.2, 0.25, 0.3), count)
    joints = torch.tensor(LIMBS, device=pose.device)[which]  # (B, 3)
    twins = torch.tensor(LIMBS, device=pose.device)[which ^ 1]  # (B, 3)

    def limb(numbers: Tensor) -> Tensor:
        return pose.gather(2, numbers[:, None, :, None].expand(-1, frames, -1, 3))  # (B, F, 3, 3)

    own, other = limb(joints), limb(twins)
    root, relative = own[:, :, :1], own[:, :, 1:] - own[:, :, :1]
    across = unit(root - other[:, :, :1])
    mirrored = relative - 2 * (relative * across).sum(-1, keepdim=True) * across
    turn = rotations(draw.direction(count, 1), draw.uniform(0.4, 2.2, count, 1, 1))[:, :, 0]  # (B, 1, 3, 3)
    shorter = draw.uniform(0.1, 0.8, count, 1, 1, 1) * relative
    places = torch.stack([other[:, :, 1:] - root, mirrored, shorter, relative @ turn.mT])  # (4, B, F, 2, 3)
    wrong = root + places[kind, torch.arange(count, device=kind.device)]
    away = project(wrong, focal) - project(own[:, :, 1:], focal)  # (B, F, 2, 2)
    ends = joints[:, None, 1:, None].expand(-1, frames, -1, 2)  # (B, F, 2, 2)
    seen = seen.scatter_add(2, ends, away * strength[..., None])
    lower = 1 + (doubted(draw, count)[:, None, None] - 1) * strength  # (B, F, 1)
    return seen, doubt.scatter(2, ends[..., 0], lower.expand(-1, -1, 2))


def swap_sides(seen: Tensor, doubt: Tensor, fps: float, chance: float, draw: Draw) -> tuple[Tensor, Tensor]:
    """Left and right exchanged: of legs or arms for a moment, as the fitted detector does it, and, with `chance`, of
    legs, arms or the whole person for long.
    """
    count, frames = seen.shape[:2]
    swapped = noise.swaps(frames, fps, draw, count)  # (B, F, 17)
    if chance:
        groups = torch.zeros(3, 17, dtype=torch.bool, device=seen.device)
        for number, group in enumerate((*noise.SWAP_GROUPS, EVERYONE)):
            groups[number, list(group)] = True
        long = noise.spells(chance, (0.25, 4.0), frames, fps, draw, count)[..., None]
        long = long & groups[draw.pick((0.35, 0.35, 0.3), count)][:, None]  # (B, F, 17)
        doubt = torch.where(long, doubt * doubted(draw, count)[:, None, None], doubt)
        swapped = swapped ^ long
    return torch.where(swapped[..., None], seen[:, :, MIRRORED], seen), doubt


def one_limb(draw: Draw, count: int) -> Tensor:
    """The joints of an arm or a leg of each window (B, 17)."""
    masks = torch.zeros(len(LIMBS), 17, dtype=torch.bool, device=draw.device)
    for number, joints in enumerate(LIMBS):
        masks[number, list(joints)] = True
    return masks[draw.integer(len(LIMBS), count)]


def freeze(seen: Tensor, score: Tensor, fps: float, chance: float, draw: Draw) -> tuple[Tensor, Tensor]:
    """With `chance`, a limb stays where it was for a while."""
    count, frames = seen.shape[:2]
    held = noise.spells(chance, (0.2, 1.0), frames, fps, draw, count)  # (B, F)
    first = (held.int().argmax(dim=1) - 1).clamp(min=0)  # the frame before the spell
    stuck = seen[torch.arange(count, device=seen.device), first][:, None]  # (B, 1, 17, 2)
    frozen = held[..., None] & one_limb(draw, count)[:, None]  # (B, F, 17)
    lower = score * draw.uniform(0.3, 1.0, count, 1, 1)
    return torch.where(frozen[..., None], stuck, seen), torch.where(frozen, lower, score)


def cut_by_edge(
    gone: Tensor, seen: Tensor, score: Tensor, height: Tensor, wild: Wild, draw: Draw
) -> tuple[Tensor, Tensor, Tensor]:
    """Let the picture's edge cut some people: joints beyond it are missing, or guessed with low scores, along the edge
    or, of legs below it, where those of a standing person are.

    gone (B, F, 17); height (B, 1, 1) pixels. Most often the legs are what is cut.
    """
    count, device = len(score), seen.device
    edge = draw.pick((0.6, 0.1, 0.15, 0.15), count)  # bottom, top, left, right
    vertical = (edge < 2)[:, None, None]
    sign = torch.tensor([1.0, -1, -1, 1], device=device)[edge][:, None, None]
    along = torch.where(vertical, seen[..., 1], seen[..., 0]) * sign  # (B, F, 17), larger is nearer to the edge
    mean = along.mean(dim=1)  # (B, 17)
    low, high = mean.amin(dim=-1), mean.amax(dim=-1)  # (B,)
    border = (low + (high - low) * draw.uniform(0.35, 0.95, count))[:, None, None]
    beyond = (along > border) & draw.chance(wild.cut, count, 1, 1)
    lost, standing = draw.chance(0.4, count, 1, 1), (edge == 0)[:, None, None] & draw.chance(wild.guessed, count, 1, 1)
    squeezed = border + 0.1 * (along - border) + 0.02 * height * draw.normal(*along.shape)
    moved = torch.where(beyond, squeezed, along) * sign
    guess = torch.stack(
        [torch.where(vertical, seen[..., 0], moved), torch.where(vertical, moved, seen[..., 1])], dim=-1
    )
    guess = torch.where((standing & beyond)[..., None], standing_legs(seen, height, draw), guess)
    guessed = beyond & (standing | ~lost)
    seen = torch.where(guessed[..., None], guess, seen)
    score = torch.where(guessed, score * draw.uniform(0.05, 0.6, count, 1, 1), score)
    return gone | (beyond & ~guessed), seen, score


def standing_legs(seen: Tensor, height: Tensor, draw: Draw) -> Tensor:
    """Pixels (B, F, 17, 2) with knees and feet straight under the hips, as far as a standing person of this trunk has
    them.
    """
    count = len(seen)
    trunk = (seen[:, :, 8] - seen[:, :, 0]).norm(dim=-1).mean(dim=1)[:, None, None]  # (B, 1, 1)
    reach = torch.minimum(trunk, height) * draw.uniform(0.6, 1.1, count, 1, 1)
    guess = seen.clone()
    for leg in LEGS:
        for below, joint in enumerate(leg):
            guess[:, :, joint, 0] = seen[:, :, leg[0], 0] + 0.1 * below * reach[..., 0] * draw.normal(count, 1)
            guess[:, :, joint, 1] = seen[:, :, leg[0], 1] + below * reach[..., 0] * draw.uniform(0.85, 1.0, count, 1)
    return guess
