"""Small motion capture files as texts: CMU's ASF and AMC, and BVH with the joint names of its Daz conversion."""

from __future__ import annotations

# name: (parent, direction, axis, dof); every bone is 1 long.
ASF_BONES = {
    "rhipjoint": ("root", "-1 0 0", "0 0 0", ""),
    "rfemur": ("rhipjoint", "0 -1 0", "0 0 0", "rx ry rz"),
    "rtibia": ("rfemur", "0 -1 0", "0 0 0", "rx"),
    "lhipjoint": ("root", "1 0 0", "0 0 0", ""),
    "lfemur": ("lhipjoint", "0 -1 0", "0 0 0", ""),
    "ltibia": ("lfemur", "1 0 0", "0 0 90", "rx"),
    "lowerback": ("root", "0 1 0", "0 0 0", ""),
    "upperback": ("lowerback", "0 1 0", "0 0 0", ""),
    "lowerneck": ("upperback", "0 1 0", "0 0 0", ""),
    "upperneck": ("lowerneck", "0 1 0", "0 0 0", ""),
    "head": ("upperneck", "0 1 0", "0 0 0", ""),
    "lclavicle": ("upperback", "1 0 0", "0 0 0", ""),
    "lhumerus": ("lclavicle", "1 0 0", "0 0 0", ""),
    "lradius": ("lhumerus", "1 0 0", "0 0 0", ""),
    "rclavicle": ("upperback", "-1 0 0", "0 0 0", ""),
    "rhumerus": ("rclavicle", "-1 0 0", "0 0 0", ""),
    "rradius": ("rhumerus", "-1 0 0", "0 0 0", ""),
}
ASF_UNIT = 0.0254 / 0.45

# name: (parent, offset in centimetres)
BVH_JOINTS = {
    "hip": (None, (0, 0, 0)),
    "abdomen": ("hip", (0, 20, 0)),
    "chest": ("abdomen", (0, 10, 0)),
    "neck": ("chest", (0, 20, 0)),
    "head": ("neck", (0, 10, 0)),
    "rShldr": ("chest", (-15, 15, 0)),
    "rForeArm": ("rShldr", (-30, 0, 0)),
    "rHand": ("rForeArm", (-25, 0, 0)),
    "lShldr": ("chest", (15, 15, 0)),
    "lForeArm": ("lShldr", (30, 0, 0)),
    "lHand": ("lForeArm", (25, 0, 0)),
    "rThigh": ("hip", (-10, 0, 0)),
    "rShin": ("rThigh", (0, -40, 0)),
    "rFoot": ("rShin", (0, -40, 0)),
    "lThigh": ("hip", (10, 0, 0)),
    "lShin": ("lThigh", (0, -40, 0)),
    "lFoot": ("lShin", (0, -40, 0)),
}


def asf_text(length: float = 1) -> str:
    lines = [
        ":version 1.10",
        "# a comment",
        ":units",
        "  mass 1.0",
        "  length 0.45",
        "  angle deg",
        ":root",
        "  order TX TY TZ RX RY RZ",
    ]
    lines += ["  axis XYZ", "  position 0 0 0", "  orientation 0 0 0", ":bonedata"]
    for number, (name, (_, direction, axis, dof)) in enumerate(ASF_BONES.items()):
        lines += [
            "  begin",
            f"    id {number}",
            f"    name {name}",
            f"    direction {direction}",
            f"    length {length:g}",
            f"    axis {axis} XYZ",
        ]
        lines += [f"    dof {dof}", "    limits (-160.0 20.0)", "           (-70.0 70.0)"] if dof else []
        lines += ["  end"]
    lines += [":hierarchy", "  begin"]
    for parent in dict.fromkeys(parent for parent, *_ in ASF_BONES.values()):
        lines.append(" ".join(["   ", parent, *(name for name, bone in ASF_BONES.items() if bone[0] == parent)]))
    return "\r\n".join([*lines, "  end", ""])


def amc_text(
    frames: int = 1, root: str = "0 0 0 0 0 0", rfemur: str = "0 0 0", rtibia: str = "0", ltibia: str = "0"
) -> str:
    lines = ["#!OML:ASF somewhere", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(1, frames + 1):
        lines += [str(frame), f"root {root}", f"rfemur {rfemur}", f"rtibia {rtibia}", f"ltibia {ltibia}"]
    return "\r\n".join([*lines, ""])


def bvh_text(
    frames: int = 2, time: float = 0.00833333, left_out: str = "", **angles: tuple[float, float, float]
) -> str:
    """A T-pose, then frames in which the joints named are turned by (z, x, y) degrees; `hip` stands at (100, 0,
    0) cm.
    """
    order: list[str] = []

    def describe(name: str, depth: int) -> list[str]:
        order.append(name)
        parent, offset = BVH_JOINTS[name]
        pad = "  " * depth
        channels = "CHANNELS 3 Zrotation Xrotation Yrotation"
        if parent is None:
            channels = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
        lines = [
            f"{pad}{'JOINT' if parent else 'ROOT'} {name}",
            pad + "{",
            f"{pad}  OFFSET {' '.join(map(str, offset))}",
            f"{pad}  {channels}",
        ]
        children = [child for child, (of, _) in BVH_JOINTS.items() if of == name and child != left_out]
        for child in children:
            lines += describe(child, depth + 1)
        if not children:
            lines += [f"{pad}  End Site", pad + "  {", f"{pad}    OFFSET 1 0 0", pad + "  }"]
        return [*lines, pad + "}"]

    hierarchy = describe("hip", 0)
    turned = [100, 0, 0, *(angle for name in order for angle in angles.get(name, (0, 0, 0)))]
    rows = [[0] * len(turned)] + [turned] * (frames - 1)
    motion = ["MOTION", f"Frames:\t{frames}", f"Frame Time:\t{time}", *(" ".join(map(str, row)) for row in rows)]
    return "\n".join(["HIERARCHY", *hierarchy, *motion, ""])
