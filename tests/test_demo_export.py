"""The demo's files: what is written is read back, what is broken is refused in a sentence, and the page works in a
browser.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import gzip
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pytest

from common.errors import InputError
from common.geometry.skeleton import H36M
from demo import viewer
from demo.export import csv_columns, write_csv, write_json
from demo.figure import SIDE_COLOURS, TRUNK_COLOURS
from demo.placing import APART, place_people
from demo.poses import Poses, read_poses, write_poses
from demo.results import hash_file
from demo.scene import Scene3D
from demo.viewer import pack_motion, write_viewer
from tests.synthetic import world_motion

TITLE = "day 1 </script><script>alert('x')</script> & \"co\" @@MOTION@@ größe.mp4"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture
def poses() -> Poses:
    """Two people, 40 frames: the second is away at the end, and unseen but bridged for two frames before."""
    world = np.stack([world_motion(40, seed) for seed in (1, 2)])
    pose = np.stack([world[..., 0], -world[..., 2], world[..., 1]], axis=-1)
    pixels = pose[..., :2] * 150 + [960, 540] + np.array([-300, 300])[:, None, None, None] * [1, 0]
    score = np.random.default_rng(0).uniform(0.2, 1, pixels.shape[:-1])[..., None]
    pose = (pose - pose[..., :1, :]).astype(np.float32)
    keypoints = np.concatenate([pixels, score], axis=-1).astype(np.float32)
    valid = np.ones((2, 40), bool)
    valid[1, 10:12] = valid[1, 30:] = False
    pose[1, 30:] = np.nan
    keypoints[1, 30:] = 0
    return Poses(pose, keypoints, valid, 29.97, (1920, 1080), "mhformer.mhformer", "ab" * 32)


# ---- poses.npz ----


def test_poses_come_back(poses: Poses, tmp_path: Path) -> None:
    write_poses(tmp_path / "new" / "poses.npz", poses)
    found = read_poses(tmp_path / "new" / "poses.npz")
    for name, value in vars(poses).items():
        if isinstance(value, np.ndarray):
            assert np.array_equal(getattr(found, name), value, equal_nan=value.dtype != bool), name
            assert getattr(found, name).dtype == value.dtype
        else:
            assert getattr(found, name) == value
    assert np.array_equal(found.posed, np.arange(40) < [[40], [30]])
    with np.load(tmp_path / "new" / "poses.npz") as data:
        assert tuple(data["joints"]) == H36M.names
        assert tuple(data["parents"]) == H36M.parents
        assert "metres" in str(data["units"])
        assert "y down" in str(data["axes"])
    write_poses(tmp_path / "again.npz", poses)
    assert hash_file(tmp_path / "again.npz") == hash_file(tmp_path / "new" / "poses.npz")


def test_keypoints_that_are_not_finite_become_unseen(poses: Poses, tmp_path: Path) -> None:
    poses.keypoints_2d[0, 3, 5] = (np.nan, 7, 0.9)
    write_poses(tmp_path / "poses.npz", poses)
    assert read_poses(tmp_path / "poses.npz").keypoints_2d[0, 3, 5].tolist() == [0, 0, 0]


def changed(name: str, value: object) -> Callable[[dict], None]:
    def change(fields: dict) -> None:
        fields[name] = value(fields[name].copy()) if callable(value) else np.array(value)

    return change


def put(where: tuple[int, ...], value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[where] = value
        return values

    return change


BAD = {
    "no format": (lambda fields: fields.pop("format"), ["field format is missing"]),
    "another format": (changed("format", "hot-motion 1"), ["'hot-motion 1'", "'hot-poses 1'"]),
    "no poses": (lambda fields: fields.pop("poses_3d"), ["field poses_3d is missing"]),
    "no fps": (lambda fields: fields.pop("fps"), ["field fps is missing"]),
    "no speed": (changed("fps", 0.0), ["field fps"]),
    "one person without the axis": (changed("poses_3d", lambda v: v[0]), ["poses_3d", "(40, 17, 3)"]),
    "other joints": (changed("poses_3d", lambda v: v[:, :, :16]), ["poses_3d", "16"]),
    "no frames": (changed("poses_3d", lambda v: v[:, :0]), ["poses_3d", "(2, 0, 17, 3)"]),
    "text": (changed("poses_3d", "far"), ["poses_3d"]),
    "fewer keypoints": (changed("keypoints_2d", lambda v: v[:, 1:]), ["keypoints_2d", "(2, 39, 17, 3)"]),
    "no score": (changed("keypoints_2d", lambda v: v[..., :2]), ["keypoints_2d"]),
    "valid as numbers": (changed("valid", lambda v: v.astype(float)), ["valid", "float64"]),
    "valid of one": (changed("valid", lambda v: v[0]), ["valid", "(40,)"]),
    "no size": (changed("size", [0, 1080]), ["size, entry 0 is 0"]),
    "odd size": (changed("size", [1920, 1080, 3]), ["size"]),
    "named otherwise": (changed("joints", lambda v: v[::-1]), ["joints"]),
    "a pose is missing": (changed("poses_3d", put((0, 5), np.nan)), ["poses_3d", "person 0, frame 5, joint Hip"]),
    "half a pose": (changed("poses_3d", put((1, 35, 2), 1.0)), ["poses_3d", "person 1, frame 35"]),
    "endless": (changed("poses_3d", put((1, 4, 3, 2), np.inf)), ["person 1, frame 4, joint RFoot"]),
    "lost keypoint": (changed("keypoints_2d", put((1, 39, 16, 0), np.nan)), ["keypoints_2d", "frame 39, joint RWrist"]),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_not_as_they_should_be(name: str, poses: Poses, tmp_path: Path) -> None:
    path = tmp_path / "poses.npz"
    write_poses(path, poses)
    with np.load(path) as data:
        fields = dict(data)
    change, words = BAD[name]
    change(fields)
    np.savez(path, **fields)
    assert_refused(path, words)


def test_files_of_another_kind(poses: Poses, tmp_path: Path) -> None:
    path = tmp_path / "poses.npz"
    assert_refused(path, ["no such file"])
    path.write_text("person,frame\n")
    assert_refused(path, ["not a readable .npz"])
    write_poses(path, poses)
    path.write_bytes(path.read_bytes()[:-3000])
    assert_refused(path, ["not a readable"])


def assert_refused(path: Path, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        read_poses(path)
    text = str(error.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("write", [write_poses, write_csv, write_json])
def test_a_folder_that_cannot_be(write: Callable, poses: Poses, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "file" / "poses", poses)


def test_the_hash_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"12345" * 300_000)
    assert hash_file(tmp_path / "weights.pth") == hashlib.sha256(b"12345" * 300_000).hexdigest()
    with pytest.raises(InputError, match="nowhere"):
        hash_file(tmp_path / "nowhere.pth")


# ---- for other programs ----


def test_csv(poses: Poses, tmp_path: Path) -> None:
    write_csv(tmp_path / "poses.csv", poses)
    with open(tmp_path / "poses.csv", encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == csv_columns()
    assert head[:5] == ["person", "frame", "time_s", "valid", "Hip_x_m"]
    assert head[-1] == "RWrist_score"
    assert {len(row) for row in rows} == {len(head)}
    assert len(rows) == 80
    table = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows]).reshape(2, 40, -1)
    assert np.array_equal(table[..., 0], np.repeat([[0], [1]], 40, axis=1))
    assert np.array_equal(table[..., 1], np.tile(np.arange(40), (2, 1)))
    assert table[..., 2] == pytest.approx(table[..., 1] / 29.97, abs=1e-6)
    assert np.array_equal(table[..., 3] == 1, poses.valid)
    metres, pixels = table[..., 4:55].reshape(2, 40, 17, 3), table[..., 55:].reshape(2, 40, 17, 3)
    assert metres == pytest.approx(poses.poses_3d, abs=6e-7, nan_ok=True)
    assert pixels[..., :2] == pytest.approx(poses.keypoints_2d[..., :2], abs=6e-3)
    assert pixels[..., 2] == pytest.approx(poses.keypoints_2d[..., 2], abs=6e-4)
    assert table[1, 7, head.index("LWrist_y_m")] == pytest.approx(poses.poses_3d[1, 7, 13, 1], abs=6e-7)


def test_json(poses: Poses, tmp_path: Path) -> None:
    write_json(tmp_path / "poses.json", poses)
    found = json.loads((tmp_path / "poses.json").read_text(encoding="utf-8"))
    assert found["format"] == "hot-poses-json 1"
    assert (found["fps"], found["size"], found["frames"]) == (29.97, [1920, 1080], 40)
    assert (found["model"], found["checkpoint"]) == ("mhformer.mhformer", "ab" * 32)
    assert tuple(found["joints"]) == H36M.names
    assert tuple(found["parents"]) == H36M.parents
    assert len(found["people"]) == 2
    for person, entry in enumerate(found["people"]):
        assert np.array_equal(np.array(entry["valid"], bool), poses.valid[person])
        assert [frame is not None for frame in entry["poses_3d"]] == poses.posed[person].tolist()
        written = np.array([frame for frame in entry["poses_3d"] if frame])
        assert written == pytest.approx(poses.poses_3d[person][poses.posed[person]], abs=6e-7)
        assert np.array(entry["keypoints_2d"]) == pytest.approx(poses.keypoints_2d[person], abs=6e-3)


# ---- viewer.html ----


@pytest.fixture
def page(poses: Poses, tmp_path: Path) -> Path:
    path = tmp_path / "viewer # 1.html"
    view(path, poses)
    return path


def view(path: Path, poses: Poses) -> None:
    write_viewer(path, poses, places(poses), TITLE)


def places(poses: Poses) -> np.ndarray:
    return place_people(poses.poses_3d, poses.posed, poses.fps, poses.keypoints_2d)


def element(text: str, name: str) -> str:
    """What stands in the script element of that id."""
    return re.search(rf'<script type="[a-z/]+" id="{name}">(.*?)</script>', text, re.S)[1]


def unpacked(text: str, name: str) -> bytes:
    return gzip.decompress(base64.b64decode(element(text, name)))


def test_the_page_loads_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]+)""", text) == ["data:,"]
    assert "default-src 'none'" in text
    scripts = [text, *(unpacked(text, name).decode() for name in viewer.LIBRARY)]
    sources = set()
    for script in scripts:
        sources |= set(re.findall(r"""\bfrom\s*["']([^"']+)["']""", re.sub(r"/\*.*?\*/", "", script, flags=re.S)))
        assert not re.search(r"""\bimport\s*\(?\s*["']|@import|\bimportScripts\b|sendBeacon""", script)
    assert sources == {"three", "./three.core.min.js"} | ({"${three}"} & sources)  # the page puts in what it carries
    assert "@@" not in text.replace("@@MOTION@@", "")  # that one is in the title
    assert "three.js authors" in text  # the licence goes with the copy
    assert len(text) < 500_000


