"""What `torch.hub` offers: every registered model by its own name, and `lifter`, which turns 2D keypoints of a clip
into 3D.

model = torch.hub.load(PATH, "hot_mixste", source="local", frames=27, token_num=9)     # untrained, at any sizes
lift = torch.hub.load(PATH, "lifter", source="local")                                  # with the weights that come
along pose_3d = lift(pose_2d, size=(1920, 1080), fps=30)                                     # (T, 17, 2 or 3) -> (T,
17, 3) metres

The packages of this repository are named `model` and `common`: a program that has packages of these names itself cannot
load it into the same process.
"""

# torch.hub has this folder in sys.path only while it loads, so that everything is imported here and nothing later; and
# it offers whatever has no underscore in front.
import functools as _functools
import inspect as _inspect
from collections.abc import Callable as _Callable
from pathlib import Path as _Path

from common.inference import lifting as _lifting
from model import PoseTransformer as _PoseTransformer
from model import create_model as _create_model
from model import list_models as _list_models
from model import model_sizes as _model_sizes
from model.registry import model_builder as _model_builder

dependencies = ["torch", "numpy", "einops"]


def _entry_name(name: str) -> str:
    """The variant ("hot_mixste" of "mixste.hot_mixste") where only one family has it, else both parts."""
    variants = [other.split(".")[-1] for other in _list_models()]
    variant = name.split(".")[-1]
    return variant if variants.count(variant) == 1 else name.replace(".", "_")


def _entry(name: str) -> _Callable[..., _PoseTransformer]:
    def entry(**sizes: int | str) -> _PoseTransformer:
        return _create_model(name, **sizes)

    _functools.update_wrapper(entry, _model_builder(name))
    sizes = ", ".join(f"{size}={value}" for size, value in _model_sizes(name).items())
    entry.__doc__ = (
        f"{_inspect.getdoc(_model_builder(name))}\n\n"
        f"Registered as {name}; untrained. Sizes, all by keyword, and their defaults: {sizes}.\n"
        "The model turns normalised 2D poses (B, frames, joints, in_channels) into a Prediction, whose `pose` is in "
        "metres, camera\n"
        "space: (B, frames, joints, 3), or the kept frames only where `frames` of the Prediction says which.\n"
        "Raises InputError for a size that the model does not have, or sizes that do not fit together."
    )
    return entry


for _name in _list_models():
    globals()[_entry_name(_name)] = _entry(_name)


def lifter(checkpoint: str | _Path | None = None, device: str = "cpu", **options: object) -> _lifting.Lifter:
    """A trained model that lifts whole clips: lifter()(pose_2d, size=(width, height), fps=50.0, height=None, fov=None).

    checkpoint: a file that this repository's training wrote, or a folder of them; None: the weights that come along.
    device: such as "cpu" or "cuda". options: batch_size=8 (windows at a time), overlap=0.5 (share of a window that the
    next one sees again), flip=True (mean of a plain and a mirrored pass), backend="torch" (or "onnxruntime" or
    "openvino").

    The Lifter takes (T, 17, 2 or 3) pixels and score of the Human3.6M joints, and returns (T, 17, 3) float32: metres in
    camera axes (x right, y down, z forward), relative to joint 0. fov: degrees that the camera sees over the larger
    side of the picture, where they are known. Raises InputError where the file or the options cannot be used.
    """
    return _lifting.Lifter.from_checkpoint(checkpoint, device, **options)
