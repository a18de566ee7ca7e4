"""The hourglass: a plan about the frame axis, and the one `forward` that carries it out for every backbone."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from common.errors import InputError
from model.layers import CrossAttention
from model.macs import Macs, cross_attention_macs, run_counted
from model.pruning import SELECTORS, count_before, gather_frames, is_one_of
from model.recovering import POSE_RECOVERERS, RECOVERERS, recover_by_attention


@dataclass(frozen=True)
class Hourglass:
    """Which frames stay from where on, and how the others come back.

    stages: (layer, keep) pairs: before that layer, keep so many frames. select: a name of `pruning.SELECTORS`.
    recover: a name of `recovering.RECOVERERS`: "attention" (learned, on tokens), "interpolation" or "nearest" (of
    poses), all three sequence to sequence; or "none" (sequence to frame: poses of the kept frames only). always: frame
    numbers that every stage keeps. No stages: the plain backbone. text: the words that `stages` was read from, for
    messages; empty: none.
    """

    stages: tuple[tuple[int, int], ...] = ()
    select: str = "cluster"
    recover: str = "none"
    always: tuple[int, ...] = ()
    text: str = field(default="", compare=False)

    @classmethod
    def read(
        cls, frames: int, prune: str, select: str, recover: str, own: tuple[tuple[int, int], ...] = ()
    ) -> Hourglass:
        """The plan of a model over `frames` frames. prune: its stages in words, "LAYER:FRAMES,LAYER:FRAMES,..."; empty:
        `own`.

        Where nothing is recovered the centre frame always stays. Raises InputError for words that say no stages.
        """
        if prune and not re.fullmatch(r"\d{1,6}:\d{1,6}(,\d{1,6}:\d{1,6})*", prune, re.ASCII):
            raise InputError(
                f"prune is {prune!r}; it must be pairs LAYER:FRAMES with commas between them, such as 1:121,3:81,5:27"
            )
        stages = tuple((int(layer), int(keep)) for layer, keep in re.findall(r"(\d+):(\d+)", prune)) if prune else own
        return cls(stages, select, recover, ((frames - 1) // 2,) if recover == "none" else (), prune)

    def frames_at(self, layer: int, frames: int) -> int:
        """How many frames layer `layer` sees when `frames` go in."""
        return min([frames, *(keep for pruned, keep in self.stages if pruned <= layer)])

    @property
    def learned(self) -> bool:
        """Whether the plan brings parameters: positions of the kept tokens and recovering attention."""
        return bool(self.stages) and self.recover == "attention"

    @property
    def kept_only(self) -> bool:
        """Whether only kept frames get a pose."""
        return bool(self.stages) and self.recover == "none"


class Prediction(NamedTuple):
    """What a model returns.

    pose: (B, F, J, 3), or (B, K, J, 3) where only kept frames have a pose; metres, camera space.
    frames: None when every frame has a pose, else (B, K) int64, sorted: the frame numbers of the rows of `pose`.
    kept: one (B, K_i) per stage of the plan, original frame numbers; given back to the model, it replays the selection.
    """

    pose: Tensor
    frames: Tensor | None
    kept: tuple[Tensor, ...]


class PoseTransformer(nn.Module, ABC):
    """A video pose transformer: embed, stages, finish, regress over tokens (B, F, S, C), with an hourglass over F.

    A backbone fills `embed`, `stage`, `finish` and `regress` (and `frame_features` where the mean over a frame's tokens
    is not what describes a frame), and calls `add_hourglass` once it knows its width. All else that others want to know
    of it has a default: the attributes below, `sizes_in`, `stage_macs` and `ends_macs`. `name` and `sizes` are what
    `create_model` was called with.
    """

    name: str
    sizes: dict[str, Any]
    first_stage: int = 0
    """The first layer before which frames may be pruned."""
    centre_only: bool = False
    """Whether the published evaluation scores the centre frame alone, whatever the stride."""
    size_axes: ClassVar[Mapping[str, tuple[str, int]]] = {}
    """The sizes that the shapes of the weights show: each with a parameter and the axis of it that is as long."""
    layer_list: ClassVar[str] = ""
    """The name of the list of modules whose length is the size `depth`; empty: the weights do not show it."""
    positions: Sequence[str] = ()
    """The names of the learned positions of frames and joints, each (..., C)."""
    no_weight_decay: Sequence[str] = ()
    """The names of the parameters that an optimizer must not let decay."""
    checkpoint_activations: bool = False
    """Whether training computes each layer again in the backward pass, in place of holding what it left: slower, in
    less memory, with the same gradients.
    """

    def __init__(self, frames: int, joints: int, in_channels: int, depth: int, plan: Hourglass) -> None:
        super().__init__()
        check_counts(joints=joints, in_channels=in_channels, depth=depth)
        if in_channels not in (2, 3):
            raise InputError(f"in_channels is {in_channels}; it must be 2 (x, y) or 3 (x, y, score)")
        check_plan(plan, frames, self.first_stage, depth - 1)
        if plan.select == "attention" and "scores" not in inspect.signature(self.stage).parameters:
            raise InputError(
                "select is 'attention', but this model's layers give no attention scores; select otherwise"
            )
        self.name, self.sizes = type(self).__name__, {}
        self.frames, self.joints, self.in_channels, self.depth, self.plan = frames, joints, in_channels, depth, plan

    def add_hourglass(self, channel: int, heads: int, qkv_bias: bool = True) -> None:
        """Hold what a plan learns, on the model itself and under the published names."""
        if self.plan.learned:
            for number, (_, keep) in enumerate(self.plan.stages, start=1):
                self.register_parameter(position_name(number), nn.Parameter(torch.zeros(1, keep, channel)))
            self.x_token = nn.Parameter(torch.zeros(1, self.frames, channel))
            self.cross_attention = CrossAttention(channel, heads, qkv_bias)

    @abstractmethod
    def embed(self, pose_2d: Tensor) -> Tensor:
        """Normalised 2D poses (B, F, J, in_channels) -> tokens (B, F, S, C)."""

    @abstractmethod
    def stage(self, layer: int, x: Tensor, scores: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Layer number `layer`: (B, K, S, C) -> (B, K, S, C).

        scores: return besides how much temporal attention each frame receives in this layer (B, K), the mean over
        heads, queries and tokens of a frame. Only plans that select by attention ask for it; a backbone without it
        leaves the argument out.
        """

    @abstractmethod
    def finish(self, x: Tensor) -> Tensor:
        """What follows the last layer and comes before recovering: (B, K, S, C) -> (B, K, S, C)."""

    @abstractmethod
    def regress(self, x: Tensor) -> Tensor:
        """Tokens (B, F or K, S, C) -> poses (B, F or K, J, 3) metres."""

    def frame_features(self, x: Tensor) -> Tensor:
        """What a selector compares: (B, K, S, C) -> (B, K, D)."""
        return x.mean(dim=2)

    @classmethod
    def sizes_in(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int | str]:
        """The sizes of a model of this class whose state dict has these shapes, as far as they show there."""
        sizes: dict[str, int | str] = {
            size: shapes[name][axis] for size, (name, axis) in cls.size_axes.items() if len(shapes.get(name, ())) > axis
        }
        if len(counts := kept_in(shapes)) == 1:
            sizes["token_num"] = counts[0]
        if cls.layer_list:
            item = re.compile(rf"{re.escape(cls.layer_list)}\.(\d+)\.")
            sizes["depth"] = len({match[1] for name in shapes if (match := item.match(name))})
        return sizes

    def learned_positions(self) -> list[nn.Parameter]:
        """The learned positions, (..., C) each: those of the backbone, of kept frames and of frames to recover."""
        names = list(self.positions)
        if self.plan.learned:
            names += [*(position_name(number) for number, _ in enumerate(self.plan.stages, start=1)), "x_token"]
        return [self.get_parameter(name) for name in names]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All parameters as an optimizer takes them; those of `no_weight_decay` are a group of their own."""
        spared = [self.get_parameter(name) for name in self.no_weight_decay]
        numbers = set(map(id, spared))
        groups: list[dict[str, Any]] = [{"params": [value for value in self.parameters() if id(value) not in numbers]}]
        return [*groups, {"params": spared, "weight_decay": 0.0}] if spared else groups

    @functools.cached_property
    def token_shape(self) -> torch.Size:
        """S and C of the tokens (B, F, S, C)."""
        return run_counted(self, self.embed, self._zeros(self.frames, self.joints, self.in_channels))[0].shape[2:]

    def stage_macs(self, layer: int, frames: int) -> Macs:
        """Multiply-accumulates of layer number `layer` over `frames` frames of one window: as PyTorch counts them.

        A backbone that knows a formula overrides this and `ends_macs`.
        """
        return run_counted(self, functools.partial(self.stage, layer), self._zeros(frames, *self.token_shape))[1]

    def ends_macs(self, kept: int, frames: int) -> Macs:
        """Those of `embed` on the whole window, `finish` on the `kept` frames and `regress` on `frames` frames."""
        embed = run_counted(self, self.embed, self._zeros(self.frames, self.joints, self.in_channels))[1]
        finish = run_counted(self, self.finish, self._zeros(kept, *self.token_shape))[1]
        return embed + finish + run_counted(self, self.regress, self._zeros(frames, *self.token_shape))[1]

    def macs(self) -> Macs:
        """Multiply-accumulates of one window, the plan included. Queries that a frame's tokens share count once for
        each.
        """
        total = Macs()
        for layer in range(self.depth):
            total += self.stage_macs(layer, self.plan.frames_at(layer, self.frames))
        kept = self.plan.frames_at(self.depth, self.frames)
        if not self.plan.learned:
            return total + self.ends_macs(kept, kept)
        tokens, channel = self.token_shape
        return total + cross_attention_macs(tokens, self.frames, kept, channel) + self.ends_macs(kept, self.frames)

    def _zeros(self, *shape: int) -> Tensor:
        """One window (1, *shape) where the weights are, in their number format."""
        return next(self.parameters(), torch.empty(0)).new_zeros(1, *shape)

    def forward(self, pose_2d: Tensor, kept: tuple[Tensor, ...] | None = None) -> Prediction:
        """Normalised 2D poses (B, F, J, in_channels) -> Prediction; `kept` of an earlier call replays its selection."""
        device = pose_2d.device.type
        # Half precision rounds places in the picture too coarsely; training does not mind.
        with torch.autocast(device, enabled=self.training and torch.is_autocast_enabled(device)):
            x = self.embed(pose_2d)  # (B, F, S, C)
        frames: Tensor | None = None
        scores: Tensor | None = None
        chosen: list[Tensor] = []
        plan, stages = self.plan, dict(self.plan.stages)
        for layer in range(self.depth):
            if layer in stages:
                if frames is None:
                    frames = torch.arange(self.frames, device=x.device).expand(x.shape[0], -1)  # (B, F)
                if kept is None:
                    index = self.select(x.detach(), pose_2d, frames, scores, stages[layer])  # (B, K) rows of x
                else:
                    index = count_before(frames, kept[len(chosen)])  # (B, K)
                x, frames = gather_frames(x, index), frames.gather(1, index)  # (B, K, S, C), (B, K)
                chosen.append(frames)
                if plan.learned:
                    x = x + getattr(self, position_name(len(chosen)))[:, :, None]
            # Attention that gives scores rounds differently, so a replay asks for them too, though it needs none.
            chooses_next = plan.select == "attention" and stages.get(layer + 1, x.shape[1]) < x.shape[1]
            stage = self._recomputed_stage if self.checkpoint_activations and torch.is_grad_enabled() else self.stage
            result = stage(layer, x, scores=True) if chooses_next else stage(layer, x)
            x, scores = result if isinstance(result, tuple) else (result, None)  # (B, K, S, C), (B, K)
        x = self.finish(x)  # (B, K, S, C)
        if plan.learned:
            x, frames = recover_by_attention(x, self.x_token, self.cross_attention), None  # (B, F, S, C)
        with torch.autocast(x.device.type, enabled=False):  # millimetres need more digits than half precision has
            pose = self.regress(x.to(torch.promote_types(x.dtype, torch.float32)))
            if frames is not None and plan.recover in POSE_RECOVERERS:
                pose, frames = POSE_RECOVERERS[plan.recover](pose, frames, self.frames), None  # (B, F, J, 3)
        return Prediction(pose, frames, tuple(chosen))

    def _recomputed_stage(self, *args: Any, **options: Any) -> Tensor | tuple[Tensor, Tensor]:
        contexts = functools.partial(_recomputing, self)
        return checkpoint(self.stage, *args, use_reentrant=False, context_fn=contexts, **options)

    def select(self, x: Tensor, pose_2d: Tensor, frames: Tensor, scores: Tensor | None, keep: int) -> Tensor:
        """Which rows of x (B, N, S, C) stay -> (B, keep). frames: (B, N) their frame numbers; scores: (B, N) attention
        received.
        """
        if keep == x.shape[1]:  # nothing to choose, and no scores to choose by
            return torch.arange(keep, device=x.device).expand(x.shape[0], -1)
        always = self.plan.always
        protected = is_one_of(frames, torch.tensor(always, device=x.device)) if always else None  # (B, N)
        if scores is not None:
            seen = scores
        elif self.plan.select == "motion":
            seen = gather_frames(pose_2d, frames)  # (B, N, J, in_channels): the frames that are still there
        else:
            seen = self.frame_features(x) if self.plan.select == "cluster" else x  # (B, N, D) or (B, N, S, C)
        return SELECTORS[self.plan.select](seen, keep, protected)


def _recomputing(model: nn.Module) -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
    """The contexts of a layer's first and second forward pass; in the second, batch norms count nothing twice."""

    @contextlib.contextmanager
    def again() -> Iterator[None]:
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
        before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
        for norm in norms:
            norm.momentum, norm.num_batches_tracked = 0.0, None
        try:
            yield
        finally:
            for norm, (momentum, count) in zip(norms, before, strict=True):
                norm.momentum, norm.num_batches_tracked = momentum, count

    return contextlib.nullcontext(), again()


