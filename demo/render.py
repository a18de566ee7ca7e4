"""Drawing what the demo found: 2D limbs over the video, and people in a 3D scene beside it. Pictures are BGR.

offsets = place_people(poses_3d, valid, fps)
scene = Scene3D.around(panel_size(picture_size), poses_3d + offsets[:, :, None], valid)
for t in range(frames):
    draw_2d(picture, keypoints_2d[0, t], valid[0, t])
    both = side_by_side(picture, draw_3d(scene, poses_3d[:, t], valid[:, t], offsets[:, t]))
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from common.geometry.skeleton import H36M
from demo.figure import JOINT_RADIUS, LOW_SCORE, SOLE, figure_colours
from demo.scene import SHIFT, Scene3D, bgr, fixed_point

EDGE, MARK, LIGHT_TRUNK = (30, 30, 30), (255, 255, 255), (235, 235, 235)  # BGR
ARC = 16  # corners of the outline at each end of a limb
_JOINTS, _PARENTS = np.array(H36M.bones).T  # (16,) each
_BONE_SIDES = [H36M.sides[joint] for joint in _JOINTS]


# ---- the 2D picture ----


def draw_2d(frame: np.ndarray, keypoints: np.ndarray, valid: bool = True, person: int = 0) -> np.ndarray:
    """Draw one person's limbs over a picture, in place: frame (H, W, 3) uint8 BGR -> the same array.

    keypoints (17, 3): x, y in pixels and the score. A limb is thin where one of its joints has a score below LOW_SCORE,
    and left out where one has a score <= 0 or is not finite. person: who it is, counted from 0, for the colour of the
    trunk; that of the first person is light, to be seen on any picture. Not valid: nothing is drawn.
    """
    if not valid:
        return frame
    keypoints = np.asarray(keypoints, np.float64)
    score = np.where(np.isfinite(keypoints).all(axis=-1), keypoints[:, 2], 0)
    points = fixed_point(np.nan_to_num(keypoints[:, :2])).tolist()  # (17, 2)
    colours = {side: bgr(colour) for side, colour in figure_colours(person).items()}
    if person == 0:
        colours["middle"] = LIGHT_TRUNK
    thick = max(2, round(min(frame.shape[:2]) / 190))
    _draw_limbs(frame, points, score, colours, thick)
    _draw_joints(frame, points, score, thick)
    return frame


def _draw_limbs(
    frame: np.ndarray, points: list[list[int]], score: np.ndarray, colours: dict[str, tuple[int, int, int]], thick: int
) -> None:
    thin = max(1, round(thick / 2.5))
    limbs = [(joint, parent, min(score[joint], score[parent])) for joint, parent in H36M.bones]
    limbs = [limb for limb in limbs if limb[2] > 0]
    for casing in (True, False):  # a dark edge around all limbs first, so that it cuts none
        for joint, parent, lower_score in limbs:
            width = thin if lower_score < LOW_SCORE else thick
            colour = EDGE if casing else colours[H36M.sides[joint]]
            cv2.line(frame, points[parent], points[joint], colour, width + 2 * casing, cv2.LINE_AA, SHIFT)


def _draw_joints(frame: np.ndarray, points: list[list[int]], score: np.ndarray, thick: int) -> None:
    for joint in np.flatnonzero(score > 0).tolist():
        size = 0.55 * thick if score[joint] < LOW_SCORE else 0.95 * thick
        for radius, colour in ((size, EDGE), (0.7 * size, MARK)):
            cv2.circle(frame, points[joint], round(radius * 2**SHIFT), colour, cv2.FILLED, cv2.LINE_AA, SHIFT)


# ---- the 3D panel ----


def draw_3d(
    scene: Scene3D, poses: np.ndarray, valid: np.ndarray | bool = True, offsets: np.ndarray | None = None
) -> np.ndarray:
    """Draw the people of one frame -> a new panel (H, W, 3) uint8 BGR.

    poses (P, 17, 3) or (17, 3): metres. offsets (P, 3): added to them, see `place_people`; None: the lowest joint of
    each person is put on the ground. valid (P,): who is there; poses that are not finite count as not there. With
    nobody the panel says so.
    """
    poses = np.asarray(poses, np.float64).reshape(-1, H36M.joints, 3)
    present = np.broadcast_to(np.asarray(valid, bool), len(poses)) & np.isfinite(poses).all(axis=(1, 2))
    if offsets is None:
        offsets = np.zeros((len(poses), 3))
        offsets[present, 1] = -poses[present, :, 1].max(axis=-1)
    people = np.flatnonzero(present)
    if not len(people):
        return scene.nobody.copy()
    panel = scene.background.copy()
    joints = (poses + np.asarray(offsets, np.float64).reshape(-1, 1, 3))[people]  # (N, 17, 3)
    _draw_shadows(scene, panel, joints)
    _draw_bodies(scene, panel, joints, people)
    return panel


def _draw_bodies(scene: Scene3D, panel: np.ndarray, joints: np.ndarray, people: np.ndarray) -> None:
    """Draw the limbs of the people with these numbers (N,), who are at (N, 17, 3) metres; the farthest limb first.

    Every limb is a few capsules, one over the other: a light edge that sets it off from the limbs behind it, and three
    shades, as by a light from the upper left.
    """
    pixels, depth = scene.project(joints)
    radius = JOINT_RADIUS * scene.focal / depth  # (N, 17) pixels
    ends = np.stack([pixels[:, _PARENTS], pixels[:, _JOINTS]], axis=2)  # (N, 16, 2, 2)
    thick = np.stack([radius[:, _PARENTS], radius[:, _JOINTS]], axis=2)  # (N, 16, 2)
    far = (depth[:, _JOINTS] + depth[:, _PARENTS]) / 2  # (N, 16)
    outlines, tones = _limb_outlines(ends, thick), _limb_tones(scene, people, far)
    outlines, tones = (array.reshape(-1, *array.shape[2:]) for array in (outlines, tones))  # (N * 16, 4, ...)
    for limb in np.argsort(-far, axis=None):
        for outline, tone in zip(outlines[limb], tones[limb].tolist(), strict=True):
            cv2.fillConvexPoly(panel, outline, tone, cv2.LINE_AA, SHIFT)


def _limb_tones(scene: Scene3D, people: np.ndarray, far: np.ndarray) -> np.ndarray:
    """The colours (N, 16, 4, 3) of the edge and the shades of limbs that are `far` (N, 16) metres from the camera."""
    colour = np.stack([_limb_colours(int(person), scene.dark) for person in people])  # (N, 16, 3)
    air = scene.tones[0]
    # Depth shows in size and in tone: what is behind fades into the air.
    fade = np.clip(0.2 + 0.35 * (far - far.mean(axis=-1, keepdims=True)), 0, 0.5)[..., None]
    colour = colour + fade * (air - colour)
    return np.stack([0.25 * colour + 0.75 * air, 0.72 * colour, colour, colour + 0.32 * (255 - colour)], axis=2)


def _limb_outlines(ends: np.ndarray, thick: np.ndarray) -> np.ndarray:
    """The outlines (N, 16, 4, 2 * ARC, 2), for OpenCV, of the edge and the shades of limbs: ends (N, 16, 2, 2) and
    their radius (N, 16, 2) in pixels.
    """
    # Of each of the four: its share of the radius, its shift towards the light in radii, and pixels that it is wider.
    layers = np.array([(1.0, 0.0, 1.5), (1.0, 0.0, 0.0), (0.8, 0.16, 0.0), (0.34, 0.36, 0.0)])
    share, shift, wider = layers.T[..., None]  # (4, 1) each
    thick = thick[:, :, None]  # (N, 16, 1, 2)
    centres = ends[:, :, None] - np.array([0.6, 0.8]) * (shift * thick)[..., None]  # (N, 16, 4, 2, 2)
    return _capsules(centres, share * thick + wider)


def _limb_colours(person: int, dark: bool) -> np.ndarray:
    """(16, 3): BGR of every bone of a person."""
    colours = figure_colours(person)
    limbs = np.array([bgr(colours[side]) for side in _BONE_SIDES], np.float64)
    if dark:
        middle = np.array([side == "middle" for side in _BONE_SIDES])[:, None]
        limbs = np.where(middle & (person == 0), 190.0, limbs + 0.18 * (255 - limbs))
    return limbs


def _capsules(ends: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The outlines (..., 2 * ARC, 2), for OpenCV, of pairs of discs and what is between them: centres (..., 2, 2) and
    radius (..., 2) in pixels.
    """
    first, second = ends[..., 0, :], ends[..., 1, :]
    way = second - first
    length = np.hypot(way[..., 0], way[..., 1])
    inside = length <= np.abs(radius[..., 0] - radius[..., 1])  # one disc holds the other: only the larger one is drawn
    larger = np.where((radius[..., 0] >= radius[..., 1])[..., None], first, second)
    first, second = (np.where(inside[..., None], larger, end) for end in (first, second))
    radius = np.where(inside[..., None], radius.max(axis=-1, keepdims=True), radius)
    # The straight sides touch both discs at this angle from the way that leads from the first to the second.
    tangent = np.arccos(np.where(inside, 0, (radius[..., 0] - radius[..., 1]) / np.where(inside, 1, length)))
    turn = np.arctan2(way[..., 1], way[..., 0])
    arcs = (
        _arc(second, radius[..., 1], turn, tangent),
        _arc(first, radius[..., 0], turn + np.pi, np.pi - tangent),
    )
    return fixed_point(np.concatenate(arcs, axis=-2))


