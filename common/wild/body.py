"""Changes to motion and to bodies that leave both possible: poses (B, F, 17, 3) metres, world with y up, unless said.

Most work on bones (B, F, 17, 3): the vector from a joint's parent to the joint; the root's is its place in the world.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from common.geometry.skeleton import H36M
from common.wild.draw import Draw
from common.wild.motion import MotionBank
from common.wild.options import Wild

HEIGHT = 1.64
"""Ankle to crown of an adult 1.72 m tall, metres: the person that in-the-wild weights speak of."""
ADULT = 1.72

# Mean lengths of the bones of adults on these joints, metres, by joint (the bone that ends there).
BONES = (
    0,
    0.128,
    0.445,
    0.440,
    0.128,
    0.445,
    0.440,
    0.240,
    0.253,
    0.120,
    0.115,
    0.155,
    0.283,
    0.250,
    0.155,
    0.283,
    0.250,
)
PARENTS = torch.tensor(H36M.parents)
LEGS, ARMS = ((1, 2, 3), (4, 5, 6)), ((14, 15, 16), (11, 12, 13))  # right, left
LIMBS = LEGS + ARMS
GROUPS = ((2, 3, 5, 6), (7, 8, 9, 10), (12, 13, 15, 16), (1, 4, 11, 14))  # legs, trunk, arms, widths

# Where the axes of pelvis and chest come from: left, right, low, high.
PELVIS, CHEST = (4, 1, 0, 7), (11, 14, 7, 8)

# What turns with a joint that is bent, which way it may go, and by how many degrees: trunk, head, then the limbs.
TRUNK = {7: ((8, 9, 10, 11, 12, 13, 14, 15, 16), 7.0), 8: ((9, 10), 12.0)}
BALLS = {1: 8.0, 4: 8.0, 14: 18.0, 11: 18.0}
# The direction of a thigh or an upper arm in the axes of pelvis or chest: how far it may point inward and backward.
INWARD, BACKWARD = {1: -0.5, 4: -0.5, 14: -0.7, 11: -0.7}, {1: -0.6, 4: -0.6, 14: -0.85, 11: -0.85}
HINGES = ((2, 3), (5, 6), (15, 16), (12, 13))  # bones above and below: right knee, left knee, right elbow, left elbow
MOST_BENT = 2.6
"""Radians of a knee or an elbow, 0 when it is straight."""


def _ancestors() -> Tensor:
    """(17, 17): 1 where the second joint lies between the root and the first, or is it."""
    table = torch.eye(17)
    for joint, parent in H36M.bones:
        table[joint] += table[parent]
    return table


ANCESTORS = _ancestors()


def unit(vector: Tensor) -> Tensor:
    """Vectors (..., 3) at length 1."""
    return vector / vector.norm(dim=-1, keepdim=True).clamp(min=1e-6)


def bones_of(pose: Tensor) -> Tensor:
    """Poses -> bones (B, F, 17, 3)."""
    return torch.cat([pose[..., :1, :], pose[..., 1:, :] - pose[..., PARENTS[1:], :]], dim=-2)


def joints_of(bones: Tensor) -> Tensor:
    """Bones (B, F, 17, 3) -> poses."""
    return ANCESTORS.to(bones.device) @ bones


def axes_of(pose: Tensor, which: tuple[int, int, int, int]) -> Tensor:
    """The axes of PELVIS or CHEST (B, F, 3, 3): columns to the person's left, up along the spine, and forward."""
    left, right, low, high = (pose[..., joint, :] for joint in which)
    across = unit(left - right)
    ahead = unit(torch.linalg.cross(across, high - low))
    return torch.stack([across, torch.linalg.cross(ahead, across), ahead], dim=-1)