def position_name(stage: int) -> str:
    """The parameter that holds the positions of the frames that stage number `stage`, counted from 1, keeps."""
    return "pos_embed_token" if stage == 1 else f"pos_embed_token_{stage}"


def kept_in(shapes: Mapping[str, tuple[int, ...]]) -> list[int]:
    """How many frames each stage of a learned plan keeps, as the shapes of a state dict show; none: no learned plan."""
    counts: list[int] = []
    while len(shape := shapes.get(position_name(len(counts) + 1), ())) == 3:
        counts.append(shape[1])
    return counts


def check_plan(plan: Hourglass, frames: int, first: int, last: int) -> None:
    """Raise InputError where the plan does not suit a model of `frames` frames that prunes before layers
    first..last.
    """
    if frames < 3 or frames % 2 == 0:
        raise InputError(
            f"frames is {frames}; it must be an odd number, 3 or more, so that a window has a centre frame"
        )
    for size, name, names in (("select", plan.select, SELECTORS), ("recover", plan.recover, RECOVERERS)):
        if name not in names:
            raise InputError(f"{size} is {name!r}; it must be one of {', '.join(names)}")
    layers, counts = [layer for layer, _ in plan.stages], [keep for _, keep in plan.stages]
    if layers != sorted(set(layers)) or counts != sorted(counts, reverse=True):
        said = f"prune is {plan.text!r}, which makes" if plan.text else f"the stages {plan.stages} make"
        raise InputError(f"{said} no plan; each stage must come later than the one before and keep no more frames")
    for layer, keep in plan.stages:
        place, count = f"layer_index is {layer}", f"token_num is {keep}"
        if plan.text:
            place, count = f"prune is {plan.text!r}, with layer {layer}", f"prune is {plan.text!r}, with {keep} frames"
        if not first <= layer <= last:
            raise InputError(f"{place}; this model prunes before layers {first} to {last}")
        if not max(1, len(plan.always)) <= keep <= frames:
            raise InputError(f"{count}; it must be between 1 and the number of frames, {frames}")
        if plan.select == "attention" and layer == 0:
            raise InputError(
                "select is 'attention', but no attention comes before layer 0; prune before a later layer or select "
                "otherwise"
            )


def check_counts(**sizes: int) -> None:
    """Raise InputError where one of the sizes, given by its name, is not 1 or more."""
    for size, value in sizes.items():
        if value < 1:
            raise InputError(f"{size} is {value!r}; it must be a whole number, 1 or more")


def check_width(channel: int, heads: int) -> None:
    """Raise InputError where the heads do not divide the width."""
    check_counts(heads=heads)
    if channel < heads or channel % heads:
        raise InputError(f"channel is {channel}; it must be a multiple of {heads}, the number of attention heads")
