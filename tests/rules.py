"""The rule that fills weights and inputs: every number follows from a name, a shape and a seed, so golden files hold no
weights.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from tests.synthetic import smooth_motion

GOLDEN = Path(__file__).resolve().parent / "golden"
# Every registered model at sizes that run in milliseconds.
SMALL = {
    "mixste.mixste": {"frames": 9, "channel": 16, "d_hid": 24, "depth": 3},
    "mixste.hot_mixste": {"frames": 9, "channel": 16, "token_num": 5, "layer_index": 1, "depth": 3},
    "mixste.tpc_mixste": {"frames": 9, "channel": 16, "token_num": 5, "layer_index": 2, "depth": 3},
    "mixste.h2ot_mixste": {"frames": 9, "channel": 16, "d_hid": 24, "depth": 3, "prune": "1:7,2:4"},
    "mhformer.mhformer": {"frames": 27, "channel": 16, "d_hid": 24},
    "mhformer.tpc_mhformer": {"frames": 45, "channel": 16, "d_hid": 24, "token_num": 11, "layer_index": 1},
    "mhformer.hot_mhformer": {"frames": 45, "channel": 16, "d_hid": 24, "token_num": 11, "layer_index": 1},
    "mhformer.h2ot_mhformer": {"frames": 45, "channel": 16, "d_hid": 24, "prune": "1:23,2:10"},
    "motionbert.motionbert": {"frames": 9, "channel": 16, "depth": 3},
    "motionbert.hot_motionbert": {"frames": 9, "channel": 16, "token_num": 5, "layer_index": 1, "depth": 3},
    "motionbert.h2ot_motionbert": {"frames": 9, "channel": 16, "depth": 3, "prune": "1:7,2:4"},
    "motionagformer.motionagformer": {"frames": 9, "channel": 16, "depth": 3},
    "motionagformer.hot_motionagformer": {"frames": 9, "channel": 16, "token_num": 5, "layer_index": 2, "depth": 3},
    "motionagformer.h2ot_motionagformer": {"frames": 9, "channel": 16, "depth": 3, "prune": "1:7,2:4"},
}

Model = TypeVar("Model", bound=nn.Module)


def fill(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The value of the parameter or buffer `name`."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    z = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape).astype(np.float32)
    if leaf == "running_var":
        value = 1 + 0.1 * np.abs(z)
    elif leaf == "weight" and len(shape) == 1:  # scales of norms
        value = 1 + 0.1 * z
    elif len(shape) == 1:  # biases, running means, layer scales
        value = 0.02 * z
    elif leaf == "weight":  # linear and convolution weights
        value = z / np.sqrt(int(np.prod(shape[1:])))
    else:  # position embeddings, tokens
        value = 0.1 * z
    return value.astype(np.float32)


def motion(batch: int, frames: int, channels: int, seed: int, joints: int = 17) -> Tensor:
    """Smooth random motion (batch, frames, joints, channels) float32; the golden inputs have 17 joints."""
    return torch.from_numpy(smooth_motion(batch, frames, channels, seed, joints))


def filled_state(shapes: dict[str, tuple[int, ...]], seed: int = 7) -> dict[str, Tensor]:
    """A state dict of these names and shapes, filled by the rule."""
    return {name: torch.from_numpy(np.asarray(fill(name, tuple(shape), seed))) for name, shape in shapes.items()}


def filled(model: Model, seed: int = 7) -> Model:
    """The model itself, with weights and buffers filled by the rule."""
    model.load_state_dict(
        filled_state({name: tuple(value.shape) for name, value in model.state_dict().items()}, seed), strict=True
    )
    return model


def read_golden(path: Path) -> tuple[dict, dict[str, tuple[int, ...]], Tensor, Tensor | None]:
    """meta, names and shapes of the state, output, and the kept frames where the model returns them."""
    with np.load(path) as data:
        shapes = {name: tuple(shape) for name, shape in json.loads(str(data["shapes"])).items()}
        index = torch.from_numpy(data["index"]) if "index" in data else None
        return json.loads(str(data["meta"])), shapes, torch.from_numpy(data["output"]), index
