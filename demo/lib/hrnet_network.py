"""HRNet-W48 for poses (Sun et al., CVPR 2019), with the parameter names of the published weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (48, 96, 192, 384)
"""Channels of the branches, each at half the resolution of the one before."""
MODULES = (1, 4, 3)
"""How often the branches exchange what they know, in stages 2 to 4."""
BLOCKS = 4
"""Residual blocks in a row."""


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


def _unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> nn.Sequential:
    layers = [_conv(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class _BasicBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(width, width), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int = 64) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv(width, width), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.downsample = None if inputs == 4 * width else _unit(inputs, 4 * width, 1, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class _Exchange(nn.Module):
    """Branches of residual blocks, and then every branch receives the sum of all; targets: only the first so many."""

    def __init__(self, branches: int, targets: int) -> None:
        super().__init__()
        widths = WIDTHS[:branches]
        self.branches = nn.ModuleList(nn.Sequential(*(_BasicBlock(width) for _ in range(BLOCKS))) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self._path(source, target) for source in range(branches)) for target in range(targets)
        )

    @staticmethod
    def _path(source: int, target: int) -> nn.Module:
        """What brings a branch to the width and resolution of another."""
        if source == target:
            return nn.Identity()
        if source > target:
            scale = 2 ** (source - target)
            layers = _unit(WIDTHS[source], WIDTHS[target], 1, relu=False)
            return nn.Sequential(*layers, nn.Upsample(scale_factor=scale, mode="nearest"))
        steps = target - source
        return nn.Sequential(
            *(_unit(WIDTHS[source], WIDTHS[source], stride=2) for _ in range(steps - 1)),
            _unit(WIDTHS[source], WIDTHS[target], stride=2, relu=False),
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Per branch (N, C, H, W) -> the same of the targets."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for paths in self.fuse_layers:
            assert isinstance(paths, nn.ModuleList)  # one for each branch
            total = torch.zeros((), dtype=maps[0].dtype, device=maps[0].device)
            for path, x in zip(paths, maps, strict=True):
                total = total + path(x)  # (N, C, H, W)
            fused.append(F.relu(total))
        return fused


class HRNet(nn.Module):
    """Pictures (N, 3, H, W) of one person each, sides that 32 divides -> heatmaps (N, 17, H/4, W/4), COCO's joints."""

    def __init__(self, joints: int = 17) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(3, 64, stride=2), nn.BatchNorm2d(64)
        self.conv2, self.bn2 = _conv(64, 64, stride=2), nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(*(_Bottleneck(64 if number == 0 else 256) for number in range(BLOCKS)))
        self.transition1 = nn.ModuleList([_unit(256, 48), nn.Sequential(_unit(256, 96, stride=2))])
        self.transition2, self.transition3 = _new_branch(2), _new_branch(3)
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(
                *(
                    _Exchange(branches, 1 if branches == 4 and number == count - 1 else branches)
                    for number in range(count)
                )
            )
            for branches, count in zip((2, 3, 4), MODULES, strict=True)
        )
        self.final_layer = nn.Conv2d(WIDTHS[0], joints, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        """As the class says."""
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(pictures))))))  # (N, 64, H/4, W/4)
        x = self.layer1(x)  # (N, 256, H/4, W/4)
        maps = self.stage2([branch(x) for branch in self.transition1])
        maps = self.stage3([*maps, self.transition2[-1](maps[-1])])
        maps = self.stage4([*maps, self.transition3[-1](maps[-1])])
        return self.final_layer(maps[0])


def _new_branch(branches: int) -> nn.ModuleList:
    """The branches that there are go on; a new one is made from the last."""
    new = nn.Sequential(_unit(WIDTHS[branches - 1], WIDTHS[branches], stride=2))
    return nn.ModuleList([*(nn.Identity() for _ in range(branches)), new])
