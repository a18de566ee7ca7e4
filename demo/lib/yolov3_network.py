"""YOLOv3 (Redmon and Farhadi, 2018), with weights from Darknet's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.errors import InputError
from common.files import require_file

STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
"""Channels and residual blocks of the backbone, each stage at half the resolution."""
ANCHORS = (
    ((116, 90), (156, 198), (373, 326)),
    ((30, 61), (62, 45), (59, 119)),
    ((10, 13), (16, 30), (33, 23)),
)
"""Width and height in pixels of the boxes that the three heads start from, at strides 32, 16 and 8."""
CLASSES = 80
HEADER = 20
"""Bytes before the numbers: the version and how many pictures were seen."""


def _convolutions() -> Iterator[tuple[int, int, int, int, bool]]:
    """Inputs, outputs, kernel, stride of the 75 convolutions and whether they are normalised, in the file's order."""
    yield 3, 32, 3, 1, True
    for width, blocks in STAGES:
        yield width // 2, width, 3, 2, True
        for _ in range(blocks):
            yield width, width // 2, 1, 1, True
            yield width // 2, width, 3, 1, True
    for head, (inputs, width) in enumerate(((1024, 512), (768, 256), (384, 128))):
        if head:
            yield 2 * width, width, 1, 1, True
        for pair in range(3):
            yield 2 * width if pair else inputs, width, 1, 1, True
            yield width, 2 * width, 3, 1, True
        yield 2 * width, 3 * (5 + CLASSES), 1, 1, False


class _Unit(nn.Module):
    """A convolution; normalised and with a leaky ReLU, unless it is the last of a head."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, normalised: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=not normalised)
        self.norm = nn.BatchNorm2d(outputs) if normalised else None

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)  # (N, C, H, W)
        return x if self.norm is None else F.leaky_relu(self.norm(x), 0.1)

    def slots(self) -> list[Tensor]:
        """What is read from the file for it, in order."""
        weight, bias, norm = self.convolution.weight, self.convolution.bias, self.norm
        if norm is not None and norm.running_mean is not None and norm.running_var is not None:
            return [norm.bias, norm.weight, norm.running_mean, norm.running_var, weight]
        assert bias is not None  # where there is no normalisation
        return [bias, weight]


class YoloV3(nn.Module):
    """Pictures (N, 3, S, S), RGB 0..1, S that 32 divides -> boxes (N, M, 85): centre and size in pixels, objectness,
    classes; M of all cells at strides 32, 16, 8, row by row, three of each cell.
    """

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.ModuleList(_Unit(*shape) for shape in _convolutions())

    def forward(self, pictures: Tensor) -> Tensor:
        """As the class says."""
        units = iter(self.units)
        x, kept = next(units)(pictures), []
        for _, blocks in STAGES:
            x = next(units)(x)
            for _ in range(blocks):
                narrow, wide = next(units), next(units)
                x = x + wide(narrow(x))
            kept.append(x)  # (N, C, S/2^k, S/2^k)
        boxes, branch = [], x
        for head, anchors in enumerate(ANCHORS):
            if head:
                finer = F.interpolate(next(units)(branch), scale_factor=2.0, mode="nearest")
                x = torch.cat([finer, kept[-1 - head]], dim=1)
            for _ in range(3):
                branch = next(units)(x)
                x = next(units)(branch)
            boxes.append(_decoded(next(units)(x), anchors, pictures.shape[-1]))
        return torch.cat(boxes, dim=1)


def _decoded(raw: Tensor, anchors: tuple[tuple[int, int], ...], side: int) -> Tensor:
    """What a head says (N, 255, G, G) -> (N, 3 G G, 85) in pixels of a picture of `side`."""
    count, grid = len(raw), raw.shape[-1]
    raw = raw.view(count, 3, 5 + CLASSES, grid, grid).permute(0, 3, 4, 1, 2)  # (N, G, G, 3, 85)
    cells = torch.arange(grid, dtype=raw.dtype, device=raw.device)
    corner = torch.stack(torch.meshgrid(cells, cells, indexing="xy"), dim=-1)[:, :, None]  # (G, G, 1, 2): column, row
    centre = (torch.sigmoid(raw[..., :2]) + corner) * (side // grid)
    size = torch.exp(raw[..., 2:4]) * torch.tensor(anchors, dtype=raw.dtype, device=raw.device)
    boxes = torch.cat([centre, size, torch.sigmoid(raw[..., 4:])], dim=-1)  # (N, G, G, 3, 85)
    return boxes.reshape(count, -1, 5 + CLASSES)  # (N, 3 G G, 85)


def load_darknet(model: YoloV3, path: str | Path, advice: str) -> None:
    """Fill the network from yolov3.weights. Raises InputError, whose sentence ends with `advice`, where the file is cut
    short, damaged or of another network.
    """
    path = require_file(path, advice)
    slots = [slot for unit in model.modules() if isinstance(unit, _Unit) for slot in unit.slots()]
    expected = sum(slot.numel() for slot in slots)
    size = path.stat().st_size
    if size != HEADER + 4 * expected:
        have = f"{(size - HEADER) / 4:,.6g}" if size < HEADER else f"{(size - HEADER) // 4:,}"
        raise InputError(
            f"{path}: has {have} numbers, and YOLOv3 has {expected:,}; it is cut short or of another network: {advice}"
        )
    numbers, start = np.fromfile(path, "<f4", offset=HEADER), 0
    if not np.isfinite(numbers).all():
        raise InputError(f"{path}: holds numbers that are not finite, it is damaged; {advice}")
    with torch.no_grad():
        for slot in slots:
            slot.copy_(torch.from_numpy(numbers[start : start + slot.numel()]).view(slot.shape))
            start += slot.numel()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if any(norm.running_var is not None and (norm.running_var < 0).any() for norm in norms):
        raise InputError(f"{path}: holds variances below 0, it is of another network or damaged; {advice}")