def draw_motion(
    bank: MotionBank, clip: Tensor, centre: Tensor, frames: int, fps: float, wild: Wild, draw: Draw
) -> Tensor:
    """Windows (B, F, 17, 3) at `fps` around frame `centre` (B,) of clips (B,): other speeds, bodies recombined, limbs
    bent, bones redrawn, mirrored. The root goes where the clip has it.
    """
    count = len(clip)
    slow = draw.chance(wild.slow, count)

    def cut(clip: Tensor, centre: Tensor) -> Tensor:
        speed = draw.ratio(*wild.speed, count) * (bank.fps / fps)
        speed = torch.where(slow, speed * draw.uniform(0, 0.2, count), speed)
        return bank.cut(clip, centre, torch.where(draw.chance(wild.reversed, count), -speed, speed), frames)

    pose = cut(clip, centre)
    if wild.slow or wild.recombined or wild.limbs:
        other = cut(*bank.place(draw.uniform(0, 1, count)))
        rows = slow.nonzero()[:, 0]
        pose[rows] = on_the_way(pose[rows], other[rows], fps, draw)
        rows = (~slow & draw.chance(wild.recombined, count)).nonzero()[:, 0]
        pose[rows] = recombine(pose[rows], other[rows])
        rows = draw.chosen(wild.limbs, count)
        pose[rows] = transplant(pose[rows], other[rows], draw)
    rows = draw.chosen(wild.bent, count)
    pose[rows] = bend(pose[rows], fps, draw)
    rows = draw.chosen(wild.flexed, count)
    pose[rows] = flex(pose[rows], fps, draw)
    own = bank.own_bones[clip] & draw.chance(wild.own_bones, count)
    pose = redraw_bones(pose, own, wild, draw)
    rows = draw.chosen(wild.mirrored, count)
    pose[rows] = pose[rows][:, :, list(H36M.mirrored)] * torch.tensor([-1.0, 1, 1], device=pose.device)
    return pose


