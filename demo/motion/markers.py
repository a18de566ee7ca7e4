"""TRC and C3D: one person's 17 joints as they were lifted, as markers, for OpenSim, Pose2Sim, Mokka and R."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.files import replacing
from demo.motion.person import LABELS, Person

C3D_FRAMES = 65535
"""A C3D file counts its frames in 16 bits: it holds no more."""


def write_trc(path: str | Path, person: Person) -> None:
    """Write the .trc: metres; empty fields in frames without a pose. Raises InputError where it cannot be written."""
    frames, fps = len(person.joints), f"{person.fps:.6g}"
    about = {
        "DataRate": fps, "CameraRate": fps, "NumFrames": frames, "NumMarkers": len(LABELS), "Units": "m",
        "OrigDataRate": fps, "OrigDataStartFrame": 1, "OrigNumFrames": frames,
    }  # fmt: skip
    header = [
        ["PathFileType", "4", "(X/Y/Z)", Path(path).name],
        list(about),
        [str(value) for value in about.values()],
        ["Frame#", "Time", *(field for name in LABELS for field in (name, "", ""))],
        ["", "", *(f"{axis}{number}" for number in range(1, len(LABELS) + 1) for axis in "XYZ")],
        [],
    ]
    with replacing(path) as temporary, open(temporary, "w", encoding="ascii", newline="\n") as file:
        for row in header:
            file.write("\t".join(row) + "\n")
        for frame, joints in enumerate(person.joints.reshape(frames, -1).tolist()):
            fields = ["" if value != value else f"{value:.6f}" for value in joints]
            file.write("\t".join([str(frame + 1), f"{frame / person.fps:.6f}", *fields]) + "\n")


def write_c3d(path: str | Path, person: Person) -> None:
    """Write the .c3d: millimetres; points without a pose are marked as missing. Raises InputError where it cannot be
    written.
    """
    import ezc3d

    points = np.ones((4, len(LABELS), len(person.joints)))
    points[:3] = person.joints.transpose(2, 1, 0) * 1000  # (3, 17, T)
    content = ezc3d.c3d()
    parameters = content["parameters"]["POINT"]
    for name, value in (("RATE", [float(person.fps)]), ("LABELS", LABELS), ("UNITS", ["mm"])):
        parameters[name]["value"] = value
    content.add_parameter("POINT", "X_SCREEN", ["+X"])
    content.add_parameter("POINT", "Y_SCREEN", ["+Y"])
    content["data"]["points"] = points
    with replacing(path) as temporary:
        content.write(str(temporary))
