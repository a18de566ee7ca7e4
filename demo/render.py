"""Drawing what the demo found: 2D limbs over the video, 3D people on a ground grid. Arrays in, arrays out; pictures are
BGR.

    offsets = place_people(poses_3d, valid, fps)
    scene = Scene3D.around(panel_size(picture_size), poses_3d + offsets[:, :, None], valid)
    for t in range(frames):
        draw_2d(picture, keypoints_2d[0, t], valid[0, t])
        both = side_by_side(picture, draw_3d(scene, poses_3d[:, t], valid[:, t], offsets[:, t]))

3D is in metres and camera axes (x right, y down, z forward). Up is taken to be -y: a camera that is held askew tilts
the person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from common.geometry.skeleton import H36M

RIGHT, LEFT, MIDDLE = "#d9482b", "#1f6fb4", "#4d4d4d"
"""The person's right, left and trunk, as in benchmark/look.py."""
PEOPLE = (MIDDLE, "#2f9e5b", "#8e4ec6", "#c9930a", "#0fa3a3", "#d6518f")
"""The trunk of the first person, the second, ...: limbs keep the colours of right and left."""
LOW_SCORE = 0.3
"""Limbs of a keypoint with less are drawn thin."""
GROUND_WINDOW = 0.25
"""Seconds over which the ground under a person is smoothed: less than a step, in which the hip rises and falls."""
APART = 1.4
"""Metres between people: where they stand to each other is not estimated."""

SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel
FAR_OUT = 20_000.0  # pixels: no drawing routine overflows on this
ARC = 16  # corners of half a limb's end
NEAR = 0.05  # metres in front of the virtual camera
CELL = 0.5  # metres of the grid
# Metres of a limb's thickness at each joint: a slim figure, so that crossing limbs can be told apart.
JOINT_RADIUS = np.array([55, 52, 40, 30, 52, 40, 30, 58, 52, 42, 62, 42, 33, 25, 42, 33, 25]) / 1000
SOLE = 0.03  # the grid lies this much under the ankle joints' height 0, where the drawn foot ends


def bgr(colour: str) -> tuple[int, int, int]:
    """Colour "#rrggbb" -> (blue, green, red), 0 to 255."""
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)


def _side(joint: int) -> str:
    return "right" if joint in H36M.right else "left" if joint in H36M.left else "middle"


# ---- where people stand ----


def ground_height(pose: np.ndarray, valid: np.ndarray, fps: float, fix_z: bool = False) -> np.ndarray:
    """Where the ground is under a person: poses (T, 17, 3) -> y in metres (T,), to be subtracted so that the ground is
    at 0.

    fix_z: the lowest joint of every frame is on the ground, as in the published demo. Otherwise the ground is the
    lowest joint of a moving window, smoothed: no joint ever goes below it, and it neither shakes with the noise nor
    follows short jumps. Frames that are not valid (T,) take the ground of the frames around them.
    """
    valid = np.asarray(valid, bool)
    if not valid.any():
        return np.zeros(len(pose))
    frames = np.arange(len(pose))
    lowest = np.interp(frames, frames[valid], np.asarray(pose, np.float64)[valid, :, 1].max(axis=-1))
    reach = round(GROUND_WINDOW / 4 * fps)
    if fix_z or reach < 1:
        return lowest
    # The mean of the largest of windows that all hold this frame is never less than the frame's own value.
    padded = np.pad(lowest, 2 * reach, mode="edge")
    largest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=-1)
    return np.lib.stride_tricks.sliding_window_view(largest, 2 * reach + 1).mean(axis=-1)


