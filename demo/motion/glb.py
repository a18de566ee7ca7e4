"""glb (binary glTF 2.0): everybody in one scene, each with a skin and an animation, for Blender, Unity, Godot and
browsers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pygltflib as gltf

from common.files import replacing
from common.geometry.rigid import RIG
from demo.motion.person import Person, end_offsets, quaternions

TYPES = {(): "SCALAR", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
CODES = {"float32": gltf.FLOAT, "uint16": gltf.UNSIGNED_SHORT, "uint8": gltf.UNSIGNED_BYTE}
THICK = 0.12
"""How thick the drawn bones are, as a part of their length."""


def write_glb(path: str | Path, people: Sequence[Person]) -> None:
    """Write everybody. Frames without a pose have no keys, but for the first and the last of the film.

    Raises InputError where `path` cannot be written.
    """
    scene = _Scene()
    for person in people:
        scene.add(person)
    with replacing(path) as temporary:
        scene.save(temporary)


class _Scene:
    """A glTF document that grows person by person."""

    def __init__(self) -> None:
        self.document = gltf.GLTF2(scene=0, scenes=[gltf.Scene(nodes=[])], asset=gltf.Asset(generator="HoT"))
        self.data = bytearray()

    def add(self, person: Person) -> None:
        """Put in a person: the joints as nodes, a mesh of one spindle for each bone, a skin and an animation."""
        document = self.document
        offsets = person.rigid.offsets.copy()
        ends = end_offsets(offsets)
        offsets[0] = 0, -_rest_places(offsets)[:, 1].min(), 0  # the T pose stands on the ground
        first = len(document.nodes)  # the number of the root joint's node
        for joint, name in enumerate(RIG.names):
            children = [first + child for child, parent in RIG.bones if parent == joint]
            document.nodes.append(
                gltf.Node(name=name, translation=offsets[joint].tolist(), rotation=[0, 0, 0, 1], children=children)
            )
        armature = self._node(gltf.Node(name=person.name, children=[first]))
        skinned = self._node(gltf.Node(name=f"{person.name} mesh", mesh=len(document.meshes), skin=len(document.skins)))
        document.scenes[0].nodes += [armature, skinned]

        rest = _rest_places(offsets)
        inverse = np.tile(np.eye(4, dtype=np.float32), (RIG.joints, 1, 1))  # (N, 4, 4), column by column
        inverse[:, 3, :3] = -rest
        joints = list(range(first, first + RIG.joints))
        skin = gltf.Skin(
            name=person.name, joints=joints, skeleton=armature, inverseBindMatrices=self._accessor(inverse)
        )
        document.skins.append(skin)
        document.meshes.append(gltf.Mesh(name=person.name, primitives=[self._spindles(rest, offsets, ends)]))
        document.animations.append(self._animation(person, first))

    def save(self, path: Path) -> None:
        """Write the document."""
        self.document.buffers = [gltf.Buffer(byteLength=len(self.data))]
        self.document.set_binary_blob(bytes(self.data))
        self.document.save_binary(str(path))

    def _node(self, node: gltf.Node) -> int:
        self.document.nodes.append(node)
        return len(self.document.nodes) - 1

    def _animation(self, person: Person, first: int) -> gltf.Animation:
        """Places of the root and turns of all joints, whose nodes begin with number `first`."""
        # Keys at both ends of the film, for Blender moves everybody's first key to the same frame.
        keys = np.union1d(person.posed, (0, len(person.joints) - 1))  # (F,) frames
        motion = person.in_every_frame()
        times = self._accessor((keys / person.fps).astype(np.float32), bounds=True)
        turns = quaternions(motion.turns[keys]).astype(np.float32)  # (F, N, 4)
        animation = gltf.Animation(name=person.name)
        tracks = [(0, "translation", motion.root[keys].astype(np.float32))]
        tracks += [(joint, "rotation", turns[:, joint]) for joint in range(RIG.joints)]
        for joint, kind, values in tracks:
            target = gltf.AnimationChannelTarget(node=first + joint, path=kind)
            animation.channels.append(gltf.AnimationChannel(sampler=len(animation.samplers), target=target))
            sampler = gltf.AnimationSampler(input=times, output=self._accessor(values), interpolation=gltf.ANIM_LINEAR)
            animation.samplers.append(sampler)
        return animation

    def _spindles(self, rest: np.ndarray, offsets: np.ndarray, ends: dict[int, np.ndarray]) -> gltf.Primitive:
        """The mesh of the T pose: each bone, and each joint's end, a spindle that moves with the joint it begins at."""
        bones = [(parent, offsets[joint]) for joint, parent in RIG.bones] + list(ends.items())
        parts = [(joint, rest[joint] + _spindle(bone)) for joint, bone in bones if np.linalg.norm(bone) > 1e-6]
        points = np.concatenate([part for _, part in parts]) if parts else np.zeros((3, 3))  # (V, 3)
        owners = np.repeat([joint for joint, _ in parts], len(SPINDLE)) if parts else np.zeros(3, int)  # (V,)
        bound = np.zeros((len(points), 4), np.uint8)
        bound[:, 0] = owners
        weights = np.tile(np.array([1, 0, 0, 0], np.float32), (len(points), 1))  # (V, 4)
        indices = np.arange(len(points), dtype=np.uint16)
        attributes = gltf.Attributes(
            POSITION=self._accessor(points.astype(np.float32), gltf.ARRAY_BUFFER, bounds=True),
            JOINTS_0=self._accessor(bound, gltf.ARRAY_BUFFER),
            WEIGHTS_0=self._accessor(weights, gltf.ARRAY_BUFFER),
        )
        return gltf.Primitive(attributes=attributes, indices=self._accessor(indices, gltf.ELEMENT_ARRAY_BUFFER))

    def _accessor(self, values: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Append values (n, ...) to the file's data -> the number of their accessor."""
        self.data += bytes(-len(self.data) % 4)
        data = np.ascontiguousarray(values).tobytes()
        document = self.document
        document.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=len(self.data), byteLength=len(data), target=target)
        )
        self.data += data
        flat = values.reshape(len(values), -1)
        document.accessors.append(
            gltf.Accessor(
                bufferView=len(document.bufferViews) - 1,
                componentType=CODES[str(values.dtype)],
                count=len(values),
                type=TYPES[values.shape[1:]],
                min=flat.min(axis=0).tolist() if bounds else None,
                max=flat.max(axis=0).tolist() if bounds else None,
            )
        )
        return len(document.accessors) - 1


CORNERS = np.array([[0, 0, 0], [0.2, 1, 0], [0.2, 0, 1], [0.2, -1, 0], [0.2, 0, -1], [1, 0, 0]])
"""Of a spindle: along the bone, and across it (to be made thinner)."""
SPINDLE = np.array([[0, b, a, 5, a, b] for a, b in ((1, 2), (2, 3), (3, 4), (4, 1))]).ravel()
"""Its triangles, corner by corner, seen from outside against the clock."""


def _spindle(bone: np.ndarray) -> np.ndarray:
    """The triangles (24, 3) of a spindle along `bone` (3,)."""
    length = np.linalg.norm(bone)
    along = bone / length
    side = np.cross(along, np.eye(3)[np.abs(along).argmin()])
    side /= np.linalg.norm(side)
    axes = np.stack([bone, THICK * length * side, THICK * length * np.cross(along, side)])
    return (CORNERS @ axes)[SPINDLE]


def _rest_places(offsets: np.ndarray) -> np.ndarray:
    """Where the joints (N, 3) are in the T pose."""
    places = offsets.copy()
    for joint, parent in RIG.bones:
        places[joint] += places[parent]
    return places