def test_a_title_stays_a_title(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "alert('x')</script>" not in text
    assert unescape(re.search(r"<title>(.*?)</title>", text)[1]) == TITLE
    assert json.loads(element(text, "meta"))["title"] == TITLE


def test_the_page_holds_the_motion(page: Path, poses: Poses) -> None:
    text = page.read_text(encoding="utf-8")
    meta, data = json.loads(element(text, "meta")), np.frombuffer(unpacked(text, "motion"), np.uint8)
    assert (meta["people"], meta["frames"], meta["fps"], meta["size"]) == (2, 40, 29.97, [1920, 1080])
    wide = 2 * (51 + 1 + 34)
    halves = data[: 2 * wide * 40].reshape(wide, 2, 40).astype(np.uint16)
    planes = np.cumsum(halves[:, 0] | halves[:, 1] << 8, axis=1, dtype=np.uint16).view(np.int16)
    pose = (planes[:102] * meta["metre"]).reshape(2, 17, 3, 40).transpose(0, 3, 1, 2)
    pixels = (planes[104:] * meta["pixel"]).reshape(2, 17, 2, 40).transpose(0, 3, 1, 2)
    score = (data[2 * wide * 40 :][: 34 * 40] / 255).reshape(2, 17, 40).transpose(0, 2, 1)
    state = data[-2 * 40 :].reshape(2, 40)
    posed = poses.posed
    assert np.array_equal(state, posed * (1 + poses.valid))
    assert pose[posed] == pytest.approx(poses.poses_3d[posed], abs=1e-4)
    assert pixels == pytest.approx(poses.keypoints_2d[..., :2], abs=0.05)
    assert score == pytest.approx(poses.keypoints_2d[..., 2], abs=2e-3)
    offsets = places(poses)
    assert planes[102:104] * meta["metre"] == pytest.approx(-offsets[..., 1], abs=1e-4)
    assert meta["across"] == pytest.approx([-APART / 2, APART / 2])


def test_the_page_draws_the_figure_of_the_video(poses: Poses, tmp_path: Path) -> None:
    people = len(TRUNK_COLOURS) + 1
    many = dataclasses.replace(
        poses,
        **{name: np.repeat(getattr(poses, name)[:1], people, axis=0) for name in ("poses_3d", "keypoints_2d", "valid")},
    )
    view(tmp_path / "viewer.html", many)
    meta = json.loads(element((tmp_path / "viewer.html").read_text(encoding="utf-8"), "meta"))
    assert [tuple(bone) for bone in meta["bones"]] == list(H36M.bones)
    for joint, side in enumerate(meta["sides"]):
        assert side == {"L": "left", "R": "right"}.get(H36M.names[joint][0], "middle")
    trunks = [colours["middle"] for colours in meta["colours"]]
    assert len(set(trunks)) == people - 1
    assert trunks[-1] == trunks[0]  # after the last colour comes the first again
    assert {(colours["right"], colours["left"]) for colours in meta["colours"]} == {
        (SIDE_COLOURS["right"], SIDE_COLOURS["left"])
    }
    scene = Scene3D.around((500, 500), many.poses_3d + places(many)[:, :, None], many.posed)
    assert meta["centre"] == pytest.approx(scene.centre)
    assert (meta["distance"], meta["azimuth"], meta["elevation"]) == pytest.approx(
        (scene.distance, scene.azimuth, scene.elevation)
    )


def test_people_stand_on_the_page_where_they_were_placed(poses: Poses) -> None:
    offsets = places(poses) + np.array([[0.5, -0.25, 0], [2, 1, 0]], np.float32)[:, None]  # (2, 40, 3)
    meta, motion = pack_motion(poses, offsets)
    assert meta["across"] == pytest.approx(offsets[:, 0, 0])
    ground = np.frombuffer(motion, np.uint8)[102 * 80 : 104 * 80].reshape(2, 2, 40).astype(np.uint16)
    ground = np.cumsum(ground[:, 0] | ground[:, 1] << 8, axis=1, dtype=np.uint16).view(np.int16)
    assert ground * meta["metre"] == pytest.approx(-offsets[..., 1], abs=1e-4)


def test_the_same_motion_gives_the_same_page(page: Path, poses: Poses, tmp_path: Path) -> None:
    view(tmp_path / "again.html", poses)
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def packed(poses: Poses) -> tuple[dict, bytes]:
    return pack_motion(poses, places(poses))


def test_a_long_motion_stays_small(poses: Poses) -> None:
    rng = np.random.default_rng(0)
    pose = np.tile(poses.poses_3d[:1], (1, 50, 1, 1)) + rng.normal(0, 0.004, (1, 2000, 17, 3))
    keypoints = np.tile(poses.keypoints_2d[:1], (1, 50, 1, 1)) + rng.normal(0, 3, (1, 2000, 17, 3))
    _, motion = packed(
        dataclasses.replace(poses, poses_3d=pose, keypoints_2d=keypoints, valid=np.ones((1, 2000), bool))
    )
    assert len(base64.b64encode(gzip.compress(motion))) < 1_000_000  # noise and all: 10 MB for 20,000 frames


def test_one_wild_number_costs_the_others_little(poses: Poses) -> None:
    poses.poses_3d[0, 3, 16, 0] = 1e20
    poses.keypoints_2d[0, 3, 16, 0] = -1e20
    meta, _ = packed(poses)
    assert meta["metre"] < 1e-3
    assert meta["pixel"] < 1


def test_a_motion_without_anybody(poses: Poses, tmp_path: Path) -> None:
    away = dataclasses.replace(poses, poses_3d=np.full_like(poses.poses_3d, np.nan), valid=np.zeros_like(poses.valid))
    view(tmp_path / "viewer.html", away)
    text = (tmp_path / "viewer.html").read_text(encoding="utf-8")
    assert not np.frombuffer(unpacked(text, "motion"), np.uint8)[-80:].any()


def test_the_library_is_the_published_one() -> None:
    folder = Path(viewer.__file__).parent / "vendor" / "three"
    listed = dict(re.findall(r"^\| (\S+\.js) \|.*\| ([0-9a-f]{64}) \|$", (folder / "README.md").read_text(), re.M))
    assert sorted(listed) == sorted(viewer.LIBRARY.values())
    assert {name: hash_file(folder / name) for name in listed} == listed


# ---- in a browser ----


@pytest.fixture
def browser(page: Path, tmp_path: Path) -> Iterator[object]:
    """Chromium without a window, with the page open and ready."""
    webdriver = pytest.importorskip("selenium.webdriver")
    driver = shutil.which("chromedriver")
    if not (CHROMIUM and driver):
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-sync",
        "disable-component-update", "use-gl=angle", "use-angle=swiftshader", "enable-unsafe-swiftshader",
        "disable-dev-shm-usage",
        "window-size=900,640", f"user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        chrome.set_script_timeout(60)
        chrome.get(page.as_uri())
        ready = (
            "const done = arguments[0]; window.viewer.ready.then(() => done('ready'), (error) => done(String(error)))"
        )
        assert chrome.execute_async_script(ready) == "ready"
        yield chrome
    finally:
        chrome.quit()


def wait(browser: object, condition: str) -> None:
    """Until a JavaScript expression is true."""
    script = "const done = arguments[0], look = () => (CONDITION) ? done(true) : requestAnimationFrame(look); look()"
    browser.execute_async_script(script.replace("CONDITION", condition))


def test_in_a_browser(browser: object, poses: Poses, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def ask(expression: str) -> object:
        return browser.execute_script(f"return {expression}")

    assert browser.title == TITLE
    assert browser.find_element(By.ID, "title").text == TITLE
    assert ask("[viewer.frames, viewer.people, viewer.frame, viewer.playing]") == [40, 2, 0, False]

    # What is drawn is what was written: 3D moved to its place on the ground, 2D as it is.
    offsets = places(poses)
    browser.execute_script("viewer.seek(20)")
    wait(browser, "document.getElementById('time').textContent.startsWith('frame 20 / 39')")
    for person in range(2):
        drawn = np.array(ask(f"viewer.positions({person})"))
        assert drawn == pytest.approx(poses.poses_3d[person, 20] + offsets[person, 20], abs=2e-4)
    assert np.array(ask("viewer.keypoints(1, 7)")) == pytest.approx(poses.keypoints_2d[1, 7], abs=0.05)
    shot = cv2.imdecode(np.frombuffer(browser.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(tmp_path / "viewer.png"), shot)
    blue, _, red = shot.astype(int).transpose(2, 0, 1)
    top, bottom, half = 100, shot.shape[0] - 120, shot.shape[1] // 2
    for colour in (red - blue, blue - red):
        assert (colour[top:bottom, :half] > 60).sum() > 30
        assert (colour[top:bottom, half:] > 60).sum() > 300

    browser.execute_script("viewer.seek(35)")  # the second person is away
    wait(browser, "viewer.frame === 35 && viewer.positions(1) === null")
    assert ask("viewer.positions(0).length") == 17

    # Scrubbing, as by hand.
    browser.execute_script(
        "const s = document.getElementById('scrub'); s.value = 12; s.dispatchEvent(new Event('input'))"
    )
    wait(browser, "viewer.frame === 12 && document.getElementById('time').textContent.includes('0.40 / 1.30 s')")

    # Playing moves the skeleton.
    before = ask("viewer.positions(0)")
    browser.find_element(By.ID, "play").click()
    wait(browser, "viewer.playing && viewer.frame !== 12")
    wait(browser, f"Math.abs(viewer.positions(0)[16][0] - {before[16][0]}) > 1e-3")
    browser.find_element(By.ID, "play").click()
    assert ask("viewer.playing") is False

    # Keys, also with a button in focus.
    browser.execute_script("viewer.seek(5)")
    body = browser.find_element(By.TAG_NAME, "body")
    for key, frame in (
        (Keys.ARROW_RIGHT, 6),
        (Keys.ARROW_LEFT, 5),
        (Keys.END, 39),
        (Keys.ARROW_RIGHT, 39),
        (Keys.HOME, 0),
    ):
        body.send_keys(key)
        assert ask("viewer.frame") == frame
    browser.find_element(By.ID, "play").send_keys(" ")
    assert ask("viewer.playing") is True
    body.send_keys(" ")
    assert ask("viewer.playing") is False

    # Without the loop it stops at the end.
    browser.find_element(By.ID, "loop").click()
    browser.execute_script("viewer.seek(38); viewer.play()")
    wait(browser, "!viewer.playing")
    assert ask("viewer.frame") == 39

    # A person can be hidden.
    browser.find_elements(By.CSS_SELECTOR, "#legend input")[0].click()
    browser.execute_script("viewer.seek(3)")
    wait(browser, "viewer.frame === 3 && viewer.positions(0) === null && viewer.positions(1) !== null")
    for button in browser.find_elements(By.CSS_SELECTOR, ".views button"):
        button.click()

    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    loaded = ask("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert all(name.startswith(("blob:", "data:")) for name in loaded), loaded
