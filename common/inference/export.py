"""Models in the formats of other runtimes: with their selection of frames, for any number of windows, and checked."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import InputError
from common.files import check_writable, replacing
from common.inference.predict import predict
from model import PoseTransformer, Prediction

TOLERANCE = 1e-5
"""How far exported poses may be from PyTorch's, in metres (0.01 mm); poses beyond 1 m: this share of the farthest."""
BATCHES = (1, 2, 5)
"""The numbers of windows that an exported model is checked with."""

Run = Callable[[Tensor], list[Tensor]]
"""Runs an exported model: normalised 2D (B, F, J, channels) -> its outputs."""


class Format(NamedTuple):
    """A file format. suffix: of its files. packages: what writing it takes besides PyTorch; runs: what running it
    takes.
    """

    suffix: str
    packages: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


FORMATS = {
    "onnx": Format(".onnx", ("onnx", "onnxscript"), ("onnxruntime",)),
    "openvino": Format(".xml", ("onnx", "onnxscript", "openvino"), ("openvino",)),
    "torch_export": Format(".pt2"),
}
BACKENDS = {"torch": "torch_export", "onnxruntime": "onnx", "openvino": "openvino"}
"""What can run a model, and the format that it reads."""


class Flat(nn.Module):
    """A model, or the mean of its plain and its mirrored pass (`predict`), whose outputs are a plain row of tensors."""

    def __init__(self, model: PoseTransformer, mirrored: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.model, self.mirrored = model, mirrored

    def forward(self, pose_2d: Tensor) -> tuple[Tensor, ...]:
        pose, frames, kept = predict(self.model, pose_2d, self.mirrored)
        return (pose, *kept) if frames is None else (pose, *kept, frames)

    def names(self) -> list[str]:
        """The names of the outputs: pose (B, F or K, J, 3); kept_1 (B, K_1) ... of each stage of the plan; and frames
        (B, K) where only kept frames have a pose.
        """
        kept = [f"kept_{number}" for number, _ in enumerate(self.model.plan.stages, start=1)]
        return ["pose", *kept, *(["frames"] if self.model.plan.kept_only else [])]

    def prediction(self, outputs: list[Tensor]) -> Prediction:
        """The outputs as the model itself returns them."""
        stages = len(self.model.plan.stages)
        return Prediction(
            outputs[0], outputs[-1] if self.model.plan.kept_only else None, tuple(outputs[1 : 1 + stages])
        )


def require(what: str, packages: tuple[str, ...]) -> None:
    """Raise InputError that says what to install where one of the packages is not there."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{what} needs {' and '.join(missing)}; install with: pip install {' '.join(missing)}")


def exported(model: PoseTransformer, backend: str, mirrored: tuple[int, ...] | None) -> Callable[[Tensor], Prediction]:
    """`predict` of a model by another runtime: a function of normalised 2D (B, F, J, channels), any B.

    The weights are copied: later changes of the model do not count. Raises InputError for a backend that is unknown or
    not installed, or whose outputs are not PyTorch's (as `write_exported` checks them).
    """
    if backend not in BACKENDS:
        raise InputError(f"backend is {backend!r}; it must be one of {', '.join(BACKENDS)}")
    chosen = FORMATS[BACKENDS[backend]]
    require(f"backend {backend}", tuple(dict.fromkeys((*chosen.packages, *chosen.runs))))
    flat = Flat(model, mirrored)
    made = _onnx(flat, traced(flat))
    run = _onnxruntime(made.SerializeToString()) if backend == "onnxruntime" else _openvino(_openvino_model(made))
    _checked(flat, run, f"backend {backend}", "use backend torch")
    return lambda pose_2d: flat.prediction(run(pose_2d))


def write_exported(model: PoseTransformer, path: str | Path, format_name: str, about: Mapping[str, str]) -> float:
    """Write a model in a format of FORMATS, and check it before it takes its place -> the farthest pose, in metres.

    about: texts that the file holds besides. openvino: the weights are in a .bin beside the .xml. The check runs the
    file on drawn motion in batches of BATCHES windows. Raises InputError where a package is missing, the file cannot be
    written, kept frames differ from PyTorch's or poses by more than TOLERANCE.
    """
    chosen, path = FORMATS[format_name], Path(path)
    require(f"--format {format_name}", (*chosen.packages, *chosen.runs))
    if path.suffix != chosen.suffix:
        raise InputError(f"--output is {path}; the name of a file of format {format_name} ends in {chosen.suffix}")
    check_writable(path)
    flat = Flat(model)
    program = traced(flat)
    with contextlib.ExitStack() as held:
        temporary = held.enter_context(replacing(path))
        if format_name == "torch_export":
            torch.export.save(program, temporary, extra_files=dict(about))
            run: Run = _torch_export(temporary)
        elif format_name == "onnx":
            content = _onnx(flat, program, about).SerializeToString()
            temporary.write_bytes(content)
            run = _onnxruntime(content)
        else:
            import openvino

            made = _openvino_model(_onnx(flat, program))
            for key, value in about.items():
                made.set_rt_info(value, ["hot", key])
            openvino.save_model(made, temporary, compress_to_fp16=False)
            run = _openvino(openvino.Core().read_model(temporary))
        apart = _checked(flat, run, f"{path}: not written", "use another --format")
        if format_name == "openvino":
            weights = held.enter_context(replacing(path.with_suffix(".bin")))
            temporary.with_suffix(".bin").replace(weights)
        return apart


def traced(flat: Flat) -> torch.export.ExportedProgram:
    """The model as torch.export sees it, for any number of windows."""
    model = flat.model
    example = torch.zeros(2, model.frames, model.joints, model.in_channels)
    with _evaluating_quietly(model), torch.no_grad():
        return torch.export.export(flat, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))


def _onnx(flat: Flat, program: torch.export.ExportedProgram, about: Mapping[str, str] | None = None) -> Any:
    """The program as an onnx.ModelProto."""
    from onnxscript import opset18

    def sort(self: Any, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
        """A stable sort: of equal values, ONNX's TopK gives the earlier one first."""
        size = opset18.Gather(opset18.Shape(self), opset18.Constant(value_ints=[dim]))
        return opset18.TopK(self, size, axis=dim, largest=int(descending), sorted=1)

    with _evaluating_quietly(flat.model):
        made = torch.onnx.export(
            program, (), dynamo=True, verbose=False, input_names=["pose_2d"], output_names=flat.names(),
            custom_translation_table={torch.ops.aten.sort.stable: sort},
        )  # fmt: skip
    assert made is not None  # no file was named
    proto = made.model_proto
    for key, value in (about or {}).items():
        proto.metadata_props.add(key=key, value=value)
    return proto


def _openvino_model(proto: Any) -> Any:
    """An onnx.ModelProto as an openvino.Model that keeps to ONNX's order of equal values."""
    import openvino

    made = openvino.Core().read_model(proto.SerializeToString())
    for operation in made.get_ops():
        if operation.get_type_name() == "TopK":
            operation.set_attribute("stable", True)
    made.validate_nodes_and_infer_types()
    return made


def _torch_export(path: Path) -> Run:
    module = torch.export.load(path).module()
    return lambda pose_2d: list(module(pose_2d))


def _onnxruntime(content: bytes) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda pose_2d: [torch.from_numpy(value) for value in session.run(None, {"pose_2d": pose_2d.numpy()})]


def _openvino(model: Any) -> Run:
    import openvino

    # Left to itself it computes in bf16 where the CPU has that.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.compile_model(model, "CPU", settings)

    def run(pose_2d: Tensor) -> list[Tensor]:
        results = compiled(pose_2d.numpy())
        return [torch.from_numpy(np.array(results[port])) for port in compiled.outputs]  # the next call reuses its own

    return run


def _checked(flat: Flat, run: Run, what: str, advice: str) -> float:
    """The farthest pose, in metres, from PyTorch's. Raises InputError where it is too far, or other frames are kept."""
    model, generator, worst = flat.model, torch.Generator().manual_seed(0), 0.0
    with _evaluating_quietly(model), torch.no_grad():
        for batch in BATCHES:
            steps = torch.randn(batch, model.frames, model.joints, model.in_channels, generator=generator)
            pose_2d = (0.03 * steps).cumsum(dim=1)  # (B, F, J, channels): joints that wander
            wanted, given = flat(pose_2d), run(pose_2d)
            if any(not torch.equal(a, b) for a, b in zip(wanted[1:], given[1:], strict=True)):
                raise InputError(f"{what}: as exported, the model keeps other frames; {advice}")
            apart, farthest = float((wanted[0] - given[0]).abs().max()), float(wanted[0].abs().max())
            if not apart <= TOLERANCE * max(1.0, farthest):
                raise InputError(
                    f"{what}: as exported, the model's poses are {1000 * apart:.3g} mm from PyTorch's; {advice}"
                )
            worst = max(worst, apart)
    return worst


@contextlib.contextmanager
def _evaluating_quietly(model: nn.Module) -> Iterator[None]:
    """In evaluation mode, and without the exporter's remarks on packages that it does not need."""
    training = [module for module in model.modules() if module.training]
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    model.eval()
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        for module in training:
            module.training = True
