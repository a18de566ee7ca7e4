"""Keypoints of other tools: layouts on a hand-made person, a small file of every tool, and what is wrong with files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from common.errors import InputError
from common.geometry.skeleton import H36M
from demo import convert
from demo.convert import layout_of_names
from demo.keypoints.read import Film, follow_file, read_clip
from tests.keypoint_layouts import LAYOUTS, person

SIZE, FPS, FRAMES = (1000, 700), 20.0, 24
FILM = Film(FPS, SIZE)
PLACES = (300, 700)
"""Where two people stand, pixels."""
Write = Callable[[Path], Path]


def at(joints: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(H36M.names, joints, strict=True))


# Layouts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_on_a_hand_made_person(layout: str) -> None:
    table = convert.LAYOUTS[layout]
    assert table.sources == len(LAYOUTS[layout])
    given = person(LAYOUTS[layout])
    pose = at(convert.convert(given, table))
    assert min(joint[2] for joint in pose.values()) > 0.2
    for part in ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist"):
        assert pose[f"L{part}"][0] > 510 > 490 > pose[f"R{part}"][0], part
    upwards = [pose[name][1] for name in ("LFoot", "LKnee", "Hip", "Spine", "Thorax", "Neck/Nose", "Head")]
    assert np.all(np.diff(upwards) < 0)
    if layout != "h36m-17":
        expected = convert.convert(person(LAYOUTS["coco-17"]), convert.COCO_17)
        np.testing.assert_allclose(np.stack(list(pose.values()))[:, :2], expected[:, :2], atol=4)  # of 425 pixels
    if layout not in ("h36m-17", "mpii-16"):  # the others have every point of COCO
        np.testing.assert_allclose(np.stack(list(pose.values())), expected, atol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_mirrored(layout: str) -> None:
    """Who is seen in a mirror, and called left for right, is the mirror image."""
    table, names = convert.LAYOUTS[layout], LAYOUTS[layout]
    given = person(names)
    swapped = [{"L": "R", "R": "L"}.get(name[0], name[0]) + name[1:] for name in names]
    mirrored = person(swapped) * [-1, 1, 1]
    expected = convert.convert(given, table)[list(H36M.mirrored)] * [-1, 1, 1]
    back = convert.convert(mirrored, table)[list(H36M.mirrored)] * [1, 1, 1]
    np.testing.assert_allclose(back[:, 1:], convert.convert(given, table)[:, 1:], atol=1e-3)
    np.testing.assert_allclose(expected[:, 1:], convert.convert(given, table)[list(H36M.mirrored), 1:], atol=1e-3)


def test_points_of_the_head_that_were_not_found_are_guessed() -> None:
    names = LAYOUTS["coco-17"]
    whole = convert.convert(person(names), convert.COCO_17)
    for lost in (["LEar"], ["LEar", "LEye"], ["LEar", "REar"], ["Nose", "LEye", "REye"], ["LEye", "REye"]):
        given = person(names)
        given[[names.index(name) for name in lost]] = 0
        pose = convert.convert(given, convert.COCO_17)
        assert (pose[:, 2] > 0).all()
        assert np.linalg.norm(pose[:, :2] - whole[:, :2], axis=1).max() < 30  # of 425 pixels
        assert at(pose)["Head"][2] < at(whole)["Head"][2]
    given[:5] = 0
    assert {name for name, joint in at(convert.convert(given, convert.COCO_17)).items() if joint[2] == 0} == {
        "Neck/Nose",
        "Head",
    }


def test_layouts_by_names() -> None:
    names = [name for name in LAYOUTS["halpe-26"] if name not in ("LEye", "REye", "LEar", "REar")]
    expected = convert.convert(person(LAYOUTS["coco-17"]), convert.COCO_17)
    for written in (names, [f"{name[1:].lower()}_{name[0].lower()}" if name[0] in "LR" else name for name in names]):
        pose = convert.convert(person(names), layout_of_names(written, "file"))
        np.testing.assert_allclose(pose[:, :2], expected[:, :2], atol=8)
        np.testing.assert_allclose(pose[1:8, :2], expected[1:8, :2], atol=1e-3)
    with pytest.raises(InputError, match="file: names no left hip"):
        layout_of_names([name for name in names if name != "LHip"], "file")
    with pytest.raises(InputError, match="twice"):
        layout_of_names([*names, "left_hip"], "file")
    half = [name for name in names if "Knee" not in name and "Ankle" not in name]
    lost = at(convert.convert(person(half), layout_of_names(half, "file")))
    assert {name for name, joint in lost.items() if joint[2] == 0} == {"LKnee", "RKnee", "LFoot", "RFoot"}


# Files


def people(layout: str, frame: int) -> list[np.ndarray]:
    """Two people who sway; whoever is first changes from frame to frame."""
    both = [person(LAYOUTS[layout], x + 2 * frame) for x in PLACES]
    return both[:: -1 if frame % 2 else 1]


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(json.dumps(content))
    return path


def openpose(layout: str, key: str = "pose_keypoints_2d", share: bool = False) -> Write:
    def make(folder: Path) -> Path:
        for frame in range(FRAMES):
            scale = [1 / SIZE[0], 1 / SIZE[1], 1] if share else [1, 1, 1]
            found = [{"person_id": [-1], key: (p * scale).ravel().tolist()} for p in people(layout, frame)]
            found.append({"person_id": [-1], key: []})  # only a face
            write(folder / "json" / f"clip_{frame:012d}_keypoints.json", {"version": 1.3, "people": found})
        return folder / "json"

    return make


def pose2sim(folder: Path) -> Path:
    for frame in range(FRAMES):
        nobody = np.full(78, np.nan)  # as its json.dump writes a person who is out of sight
        rows = [*(p.ravel() for p in people("halpe-26", frame)), nobody]
        found = [{"person_id": [-1], "pose_keypoints_2d": row.tolist()} for row in rows]
        write(folder / "clip_json" / f"clip_{frame:06d}.json", {"version": 1.3, "people": found})
    return folder / "clip_json"


def alphapose(layout: str, identities: bool = False) -> Write:
    def make(folder: Path) -> Path:
        rows = []
        for frame in range(FRAMES):
            for points in people(layout, frame):
                row = {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": points.ravel().tolist(), "score": 2.5}
                rows.append(row | ({"idx": [float(points[0, 0] > 500 + 2 * frame)]} if identities else {}))
        return write(folder / "alphapose-results.json", rows)

    return make


def coco_results(folder: Path) -> Path:
    rows = [
        {"image_id": frame + 1, "category_id": 1, "keypoints": points.ravel().tolist(), "score": 0.8}
        for frame in range(FRAMES)
        for points in people("coco-17", frame)
    ]
    return write(folder / "results.json", rows)


def coco_annotations(folder: Path) -> Path:
    images = [{"id": 90 + n, "file_name": f"f{n}.png", "width": SIZE[0], "height": SIZE[1]} for n in range(FRAMES)]
    rows = [
        {
            "image_id": 90 + frame,
            "category_id": 1,
            "id": frame,
            "keypoints": (points * [1, 1, 2 / 0.9]).ravel().tolist(),
        }
        for frame in range(FRAMES)
        for points in people("coco-17", frame)
    ]
    return write(folder / "instances.json", {"images": images, "annotations": rows, "categories": []})


def instances(layout: str, frame: int) -> list[dict]:
    return [
        {"keypoints": p[:, :2].tolist(), "keypoint_scores": p[:, 2].tolist(), "bbox": [[0, 0, 9, 9]], "bbox_score": 0.9}
        for p in people(layout, frame)
    ]


def mmpose(folder: Path) -> Path:
    rows = [{"frame_id": frame, "instances": instances("coco-17", frame)} for frame in range(FRAMES)]
    return write(folder / "clip.json", rows)


def mmpose_demo(folder: Path) -> Path:
    names = {str(number): name for number, name in enumerate(LAYOUTS["halpe-26"])}
    rows = [{"frame_id": frame + 1, "instances": instances("halpe-26", frame)} for frame in range(FRAMES)]
    meta = {"dataset_name": "halpe26", "num_keypoints": 26, "keypoint_id2name": names}
    return write(folder / "results.json", {"meta_info": meta, "instance_info": rows})


def mmpose_images(folder: Path) -> Path:
    for frame in range(FRAMES):
        write(folder / "predictions" / f"frame{frame}.json", instances("coco-17", frame))
    return folder / "predictions"


def labels(columns: int, extra: Callable[[int, int], list]) -> Write:
    def make(folder: Path) -> Path:
        (folder / "labels").mkdir(parents=True)
        for frame in range(FRAMES):
            lines = []
            for points in people("coco-17", frame):
                row = (points / [SIZE[0], SIZE[1], 1])[:, :columns].ravel().tolist()
                lines.append([0, 0.5, 0.5, 0.2, 0.3, *row, *extra(frame, int(points[0, 0] > 500 + 2 * frame) + 1)])
            text = "\n".join(" ".join(f"{number:g}" for number in line) for line in lines)
            (folder / "labels" / f"clip_{frame + 1}.txt").write_text(text + "\n")
        return folder / "labels"

    return make


def ultralytics_rows(frame: int) -> list[dict]:
    return [
        {
            "name": "person",
            "class": 0,
            "confidence": 0.9,
            "box": {"x1": 1.0, "y1": 1.0, "x2": 2.0, "y2": 2.0},
            "keypoints": dict(zip(("x", "y", "visible"), points.T.tolist(), strict=True)),
        }
        for points in people("coco-17", frame)
    ]


def ultralytics(folder: Path) -> Path:
    return write(folder / "clip.json", [ultralytics_rows(frame) for frame in range(FRAMES)])


def ultralytics_frames(folder: Path) -> Path:
    for frame in range(FRAMES):
        write(folder / "json" / f"{frame}.json", ultralytics_rows(frame))
    return folder / "json"


def landmarks(points: np.ndarray, share: bool) -> list[dict]:
    points = points / [SIZE[0], SIZE[1], 1] if share else points
    return [{"x": x, "y": y, "z": 0.1, "visibility": score} for x, y, score in points.tolist()]


def mediapipe(share: bool, wrap: Callable[[list], object]) -> Write:
    def make(folder: Path) -> Path:
        rows = [wrap([landmarks(points, share) for points in people("blazepose-33", n)]) for n in range(FRAMES)]
        return write(folder / "landmarks.json", rows)

    return make


def trc(folder: Path, units: float = 1.0, depth: float = 0.0) -> Path:
    """As Sports2D writes it, two people in two files, and those in metres beside them."""
    names = [name for name in LAYOUTS["halpe-26"] if name not in ("LEye", "REye", "LEar", "REar")]
    (folder / "out").mkdir(parents=True, exist_ok=True)
    for kind, scale in (("px", units), ("m", 0.004)):
        for number, x in enumerate(PLACES):
            lines = [
                f"PathFileType\t4\t(X/Y/Z)\tclip_{kind}_person{number:02d}.trc",
                "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
                f"{FPS:g}\t{FPS:g}\t{FRAMES}\t{len(names)}\tm\t{FPS:g}\t0\t{FRAMES}",
                "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t\t",
                "\t\t" + "\t".join(f"X{n}\tY{n}\tZ{n}" for n in range(1, len(names) + 1)),
            ]
            for frame in range(FRAMES):
                points = person(names, x + 2 * frame) * scale
                row = [str(word) for point in points for word in (point[0], point[1], depth)]
                if frame == 5:
                    row = [""] * len(row)  # out of sight
                lines.append("\t".join([str(frame), f"{frame / FPS}", *row]))
            (folder / "out" / f"clip_{kind}_person{number:02d}.trc").write_text("\n".join(lines) + "\n")
    return folder / "out"


def deeplabcut(several: bool) -> Write:
    def make(folder: Path) -> Path:
        names = [name for name in LAYOUTS["halpe-26"] if name != "Neck"]
        animals = ["alice", "bob"] if several else ["alice"]
        head: dict[str, list[str]] = {"scorer": [], "individuals": [], "bodyparts": [], "coords": []}
        for animal in animals:
            for name in names:
                for coordinate in ("x", "y", "likelihood"):
                    for key, word in zip(head, ("DLC_net", animal, name, coordinate), strict=True):
                        head[key].append(word)
        if not several:
            del head["individuals"]
        lines = [",".join([key, *words]) for key, words in head.items()]
        for frame in range(FRAMES):
            words: list[str] = []
            for _, x in zip(animals, PLACES, strict=False):
                words += [str(number) for number in person(names, x + 2 * frame).ravel()]
            words[:3] = ["", "", "0.01"] if frame == 3 else words[:3]  # an empty nose
            lines.append(",".join([str(frame), *words]))
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "clipDLC.csv").write_text("\n".join(lines) + "\n")
        return folder / "clipDLC.csv"

    return make


FILES: dict[str, tuple[str, Write]] = {
    "OpenPose BODY_25": ("body-25", openpose("body-25")),
    "OpenPose COCO": ("coco-18", openpose("coco-18", "pose_keypoints")),
    "OpenPose in shares": ("body-25", openpose("body-25", share=True)),
    "Pose2Sim": ("halpe-26", pose2sim),
    "AlphaPose COCO": ("coco-17", alphapose("coco-17")),
    "AlphaPose Halpe": ("halpe-26", alphapose("halpe-26", identities=True)),
    "COCO results": ("coco-17", coco_results),
    "COCO annotations": ("coco-17", coco_annotations),
    "MMPose": ("coco-17", mmpose),
    "MMPose demo": ("halpe-26", mmpose_demo),
    "MMPose images": ("coco-17", mmpose_images),
    "ultralytics labels": ("coco-17", labels(3, lambda frame, who: [])),
    "ultralytics labels, sure": ("coco-17", labels(3, lambda frame, who: [0.87])),
    "ultralytics labels, who": ("coco-17", labels(3, lambda frame, who: [0.87, who])),
    "ultralytics labels, who alone": ("coco-17", labels(3, lambda frame, who: [who])),
    "ultralytics labels, no scores": ("coco-17", labels(2, lambda frame, who: [])),
    "ultralytics": ("coco-17", ultralytics),
    "ultralytics frames": ("coco-17", ultralytics_frames),
    "MediaPipe": ("blazepose-33", mediapipe(True, lambda both: both)),
    "MediaPipe pixels": ("blazepose-33", mediapipe(False, lambda both: {"landmarks": both, "worldLandmarks": []})),
    "MediaPipe wrapped": ("blazepose-33", mediapipe(True, lambda both: [{"landmark": person} for person in both])),
    "TRC": ("coco-17", trc),
    "DeepLabCut": ("coco-17", deeplabcut(True)),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_every_tool(kind: str, tmp_path: Path) -> None:
    layout, make = FILES[kind]
    tracker, fps, size = follow_file(make(tmp_path), FILM)
    keypoints = tracker.tracks(4)
    assert (fps, size, keypoints.shape) == (FPS, SIZE, (2, FRAMES, 17, 3))
    keypoints = keypoints[np.argsort(keypoints[:, 0, 0, 0])]  # from left to right
    frames = [number for number in range(FRAMES) if not (kind == "TRC" and number == 5)]
    expected = np.stack([[person(LAYOUTS[layout], x + 2 * frame) for frame in frames] for x in PLACES])
    expected = convert.convert(expected, convert.LAYOUTS[layout])  # (2, T, 17, 3)
    near = 8 if kind in ("TRC", "DeepLabCut") else 0.02  # Neck/Nose and Head, without eyes and ears
    np.testing.assert_allclose(keypoints[:, frames][..., :2], expected[..., :2], atol=near)
    if kind == "TRC":
        assert not keypoints[:, 5].any()


def test_one_person_of_deeplabcut_and_of_trc(tmp_path: Path) -> None:
    assert follow_file(deeplabcut(False)(tmp_path), FILM)[0].tracks(4).shape == (1, FRAMES, 17, 3)
    one = trc(tmp_path) / "clip_px_person00.trc"
    assert follow_file(one, FILM)[0].tracks(4).shape == (1, FRAMES, 17, 3)


def test_identities_hold_where_a_file_gives_them(tmp_path: Path) -> None:
    """Two who change places in one step are followed by who they are, and by where they are without that."""
    rows = []
    for frame in range(2 * FRAMES):
        for who in range(2):
            x = PLACES[who if frame < FRAMES else 1 - who]
            points = person(LAYOUTS["coco-17"], x).ravel().tolist()
            rows.append({"image_id": frame, "category_id": 1, "keypoints": points, "score": 0.9, "track_id": who + 1})
    path = write(tmp_path / "a.json", rows)
    moves = np.ptp(follow_file(path, FILM)[0].tracks(4)[:, :, 0, 0], axis=1)
    assert moves.min() > 300
    for row in rows[-2:]:
        row["track_id"] = 1  # one name of two people: no names then
    path.write_text(json.dumps(rows))
    moves = np.ptp(follow_file(path, FILM)[0].tracks(4)[:, :, 0, 0], axis=1)
    assert moves.max() < 50


def test_frames_keep_their_numbers(tmp_path: Path) -> None:
    """Frames without people, which many files leave out, are empty; and a film says where the first one is."""
    made = alphapose("coco-17")(tmp_path)
    rows = [row for row in json.loads(made.read_text()) if row["image_id"] not in ("0.jpg", "7.jpg", "23.jpg")]
    made.write_text(json.dumps(rows))

    def seen(path: Path, film: Film) -> list[int]:
        keypoints = follow_file(path, film)[0].tracks(4)
        assert film.length is None or keypoints.shape[1] == film.length()
        return np.flatnonzero((keypoints[..., 2] > 0).any(axis=(0, 2))).tolist()

    film = Film(FPS, SIZE, lambda: FRAMES)
    assert seen(made, film) == [frame for frame in range(FRAMES) if frame not in (0, 7, 23)]
    label = labels(3, lambda frame, who: [])(tmp_path)
    (label / "clip_1.txt").unlink()
    (label / "clip_9.txt").unlink()
    assert seen(label, film) == [frame for frame in range(FRAMES) if frame not in (0, 8)]
    assert seen(coco_results(tmp_path), film) == list(range(FRAMES))  # counts from 1
    names = tuple(f"{letter}.jpg" for letter in "abcdefghijklmnopqrstuvwxyz")
    for row in rows:
        row["image_id"] = names[int(row["image_id"][:-4])]
    made.write_text(json.dumps(rows))
    assert seen(made, Film(FPS, SIZE, lambda: 26, names)) == [n for n in range(FRAMES) if n not in (0, 7, 23)]


def changed(make: Write, change: Callable[[list], object]) -> Write:
    """A JSON file of which the content is changed."""

    def again(folder: Path) -> Path:
        path = make(folder)
        content = json.loads(path.read_text())
        result = change(content)
        path.write_text(result if isinstance(result, str) else json.dumps(content if result is None else result))
        return path

    return again


def with_file(make: Write, name: str, text: str) -> Write:
    """A folder in which one file has another content."""

    def again(folder: Path) -> Path:
        path = make(folder)
        (path / name).write_text(text)
        return path

    return again


def content(name: str, text: str | bytes) -> Write:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder / name

    return make


def vanishing(rows: list) -> list:
    """Everybody is in another place in each frame."""
    return [
        row | {"keypoints": person(LAYOUTS["coco-17"], 137 * n % 990, 0.02).ravel().tolist()}
        for n, row in enumerate(rows[::2])
    ]


def centred(keypoints: list[float]) -> list[float]:
    """Pixels as OpenPose's --keypoint_scale 4 has them: from -1 to 1."""
    points = np.reshape(keypoints, (-1, 3)) * [2 / SIZE[0], 2 / SIZE[1], 1] - [1, 1, 0]
    return points.ravel().tolist()