def heading(pose: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine (B, F, 1) of the turn about the vertical after which the hips of `other` face as those of
    `pose`.
    """
    ax, az, bx, bz = (p[:, :, 1, axis] - p[:, :, 4, axis] for p in (pose, other) for axis in (0, 2))
    cos, sin = ax * bx + az * bz, az * bx - ax * bz
    size = torch.hypot(cos, sin).clamp(min=1e-9)
    return (cos / size)[..., None], (sin / size)[..., None]


def turn_upright(points: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Points (B, F, n, 3) turned about the vertical."""
    x, y, z = points.unbind(-1)
    return torch.stack([x * cos - z * sin, y, z * cos + x * sin], dim=-1)


def recombine(lower: Tensor, upper: Tensor) -> Tensor:
    """The hips and legs of one motion with the upper body of another, which is turned about the vertical so that its
    hips face the same way in every frame.
    """
    body = turn_upright(upper[:, :, 7:] - upper[:, :, :1], *heading(lower, upper))  # (B, F, 10, 3)
    return torch.cat([lower[:, :, :7], lower[:, :, :1] + body], dim=2)


def transplant(pose: Tensor, donor: Tensor, draw: Draw) -> Tensor:
    """Both arms, one arm or both legs of another motion, as they stand to its chest or pelvis."""
    pose, which = (
        pose.clone(),
        draw.pick((0.35, 0.15, 0.15, 0.35), len(pose)),
    )  # both arms, right arm, left arm, both legs
    for limbs, part, chosen in ((ARMS, CHEST, ((0, 1), (0, 2))), (LEGS, PELVIS, ((3,), (3,)))):
        turn = axes_of(pose, part) @ axes_of(donor, part).mT  # (B, F, 3, 3)
        for (root, *moved), kinds in zip(limbs, chosen, strict=True):
            here = torch.stack([which == kind for kind in kinds]).any(dim=0)[:, None, None, None]  # (B, 1, 1, 1)
            limb = pose[:, :, root, None] + (donor[:, :, moved] - donor[:, :, root, None]) @ turn.mT  # (B, F, 2, 3)
            pose[:, :, moved] = torch.where(here, limb, pose[:, :, moved])
    return pose


def on_the_way(pose: Tensor, other: Tensor, fps: float, draw: Draw) -> Tensor:
    """From the one motion's pose to the other's, or some part of the way, or nothing: bones turn there along great
    circles.
    """
    count, frames = pose.shape[:2]
    share = draw.uniform(0, 1, 2, count, 1)  # where it begins and ends
    seconds, begin = draw.uniform(0.6, 4.0, count, 1), draw.uniform(-1, 1, count, 1)
    time = (torch.arange(frames, device=pose.device) - frames / 2) / fps
    ease = ((time - begin) / seconds + 0.5).clamp(0, 1)  # (B, F)
    way = (share[0] + (share[1] - share[0]) * ease * ease * (3 - 2 * ease))[..., None, None]  # (B, F, 1, 1)
    one = bones_of(pose)
    two = turn_upright(bones_of(other)[:, :, 1:], *heading(pose, other))
    two = unit(torch.cat([one[:, :, :1], two], dim=2))
    from_, length = unit(one), one.norm(dim=-1, keepdim=True)
    cos = (from_ * two).sum(-1, keepdim=True).clamp(-1, 1)
    ahead = axes_of(pose, CHEST)[:, :, None, :, 2]  # (B, F, 1, 3): the way round where both are opposite
    side = two + 0.1 * ahead
    side = unit(side - (side * from_).sum(-1, keepdim=True) * from_)
    angle = way * torch.acos(cos)
    bones = length * (angle.cos() * from_ + angle.sin() * side)
    bones[:, :, 0] = one[:, :, 0]
    return joints_of(keep_hinges(bones))


def fronts(bones: Tensor) -> Tensor:
    """The side of each bone above HINGES on which the joint does not fold (B, F, 4, 3): the front of thighs, the back
    of upper arms.

    It gets shorter, down to 0, the less one can tell.
    """
    pose = joints_of(bones)
    pelvis, chest = axes_of(pose, PELVIS), axes_of(pose, CHEST)
    thighs, arms = unit(bones[:, :, [2, 5]]), unit(bones[:, :, [15, 12]])
    knees = torch.linalg.cross(-pelvis[:, :, None, :, 0].expand_as(thighs), thighs)  # left x (- thigh)
    back = -chest[:, :, None, :, 2].expand_as(arms)
    back = back - (back * arms).sum(-1, keepdim=True) * arms
    raised = (
        (arms * chest[:, :, None, :, 1]).sum(-1, keepdim=True).clamp(min=0)
    )  # a raised arm's hand goes behind the head
    return torch.cat([knees, back * (1 - raised)], dim=2)


def keep_hinges(bones: Tensor) -> Tensor:
    """Bones (B, F, 17, 3) whose knees and elbows do not bend backwards."""
    front = fronts(bones)  # (B, F, 4, 3)
    above, below = (bones[:, :, [pair[end] for pair in HINGES]] for end in (0, 1))
    length, below, ahead = below.norm(dim=-1, keepdim=True), unit(below), unit(front)
    part = (below * ahead).sum(-1, keepdim=True)  # (B, F, 4, 1) how far it points to the wrong side
    most = 0.15 / front.norm(dim=-1, keepdim=True).clamp(min=0.15)  # a little is within how hips and shoulders turn
    rest = unit(below - part * ahead + 1e-3 * unit(above))
    right = most * ahead + (1 - most * most).sqrt() * rest
    bones = bones.clone()
    bones[:, :, [pair[1] for pair in HINGES]] = length * torch.where(part > most, right, below)
    return bones


def waves(degrees: Tensor, fps: float, frames: int, draw: Draw) -> Tensor:
    """Slow angles around 0, radians (B, F, n): one that stays and one that swings, each of standard deviation `degrees`
    (B, n).
    """
    count, n = degrees.shape
    still, swing = torch.deg2rad(degrees) * draw.normal(2, count, n)
    time = torch.arange(frames, device=degrees.device)[None, :, None] / fps
    cycles = draw.uniform(0.2, 1.5, count, 1, n) * time + draw.uniform(0, 1, count, 1, n)  # (B, F, n)
    return still[:, None] + swing[:, None] * torch.sin(2 * math.pi * cycles)


def rotations(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotations (B, F, n, 3, 3) about unit axes (B, n, 3) by angles (B, F, n), radians (Rodrigues)."""
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).view(*x.shape, 3, 3)[
        :, None
    ]  # (B, 1, n, 3, 3)
    sin, cos = angle.sin()[..., None, None], angle.cos()[..., None, None]
    return torch.eye(3, device=axis.device) + sin * cross + (1 - cos) * (cross @ cross)


def bend(pose: Tensor, fps: float, draw: Draw) -> Tensor:
    """Turn trunk, head, shoulders and hips about random axes by slow waves of some degrees.

    A limb that would come to where no shoulder or hip lets it go stays as it was through the window.
    """
    count, frames = pose.shape[:2]
    bones = bones_of(pose)
    joints = [*TRUNK, *BALLS]
    degrees = torch.tensor([*(spread for _, spread in TRUNK.values()), *BALLS.values()], device=pose.device).expand(
        count, -1
    )
    turn = rotations(draw.direction(count, len(joints)), waves(degrees, fps, frames, draw))  # (B, F, 6, 3, 3)
    parts = {PELVIS: axes_of(pose, PELVIS), CHEST: axes_of(pose, CHEST)}
    for number, joint in enumerate(joints):
        rotation = turn[:, :, number]
        if joint in BALLS:
            moved = [joint + 1, joint + 2]
            axes = parts[PELVIS if joint < 7 else CHEST]
            outward = torch.tensor([-1.0 if joint in H36M.right else 1.0, 0.0, 0.0], device=pose.device)
            was = unit(bones[:, :, joint + 1])[:, :, None] @ axes  # (B, F, 1, 3)
            now = (rotation @ unit(bones[:, :, joint + 1])[..., None]).mT @ axes
            bad = torch.zeros(count, dtype=torch.bool, device=pose.device)
            for direction, limit in (
                (outward, INWARD[joint]),
                (torch.tensor([0.0, 0, 1], device=pose.device), BACKWARD[joint]),
            ):
                before, after = (was @ direction)[..., 0], (now @ direction)[..., 0]  # (B, F)
                bad |= (after < before.clamp(max=limit)).any(dim=1)
            rotation = torch.where(bad[:, None, None, None], torch.eye(3, device=pose.device), rotation)
        else:
            moved = list(TRUNK[joint][0])
        bones[:, :, moved] = bones[:, :, moved] @ rotation.mT
    return joints_of(bones)


def flex(pose: Tensor, fps: float, draw: Draw) -> Tensor:
    """Bend elbows and knees more or less, in the plane in which they are bent; straight ones fold to their own side."""
    count, frames = pose.shape[:2]
    bones = bones_of(pose)
    above, below = (bones[:, :, [pair[end] for pair in HINGES]] for end in (0, 1))  # (B, F, 4, 3)
    length, above, below = below.norm(dim=-1, keepdim=True), unit(above), unit(below)
    cos = (above * below).sum(-1, keepdim=True)  # (B, F, 4, 1)
    across = below - cos * above
    angle = torch.atan2(across.norm(dim=-1, keepdim=True), cos)
    side = across - 0.1 * fronts(bones)
    side = unit(side - (side * above).sum(-1, keepdim=True) * above)
    more = waves(torch.full((count, 4), 14.0, device=pose.device), fps, frames, draw)[..., None]  # (B, F, 4, 1)
    wanted = angle * draw.ratio(0.7, 1.4, count, 1, 4, 1) + more
    wanted = torch.minimum(wanted.clamp(min=0), angle.clamp(min=MOST_BENT))
    bones[:, :, [pair[1] for pair in HINGES]] = length * (wanted.cos() * above + wanted.sin() * side)
    return joints_of(bones)


def redraw_bones(pose: Tensor, own: Tensor, wild: Wild, draw: Draw) -> Tensor:
    """Give each window another body: lengths around BONES, left as right; where `own` (B,), it stays as it is."""
    count, device = len(pose), pose.device
    bones = bones_of(pose)
    length = bones.norm(dim=-1).mean(dim=1)  # (B, 17); of the root: nothing
    spread = torch.full((count, 17), 1.0, device=device)
    drawn = 1 + wild.bone_spread[1] * draw.normal(count, 17).clamp(-2.5, 2.5)
    for number, group in enumerate(GROUPS):
        wide = wild.build_spread * (2 if number == 3 else 1)
        spread[:, list(group)] = 1 + wide * draw.normal(count, 1).clamp(-2, 2)
    drawn = drawn * spread
    drawn[:, list(H36M.right)] = drawn[:, list(H36M.left)]
    size = 1 + wild.bone_spread[0] * draw.normal(count, 1).clamp(-2.5, 2.5)
    low, high = (metres / ADULT for metres in wild.tall)
    size = torch.where(draw.chance(wild.sizes, count, 1), draw.uniform(low, high, count, 1), size)
    wanted = torch.tensor(BONES, device=device) * drawn * size
    ratio = torch.where(own[:, None], 1, wanted / length.clamp(min=1e-6))  # (B, 17)
    ratio[:, 0] = torch.where(own, 1, ratio[:, [2, 3, 5, 6]].mean(dim=1))  # who has longer legs goes further
    return joints_of(bones * ratio[:, None, :, None])