def place_people(
    poses_3d: np.ndarray,
    valid: np.ndarray,
    fps: float,
    keypoints_2d: np.ndarray | None = None,
    fix_z: bool = False,
) -> np.ndarray:
    """Offsets (P, T, 3) float32 in metres that stand root-relative people (P, T, 17, 3) on the ground y = 0, in a row.

    keypoints_2d (P, T, 17, 2 or 3): people stand in the order in which they are in the picture, from left to right;
    None: in the order given. Their distances are not estimated: neighbours are APART. People who are never there
    together, as those of two scenes, may have the same place. fix_z: see `ground_height`.
    """
    people, frames = poses_3d.shape[:2]
    valid = np.asarray(valid, bool)
    offsets = np.zeros((people, frames, 3), np.float32)
    across = np.arange(people, dtype=np.float64)
    if keypoints_2d is not None:
        for person in range(people):
            seen = keypoints_2d[person, valid[person], 0, 0]
            across[person] = np.median(seen) if len(seen) else np.inf
    place = np.zeros(people, int)
    order = np.argsort(across, kind="stable")
    for number, person in enumerate(order):
        place[person] = max(
            (place[other] + 1 for other in order[:number] if (valid[other] & valid[person]).any()), default=0
        )
    for person in range(people):
        offsets[person, :, 0] = (place[person] - place.max() / 2) * APART
        offsets[person, :, 1] = -ground_height(poses_3d[person], valid[person], fps, fix_z)
    return offsets


# ---- the 2D picture ----


def draw_2d(frame: np.ndarray, keypoints: np.ndarray, valid: bool = True, person: int = 0) -> np.ndarray:
    """Draw one person's limbs over a picture, in place: frame (H, W, 3) uint8 BGR -> the same array.

    keypoints (17, 3): x, y in pixels and the score. A limb is thin where one of its joints has a score below LOW_SCORE,
    and left out where one has a score <= 0 or is not finite. person: which of PEOPLE the trunk's colour is; the first
    one's is light, to be seen on any picture. Not valid: nothing is drawn.
    """
    if not valid:
        return frame
    keypoints = np.asarray(keypoints, np.float64)
    score = np.where(np.isfinite(keypoints).all(axis=-1), keypoints[:, 2], 0)
    points = _fixed_point(np.nan_to_num(keypoints[:, :2])).tolist()  # (17, 2)
    colours = {
        "right": bgr(RIGHT),
        "left": bgr(LEFT),
        "middle": bgr(PEOPLE[person % len(PEOPLE)]) if person else (235, 235, 235),
    }
    thick = max(2, round(min(frame.shape[:2]) / 190))
    thin = max(1, round(thick / 2.5))
    limbs = [(joint, parent, min(score[joint], score[parent])) for joint, parent in H36M.bones]
    limbs = [limb for limb in limbs if limb[2] > 0]
    for casing in (True, False):  # a dark edge around all limbs first, so that it cuts none
        for joint, parent, seen in limbs:
            width = thin if seen < LOW_SCORE else thick
            colour = (30, 30, 30) if casing else colours[_side(joint)]
            cv2.line(frame, points[parent], points[joint], colour, width + 2 * casing, cv2.LINE_AA, SHIFT)
    for joint in np.flatnonzero(score > 0).tolist():
        size = 0.55 * thick if score[joint] < LOW_SCORE else 0.95 * thick
        cv2.circle(frame, points[joint], round(size * 2**SHIFT), (30, 30, 30), cv2.FILLED, cv2.LINE_AA, SHIFT)
        cv2.circle(frame, points[joint], round(0.7 * size * 2**SHIFT), (255, 255, 255), cv2.FILLED, cv2.LINE_AA, SHIFT)
    return frame


# ---- the 3D panel ----