PLAIN = labels(3, lambda frame, who: [])
FRAME_3 = "clip_000000000003_keypoints.json"
BAD: dict[str, tuple[Write, str]] = {
    "unknown JSON": (content("a.json", '{"poses": [[1, 2, 3]]}'), "a.json: is JSON of an unknown tool.*OpenPose"),
    "a number": (content("a.json", "[1, 2]"), "unknown tool"),
    "nobody": (content("a.json", "[]"), "nobody"),
    "cut short": (content("a.json", '[{"image_id": 1,'), "a.json: is no JSON, it is damaged or cut short"),
    "deep": (content("a.json", "[" * 200_000), "a.json: is no JSON"),
    "a huge number": (content("a.json", "[" + "9" * 9999 + "]"), "a.json: is no JSON"),
    "empty": (content("a.json", ""), "a.json: is empty"),
    "bytes": (content("a.json", b"\xff\xfe\x00\x01"), "a.json: is no text"),
    "HDF5": (content("a.h5", b"\x89HDF\r\n\x1a\n"), "a.h5: is HDF5.*save_as_csv"),
    "prose": (content("a.csv", "hello,world\n1,2\n"), "a.csv: is no keypoints file"),
    "an empty folder": (lambda folder: folder, "holds no .json, .trc or .txt"),
    "one frame of ten": (with_file(openpose("body-25"), FRAME_3, '{"people": [{"po'), f"{FRAME_3}: is no JSON"),
    "an empty file": (with_file(openpose("body-25"), FRAME_3, ""), f"{FRAME_3}: is no JSON"),
    "another tool's frame": (
        with_file(openpose("body-25"), FRAME_3, '{"version": 1}'),
        f"{FRAME_3}: is JSON of an unknown tool, not OpenPose's",
    ),
    "empty frames": (
        changed(lambda folder: openpose("body-25")(folder) / FRAME_3, lambda document: {"people": []}),
        "nobody",
    ),
    "two numbers of three": (
        changed(alphapose("coco-17"), lambda rows: rows[4]["keypoints"].__delitem__(0)),
        "field keypoints of entry 4 has the shape .50,.",
    ),
    "a text among numbers": (
        changed(alphapose("coco-17"), lambda rows: rows[4]["keypoints"].__setitem__(0, "x")),
        "field keypoints of entry 4 is no list of numbers",
    ),
    "ragged": (
        changed(mmpose, lambda rows: rows[2]["instances"][1]["keypoints"].__delitem__(0)),
        "frame 2: field keypoints of person 1 and field keypoint_scores are not of the same joints",
    ),
    "NaN": (
        changed(alphapose("coco-17"), lambda rows: rows[4]["keypoints"].__setitem__(3, float("nan"))),
        "field keypoints of entry 4 is nan in x of joint 1",
    ),
    "infinity": (
        changed(alphapose("coco-17"), lambda rows: rows[4]["keypoints"].__setitem__(4, float("inf"))),
        "field keypoints of entry 4 is inf in y of joint 1",
    ),
    "percents": (
        changed(alphapose("coco-17"), lambda rows: rows[4]["keypoints"].__setitem__(5, 87)),
        "score of 87",
    ),
    "no image": (
        changed(alphapose("coco-17"), lambda rows: rows[4].__setitem__("image_id", None)),
        "field image_id of entry 4",
    ),
    "two models": (
        changed(alphapose("coco-17"), lambda rows: rows[4].__setitem__("keypoints", [1.0] * 78)),
        "people of 17 and of 26 joints",
    ),
    "no layout": (
        changed(alphapose("coco-17"), lambda rows: [row | {"keypoints": row["keypoints"][:21]} for row in rows]),
        "7 joints, of which no layout is known.*coco-17",
    ),
    "millions of frames": (
        changed(coco_results, lambda rows: rows[-1].__setitem__("image_id", 10**9)),
        "a film has up to",
    ),
    "a crowd": (
        changed(coco_results, lambda rows: [rows[0]] * 300),
        "more than 200 people",
    ),
    "from -1 to 1": (
        changed(
            alphapose("coco-17"),
            lambda rows: [row | {"keypoints": centred(row["keypoints"])} for row in rows],
        ),
        "keypoint_scale",
    ),
    "all of score 0": (
        changed(alphapose("coco-17"), lambda rows: [row | {"keypoints": [5.0, 5.0, 0.0] * 17} for row in rows]),
        "nobody in any",
    ),
    "labels of boxes": (with_file(PLAIN, "clip_3.txt", "0 0.5 0.5 0.1 0.1\n"), "clip_3.txt: line 1 has 5 numbers"),
    "labels of words": (with_file(PLAIN, "clip_3.txt", "person\n"), "clip_3.txt: line 1 is not numbers"),
    "metres": (lambda folder: trc(folder, 0.004) / "clip_px_person00.trc", "person00.trc: is in metres"),
    "3D": (lambda folder: trc(folder, depth=30.0), "person00.trc: is of 3D"),
    "TRC cut short": (
        lambda folder: cut(trc(folder) / "clip_px_person00.trc", 900),
        "person00.trc",
    ),
    "DeepLabCut cut short": (lambda folder: cut(deeplabcut(True)(folder), 60), "clipDLC.csv"),
    "DeepLabCut of a mouse": (
        content("m.csv", "scorer,a,a,a\nbodyparts,snout,snout,snout\ncoords,x,y,likelihood\n0,1,2,0.9\n"),
        "m.csv: line bodyparts: names no left shoulder",
    ),
}  # fmt: skip


