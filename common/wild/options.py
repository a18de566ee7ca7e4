"""What in-the-wild training draws, and how often: one frozen value, each part of which can be switched off by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from common.errors import InputError


@dataclass(frozen=True)
class Wild:
    """What is drawn, and how often. Chances are per window, but for `film`, which is per batch."""

    # The motion.
    by_content: bool = True
    """Clips are drawn by their weights, or else by their minutes alone."""
    speed: tuple[float, float] = (0.6, 1.6)
    reversed: float = 0.3
    mirrored: float = 0.5
    slow: float = 0.12
    """Still and slow poses: on the way from a pose of one clip to a pose of another."""

    # The body.
    recombined: float = 0.2
    """Legs of one clip under the upper body of another."""
    limbs: float = 0.25
    """Arms or legs of one clip, as they stand to its trunk, on the trunk of another."""
    bent: float = 0.5
    """Trunk, head, shoulders and hips turned by slow random angles."""
    flexed: float = 0.4
    """Elbows and knees more or less bent than they were; they stay hinges."""
    own_bones: float = 0.15
    """Bones kept in proportion (where the clip's are the person's own), instead of drawn around BONES."""
    bone_spread: tuple[float, float] = (0.06, 0.06)
    """Standard deviations of the person's size and of each bone, relative."""
    sizes: float = 0.3
    """People of any size in `tall`, instead of around the mean."""
    tall: tuple[float, float] = (1.2, 2.1)
    """Metres from the floor to the crown."""
    build_spread: float = 0.07
    """Standard deviation of the length of legs, trunk and arms, each as a whole, relative; of hips and shoulders twice
    that.
    """

    # The camera.
    tumbled: float = 0.15
    """The body turned as a whole in any direction, as if gravity were not."""
    steep: float = 0.15
    """Cameras that look from straight above to straight below, instead of `pitch`."""
    pitch: tuple[float, float] = (-25.0, 45.0)
    roll: float = 5.0
    field_of_view: tuple[float, float] = (25.0, 90.0)
    distance: tuple[float, float] = (2.0, 10.0)
    followed: float = 0.25
    """The camera turns with the person."""

    # The detector.
    film: float = 0.5
    """The film has another frame rate, in `film_fps`, and its 2D is brought to the model's."""
    film_fps: tuple[float, float] = (15.0, 60.0)
    definitions: float = 0.5
    """The detector means other points by hip, neck and head."""
    noise: tuple[float, float] = (0.4, 1.7)
    """The size of the detector's errors is drawn between these multiples of `detector_noise`'s."""
    uneven: tuple[float, float] = (0.6, 1.8)
    """And again for each joint."""
    astray: float = 0.25
    """A limb, mostly an arm, is seen in a wrong place for a while."""
    swapped: float = 0.08
    """The sides of legs, arms or the whole person are swapped for long, be the scores low or high."""
    frozen: float = 0.08
    missing: float = 0.12
    cut: float = 0.15
    """The picture's edge cuts the person."""
    guessed: float = 0.4
    """Of those who are cut: what is out of the picture is guessed where a standing person has it."""
    score_curve: float = 0.5
    """The detector's scores rise or fall otherwise."""
    unscored: float = 0.10
    """The detector says 1 of every joint."""

    def without(self, names: Iterable[str]) -> Wild:
        """The same with some parts switched off, by their names in PARTS. Raises InputError for a name that is not
        there.
        """
        off: dict[str, Any] = {}
        for name in names:
            if name not in PARTS:
                raise InputError(f"--without names {name!r}; it may name {', '.join(PARTS)}")
            off |= PARTS[name]
        return replace(self, **off)


PARTS: dict[str, dict[str, Any]] = {
    "content": {"by_content": False},
    "slow": {"slow": 0.0},
    "recombined": {"recombined": 0.0},
    "limbs": {"limbs": 0.0},
    "bent": {"bent": 0.0},
    "flexed": {"flexed": 0.0},
    "bodies": {"sizes": 0.0, "build_spread": 0.0},
    "tumbled": {"tumbled": 0.0},
    "steep": {"steep": 0.0},
    "film": {"film": 0.0},
    "uneven": {"uneven": (1.0, 1.0)},
    "astray": {"astray": 0.0},
    "swapped": {"swapped": 0.0},
    "guessed": {"guessed": 0.0},
}
"""The parts that an ablation can switch off, and how."""

WILD = Wild()
"""What training draws."""
# A test set shows what is there: real motion at its own speed, one detector.
WILD_TEST = replace(
    WILD, by_content=False, speed=(1.0, 1.0), reversed=0.0, mirrored=0.0, slow=0.0, recombined=0.0, limbs=0.0,
    bent=0.0, flexed=0.0,
    own_bones=1.0, sizes=0.0, build_spread=0.0, tumbled=0.0, steep=0.0, followed=0.0, film=0.0, definitions=0.0,
    noise=(1.0, 1.0),
    uneven=(1.0, 1.0), astray=0.0, swapped=0.0, frozen=0.0, missing=0.0, cut=0.0, score_curve=0.0, unscored=0.0,
)  # fmt: skip