@dataclass(frozen=True)
class Scene3D:
    """A ground grid at y = 0 and the virtual camera that looks at it.

    size: (width, height) of the panel in pixels. centre: the point (x, y, z) in the middle of the panel, metres.
    distance: from there to the camera. azimuth: degrees that the camera has gone from where the real one is to the
    person's side (> 0: to the left in the picture); elevation: degrees above the horizontal. dark: a dark background
    instead of a white one.
    """

    size: tuple[int, int]
    centre: tuple[float, float, float] = (0.0, -0.85, 0.0)
    distance: float = 4.6
    azimuth: float = 28.0
    elevation: float = 14.0
    dark: bool = False

    @classmethod
    def around(cls, size: tuple[int, int], joints: np.ndarray, valid: np.ndarray, **options: Any) -> Scene3D:
        """A scene in which a whole motion fits: joints (P, T, 17, 3) in metres with their offsets, valid (P, T).

        options: azimuth, elevation, dark. The few farthest joints (outliers) are not waited for.
        """
        scene = cls(size, **options)
        chosen = np.asarray(joints, np.float64)[np.asarray(valid, bool)]  # (N, 17, 3)
        chosen = chosen[:: max(1, len(chosen) // 4000)].reshape(-1, 3)
        chosen = chosen[np.isfinite(chosen).all(axis=-1)]
        if not len(chosen):
            return scene
        low, high = np.percentile(chosen, (0.2, 99.8), axis=0)
        low[1] = min(low[1], -1.5)
        high[1] = 0.0  # the ground is always seen
        centre = (low + high) / 2
        corners = np.clip(chosen, low, high) - centre
        corners = np.concatenate([corners, [(0, low[1] - centre[1], 0), (0, high[1] - centre[1], 0)]])
        view = corners @ scene.rotation.T  # (N, 3) right, down, forward
        half = np.array(size) / 2 / scene.focal * 0.84
        distance = np.percentile((np.abs(view[:, :2]) / half).max(axis=-1) - view[:, 2], 99.8)
        return cls(size, tuple(centre.tolist()), float(np.clip(distance, 2.0, 60.0)), **options)

    @cached_property
    def rotation(self) -> np.ndarray:
        """(3, 3): rows are the virtual camera's right, down and forward in the axes of the poses."""
        turn, tilt = math.radians(self.azimuth), math.radians(self.elevation)
        forward = np.array([math.sin(turn) * math.cos(tilt), math.sin(tilt), math.cos(turn) * math.cos(tilt)])
        right = np.array([math.cos(turn), 0, -math.sin(turn)])
        return np.stack([right, np.cross(forward, right), forward])

    @property
    def focal(self) -> float:
        """Focal length in pixels: the smaller side of the panel sees 36 degrees."""
        return min(self.size) / 2 / math.tan(math.radians(18))

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) in metres -> pixels (..., 2) and depth in metres (...); points behind the camera come to its
        near plane.
        """
        view = (np.asarray(points, np.float64) - self.centre) @ self.rotation.T
        depth = np.maximum(view[..., 2] + self.distance, NEAR)
        pixels = view[..., :2] * (self.focal / depth[..., None]) + (np.array(self.size) - 1) / 2
        return pixels, depth

    @cached_property
    def background(self) -> np.ndarray:
        """The empty panel (H, W, 3) uint8: ground, grid and small axes; read-only, copy it to draw on it."""
        panel = self._ground()
        self._draw_axes(panel)
        panel.setflags(write=False)
        return panel

    @cached_property
    def nobody(self) -> np.ndarray:
        """The panel (H, W, 3) uint8 of a frame without a person."""
        panel = self.background.copy()
        self._write(panel, "no person", (0.5, 0.46), 0.035, 0.42)
        panel.setflags(write=False)
        return panel

    @property
    def tones(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours (3,) of the air, the ground and the grid's lines."""
        tones = ("#1b1e24", "#2b3038", "#4c5460") if self.dark else ("#ffffff", "#f1f3f5", "#c3c9d0")
        air, ground, line = (np.array(bgr(tone), np.float64) for tone in tones)
        return air, ground, line

    def _ground(self) -> np.ndarray:
        """Every pixel's ray is followed to the ground: lines are as thick as they should be and fade out at the
        sides.
        """
        air, ground, line = self.tones
        (width, height), focal = self.size, self.focal
        x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
        ray = (
            np.stack([x / focal, y / focal, np.ones_like(x)], axis=-1) @ self.rotation
        )  # (H, W, 3), 1 long along forward
        origin = np.array(self.centre) - self.distance * self.rotation[2]
        below = ray[..., 1] > 1e-4
        depth = np.where(below, (SOLE - origin[1]) / np.where(below, ray[..., 1], 1), 1e3)  # metres along forward
        hit = origin[[0, 2]] + depth[..., None] * ray[..., [0, 2]]  # (H, W, 2) x and z
        # Metres of ground in a pixel, along x and z: how thick a line of a pixel is there.
        step = sum(np.abs(np.gradient(hit, axis=axis)) for axis in (0, 1)) + 1e-9
        cover = np.zeros((height, width))
        for axis in (0, 1):
            near = np.abs((hit[..., axis] + CELL / 2) % CELL - CELL / 2)
            whole = np.abs((hit[..., axis] + CELL) % (2 * CELL) - CELL) < CELL / 2  # every metre, a little stronger
            strength = np.clip(1.1 - near / step[..., axis], 0, 1) * np.where(whole, 1.0, 0.5)
            cover = np.maximum(cover, strength * np.clip(0.4 * CELL / step[..., axis], 0, 1))
        away = np.hypot(*(hit - np.array(self.centre)[[0, 2]]).transpose(2, 0, 1))
        seen = (np.clip(1 - away / (1.0 * self.distance + 0.4), 0, 1) ** 0.8 * below)[..., None]
        colour = air + seen * (ground - air) + (seen * cover[..., None]) * (line - ground)
        return np.clip(np.rint(colour), 0, 255).astype(np.uint8)

    def _draw_axes(self, panel: np.ndarray) -> None:
        """The poses' axes as they stand in this view, small, in the lower left corner."""
        air, _, line = self.tones
        colour = (0.25 * air + 0.75 * line * (1.0 if self.dark else 0.72)).tolist()
        length = 0.055 * min(self.size)
        origin = np.array([0.075 * min(self.size), self.size[1] - 0.1 * min(self.size)])
        for axis, name in enumerate("xyz"):
            tip = origin + self.rotation[:2, axis] * length
            start, end = _fixed_point(np.stack([origin, tip])).tolist()
            cv2.line(panel, start, end, colour, max(1, round(min(self.size) / 500)), cv2.LINE_AA, SHIFT)
            way = (tip - origin) / max(np.hypot(*(tip - origin)), 1e-6)
            place = (tip + 0.018 * min(self.size) * way) / self.size
            self._write(panel, name, tuple(place), 0.016, 0.75)

    def _write(self, panel: np.ndarray, text: str, place: tuple[float, float], height: float, strength: float) -> None:
        """Text of a height (share of the panel's smaller side) with its middle at `place` (shares of width and
        height).
        """
        air, ink = self.tones[0], np.array([245.0] * 3 if self.dark else [40.0] * 3)
        scale = height * min(self.size) / 22
        weight = max(1, round(scale))
        (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, weight)
        corner = (round(place[0] * self.size[0] - wide / 2), round(place[1] * self.size[1] + high / 2))
        colour = (air + strength * (ink - air)).tolist()
        cv2.putText(panel, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, weight, cv2.LINE_AA)


def draw_3d(
    scene: Scene3D, poses: np.ndarray, valid: np.ndarray | bool = True, offsets: np.ndarray | None = None
) -> np.ndarray:
    """Draw the people of one frame -> a new panel (H, W, 3) uint8 BGR.

    poses (P, 17, 3) or (17, 3): metres. offsets (P, 3): added to them, see `place_people`; None: the lowest joint of
    each person is put on the ground. valid (P,): who is there; poses that are not finite count as not there. With
    nobody the panel says so.
    """
    poses = np.asarray(poses, np.float64).reshape(-1, H36M.joints, 3)
    there = np.broadcast_to(np.asarray(valid, bool), len(poses)) & np.isfinite(poses).all(axis=(1, 2))
    if offsets is None:
        offsets = np.zeros((len(poses), 3))
        offsets[there, 1] = -poses[there, :, 1].max(axis=-1)
    shown = np.flatnonzero(there)
    if not len(shown):
        return scene.nobody.copy()
    panel = scene.background.copy()
    joints = (poses + np.asarray(offsets, np.float64).reshape(-1, 1, 3))[shown]  # (N, 17, 3)
    pixels, depth = scene.project(joints)
    radius = JOINT_RADIUS * scene.focal / depth  # (N, 17) pixels
    _draw_shadows(scene, panel, joints)
    # Every limb is a few capsules, one over the other, shaded as by a light from the upper left; the farthest limb
    # comes first.
    joint, parent = np.array(H36M.bones).T  # (16,) each
    far = (depth[:, joint] + depth[:, parent]) / 2  # (N, 16)
    colour = np.stack([_limb_colours(int(person), scene.dark) for person in shown])  # (N, 16, 3)
    air = scene.tones[0]
    # Depth is told by size and by tone: what is behind fades into the air.
    fade = np.clip(0.2 + 0.35 * (far - far.mean(axis=-1, keepdims=True)), 0, 0.5)[..., None]
    colour = colour + fade * (air - colour)
    ends = np.stack([pixels[:, parent], pixels[:, joint]], axis=2)  # (N, 16, 2, 2)
    thick = np.stack([radius[:, parent], radius[:, joint]], axis=2)  # (N, 16, 2)
    # The first of the four is an edge that sets a limb off from those behind it.
    tones = np.stack(
        [0.25 * colour + 0.75 * air, 0.72 * colour, colour, colour + 0.32 * (255 - colour)], axis=2
    )  # (N, 16, 4, 3)
    share, towards, edge = np.array([(1.0, 0.0, 1.5), (1.0, 0.0, 0.0), (0.8, 0.16, 0.0), (0.34, 0.36, 0.0)]).T[
        ..., None
    ]  # (4, 1) each
    thick = thick[:, :, None]  # (N, 16, 1, 2)
    centres = ends[:, :, None] - np.array([0.6, 0.8]) * (towards * thick)[..., None]  # (N, 16, 4, 2, 2)
    outlines = _capsules(centres, share * thick + edge)  # (N, 16, 4, 2 * ARC, 2)
    outlines, tones = (array.reshape(-1, *array.shape[2:]) for array in (outlines, tones))  # (N * 16, 4, ...)
    for limb in np.argsort(-far, axis=None):
        for outline, tone in zip(outlines[limb], tones[limb].tolist(), strict=True):
            cv2.fillConvexPoly(panel, outline, tone, cv2.LINE_AA, SHIFT)
    return panel


def _limb_colours(person: int, dark: bool) -> np.ndarray:
    """(16, 3): BGR of every bone of a person."""
    sides = {"right": RIGHT, "left": LEFT, "middle": PEOPLE[person % len(PEOPLE)]}
    colours = np.array([bgr(sides[_side(joint)]) for joint, _ in H36M.bones], np.float64)
    if dark:
        middle = np.array([_side(joint) == "middle" for joint, _ in H36M.bones])[:, None]
        colours = np.where(middle & (person == 0), 190.0, colours + 0.18 * (255 - colours))
    return colours


def _capsules(ends: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Outlines of the hulls of two discs each: ends (..., 2, 2) and radius (..., 2) in pixels -> (..., 2 * ARC, 2) for
    OpenCV.
    """
    first, second = ends[..., 0, :], ends[..., 1, :]
    way = second - first
    length = np.hypot(way[..., 0], way[..., 1])
    inside = length <= np.abs(radius[..., 0] - radius[..., 1])  # one disc holds the other and stands for both
    larger = np.where((radius[..., 0] >= radius[..., 1])[..., None], first, second)
    first, second = (np.where(inside[..., None], larger, end) for end in (first, second))
    radius = np.where(inside[..., None], radius.max(axis=-1, keepdims=True), radius)
    # The outer tangents touch the discs at this angle from the way that leads from the first to the second.
    tangent = np.arccos(np.where(inside, 0, (radius[..., 0] - radius[..., 1]) / np.where(inside, 1, length)))
    turn = np.arctan2(way[..., 1], way[..., 0])
    around = np.linspace(-1, 1, ARC)
    outlines = []
    for end, size, middle, half in (
        (second, radius[..., 1], turn, tangent),
        (first, radius[..., 0], turn + np.pi, np.pi - tangent),
    ):
        angle = middle[..., None] + half[..., None] * around  # (..., ARC)
        outlines.append(end[..., None, :] + size[..., None, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1))
    return _fixed_point(np.concatenate(outlines, axis=-2))


def _draw_shadows(scene: Scene3D, panel: np.ndarray, joints: np.ndarray) -> None:
    """Darken the ground under people (N, 17, 3): the light is above, a little to the left and in front."""
    shrink = 4  # a shadow is soft: it is drawn small, smoothed, and made large
    fall = np.maximum(-joints[..., 1:2], 0) * np.array([0.22, 0.0, 0.12])
    on_ground = joints * [1, 0, 1] + [0, SOLE, 0] + fall
    pixels, depth = scene.project(on_ground)
    width, height = (-(-side // shrink) for side in scene.size)
    mask = np.zeros((height, width), np.uint8)
    for n in range(len(joints)):
        small = _fixed_point(pixels[n] / shrink).tolist()
        for joint, parent in H36M.bones:
            thick = 1.5 * JOINT_RADIUS[joint] * scene.focal / depth[n, joint] / shrink
            cv2.line(mask, small[parent], small[joint], 255, int(np.clip(round(2 * thick), 1, 60)), cv2.LINE_AA, SHIFT)
    left, top, wide, high = cv2.boundingRect(mask)
    if not wide:
        return
    blur = 0.035 * scene.focal / scene.distance / shrink
    margin = math.ceil(3 * blur) + 1
    rows = slice(max(0, top - margin), min(height, top + high + margin))
    columns = slice(max(0, left - margin), min(width, left + wide + margin))
    soft = cv2.GaussianBlur(np.ascontiguousarray(mask[rows, columns]), (0, 0), blur)
    target = panel[shrink * rows.start : shrink * rows.stop, shrink * columns.start : shrink * columns.stop]
    light: np.ndarray = 255 - (0.55 if scene.dark else 0.2) * soft
    light = cv2.resize(
        light.astype(np.uint8), (shrink * soft.shape[1], shrink * soft.shape[0]), interpolation=cv2.INTER_LINEAR
    )
    light = light[: target.shape[0], : target.shape[1]]
    target[:] = cv2.multiply(target, cv2.merge((light, light, light)), scale=1 / 255)


# ---- both ----


def panel_size(picture: tuple[int, int]) -> tuple[int, int]:
    """The size of the 3D panel beside a picture of (width, height) pixels: a square as high as the picture; even."""
    height = max(2, picture[1] // 2 * 2)
    return height, height


def side_by_side(picture: np.ndarray, panel: np.ndarray) -> np.ndarray:
    """The picture and to its right the panel, both (H, W, 3) uint8 -> a new array with even sides: a row or column too
    many is cut.
    """
    height, right = (side // 2 * 2 for side in panel.shape[:2])
    left = max(2, picture.shape[1] // 2 * 2)
    both = np.empty((height, left + right, 3), np.uint8)
    both[:, :left] = picture[:height, :left]
    both[:, left:] = panel[:height, :right]
    return both


def _fixed_point(points: np.ndarray) -> np.ndarray:
    """Pixels -> what OpenCV takes with SHIFT, int32; points far outside stay far outside, without overflow."""
    return np.rint(np.clip(points, -FAR_OUT, FAR_OUT) * 2**SHIFT).astype(np.int32)