def cut(path: Path, count: int) -> Path:
    text = path.read_text()
    path.write_text(text[:-count])
    return path


@pytest.mark.parametrize("kind", BAD)
def test_bad_files(kind: str, tmp_path: Path) -> None:
    make, message = BAD[kind]
    with pytest.raises(InputError, match=message) as refusal:
        follow_file(make(tmp_path), FILM)
    assert "\n" not in str(refusal.value)


def test_who_appears_and_vanishes_is_nobody(tmp_path: Path) -> None:
    path = changed(alphapose("coco-17"), vanishing)(tmp_path)
    assert len(follow_file(path, FILM)[0].tracks(4)) == 0


def test_size_and_layout_are_asked_for(tmp_path: Path) -> None:
    path = alphapose("coco-17")(tmp_path)
    with pytest.raises(InputError, match="--size"):
        follow_file(path, Film(FPS))
    with pytest.raises(InputError, match="most joints are outside of a picture of 90x90"):
        follow_file(path, Film(FPS, (90, 90)))
    with pytest.raises(InputError, match="--layout is 'mouse'; there is coco-17"):
        follow_file(path, FILM, "mouse")
    with pytest.raises(InputError, match="17 joints, which are not those of --layout body-25"):
        follow_file(path, FILM, "body-25")
    h36m = follow_file(path, FILM, "h36m-17")[0].tracks(4)
    np.testing.assert_allclose(np.sort(h36m[:, 0, 0, 0]), PLACES, atol=1e-3)  # the first point, as it is
    assert read_clip(coco_annotations(tmp_path)).size == SIZE