def _arc(centre: np.ndarray, radius: np.ndarray, middle: np.ndarray, half: np.ndarray) -> np.ndarray:
    """ARC points (..., ARC, 2) on circles: centre (..., 2), radius (...), and the angles (...) of the middle of the arc
    and from there to its ends.
    """
    angle = middle[..., None] + half[..., None] * np.linspace(-1, 1, ARC)  # (..., ARC)
    return centre[..., None, :] + radius[..., None, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _draw_shadows(scene: Scene3D, panel: np.ndarray, joints: np.ndarray) -> None:
    """Darken the ground under people (N, 17, 3): the light is above, a little to the left and in front.

    Shadows are soft: they are drawn small, smoothed, and made large.
    """
    shrink = 4
    mask = _shadow_mask(scene, joints, shrink)
    left, top, wide, high = cv2.boundingRect(mask)
    if not wide:
        return
    blur = 0.035 * scene.focal / scene.distance / shrink
    margin = math.ceil(3 * blur) + 1
    rows = slice(max(0, top - margin), min(mask.shape[0], top + high + margin))
    columns = slice(max(0, left - margin), min(mask.shape[1], left + wide + margin))
    soft = cv2.GaussianBlur(np.ascontiguousarray(mask[rows, columns]), (0, 0), blur)
    target = panel[shrink * rows.start : shrink * rows.stop, shrink * columns.start : shrink * columns.stop]
    light: np.ndarray = 255 - (0.55 if scene.dark else 0.2) * soft
    light = cv2.resize(
        light.astype(np.uint8), (shrink * soft.shape[1], shrink * soft.shape[0]), interpolation=cv2.INTER_LINEAR
    )
    light = light[: target.shape[0], : target.shape[1]]
    target[:] = cv2.multiply(target, cv2.merge((light, light, light)), scale=1 / 255)


def _shadow_mask(scene: Scene3D, joints: np.ndarray, shrink: int) -> np.ndarray:
    """Where the limbs of people (N, 17, 3) keep light from the ground: 255 there, in a picture (H / shrink, W / shrink)
    uint8.
    """
    shift = np.maximum(-joints[..., 1:2], 0) * np.array([0.22, 0.0, 0.12])  # the higher a joint, the further
    pixels, depth = scene.project(joints * [1, 0, 1] + [0, SOLE, 0] + shift)
    width, height = (-(-side // shrink) for side in scene.size)
    mask = np.zeros((height, width), np.uint8)
    for person in range(len(joints)):
        points = fixed_point(pixels[person] / shrink).tolist()
        for joint, parent in H36M.bones:
            radius = 1.5 * JOINT_RADIUS[joint] * scene.focal / depth[person, joint] / shrink
            thick = int(np.clip(round(2 * radius), 1, 60))
            cv2.line(mask, points[parent], points[joint], 255, thick, cv2.LINE_AA, SHIFT)
    return mask


# ---- both ----


def panel_size(picture: tuple[int, int]) -> tuple[int, int]:
    """The size of the 3D panel beside a picture of (width, height) pixels: a square as high as the picture; even."""
    height = max(2, picture[1] // 2 * 2)
    return height, height


def side_by_side(picture: np.ndarray, panel: np.ndarray) -> np.ndarray:
    """The picture and to its right the panel, both (H, W, 3) uint8 -> a new array with even sides: a row or column too
    many is cut off.
    """
    height, right = (side // 2 * 2 for side in panel.shape[:2])
    left = max(2, picture.shape[1] // 2 * 2)
    both = np.empty((height, left + right, 3), np.uint8)
    both[:, :left] = picture[:height, :left]
    both[:, left:] = panel[:height, :right]
    return both
