"""Files made from a model: torch.export, ONNX, and weights under other names."""

import hashlib
import importlib.util
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import evnas
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy
from evnas.blocks.official import load_official, load_state, read_checkpoint, to_official
from evnas.blocks.timm_models import CROP_FRACTION, IMAGENET_MEAN, IMAGENET_STD
from evnas.commands.options import Names
from evnas.errors import DataError, MeasurementError, SpecError
from evnas.evaluate.subject import says_its_architecture, subject_of
from evnas.files import whole, write_whole
from evnas.measure.runtimes.agreement import LARGEST_SHARE, difference
from evnas.measure.runtimes.onnx_export import export as onnx_form
from evnas.runtime import Form

ROUNDING = 1e-6
"""Of the logits' norm: some roundings of float32, a difference that any two programs have."""
RANDOM = "random"
"""What stands for weights that nobody gave."""
IMAGES: Mapping[str, Any] = {
    "channels": "RGB",
    "value_range": [0.0, 1.0],
    "mean": IMAGENET_MEAN,
    "std": IMAGENET_STD,
    "interpolation": "bicubic",
    "crop_fraction": CROP_FRACTION,
}
"""How images become a file's input, in the order of the keys: from 0 to 1, less the mean, over the
deviation, by channel; resized so that the crop is this share of the side. The releases' weights
have it so; weights of a training say it themselves."""
LARGEST_ERROR = 1e-3
"""Relative, of an exported model's logits."""


def write_export(
    arch: ArchSpec,
    output: Path,
    *,
    weights: Path | None,
    resolution: int,
    batch_size: int,
    form: Form,
    dynamic_batch: bool = False,
    dynamic_sides: bool = False,
    origin: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] = lambda stage: None,
) -> dict[str, Any]:
    """Build, load, fold and write a model; what was written, as data.

    The file says `origin`, the study's trial that it is, of itself; `tell` hears what begins.

    Raises:
        SpecError: the file name says neither .pt2 nor .onnx, or sides cannot be dynamic.
        DataError: the weights do not fit, or the file cannot be written.
        MeasurementError: at other sizes the file does not give what the model gives.
    """
    if output.suffix not in (".pt2", ".onnx"):
        raise SpecError(f"the output must end in .pt2 or .onnx, got {output}")
    if not output.parent.is_dir():
        raise DataError(f"{output} must lie in a folder that exists, {output.parent} is none")
    if output.is_dir():
        raise DataError(f"{output} must be a file that can be written, it is a folder")
    tell("building the model")
    model = build(arch, seed=0).eval()
    if weights is not None:
        load_weights(model, weights)
    if form == "deployed":
        model = deploy(model)
    if dynamic_sides:
        _refuse_fixed_sides(output)
    dynamic = [0] * dynamic_batch + [2, 3] * dynamic_sides
    # a batch of one is a constant to torch's exporters
    images = torch.zeros(max(batch_size, 1 + dynamic_batch), 3, resolution, resolution)
    metadata = _metadata(arch, weights, form, resolution)
    if origin is not None:
        metadata["from"] = json.dumps(dict(origin))
    try:
        checked = _write(model, images, output, dynamic, metadata, tell)
    except OSError as e:
        raise DataError(f"{output} must be writable, got: {e.strerror}") from e
    return {
        "output": str(output),
        "bytes": output.stat().st_size,
        "digest": arch.digest,
        "input": [
            "batch" if dynamic_batch else batch_size,
            3,
            *["sides" if dynamic_sides else resolution] * 2,
        ],
        "form": form,
        "weights": metadata["weights"],
        "checked": checked,
    }


def convert_weights(name: str, source: Path, output: Path, *, to: Names) -> int:
    """Write the weights of `source` under other names; how many tensors.

    Raises:
        SpecError: no architecture has that name.
        DataError: the weights do not fit, or a file cannot be read or written.
    """
    if to == "ours":
        tensors = load_official(name, source).state_dict()
    else:
        from evnas.arch.catalog import entry

        model = build(entry(name).arch)
        load_weights(model, source)
        tensors = to_official(model)
    try:
        with whole(output) as draft:
            torch.save(dict(tensors), draft)
    except (OSError, RuntimeError) as e:
        raise DataError(f"{output} must be a file that can be written, got: {e}") from e
    return len(tensors)


def load_weights(model: nn.Module, weights: Path) -> None:
    """Load a state dict's file, under our names or the release's.

    Raises:
        DataError: the weights do not fit, or the file cannot be read.
    """
    load_state(model, read_checkpoint(weights))


def _refuse_fixed_sides(output: Path) -> None:
    if output.suffix != ".onnx":
        raise SpecError(f"--dynamic-sides needs ONNX, got {output}")


def _metadata(arch: ArchSpec, weights: Path | None, form: str, resolution: int) -> dict[str, str]:
    """What a file says of itself."""
    known, recorded = RANDOM, {}
    if weights is not None:
        recorded = _recorded_with(weights)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]
        known = f"{weights.name}, sha256 {digest}"
    return {
        "producer": f"evnas {evnas.__version__}",
        "arch": json.dumps(arch.to_dict()),
        "digest": arch.digest,
        "weights": known,
        "form": form,
        "resolution": str(resolution),
        **{key: json.dumps(value) for key, value in {**IMAGES, **recorded}.items()},
    }


def _recorded_with(weights: Path) -> dict[str, Any]:
    """What a training kept beside its weights: how images were shown, and names of classes."""
    held = read_checkpoint(weights)
    if "format" not in held:
        return {}
    return {key: held[key] for key in (*IMAGES, "classes") if key in held}


def as_trained(arch: ArchSpec, weights: Path | None) -> tuple[ArchSpec, Path | None, int | None]:
    """The architecture with the classes that a training gave it, the file of its weights, and the
    side in pixels of its images.

    Args:
        weights: a training's folder or weights file; anything else, and None, is given back
            without a side.

    Raises:
        DataError: it is a training of another architecture, or cannot be read.
    """
    if weights is None or not (weights.is_dir() or says_its_architecture(weights)):
        return arch, weights, None
    found = subject_of(weights, arch)
    assert found.arch is not None  # weights of a training say it
    return found.arch, found.file, found.view.resolution


def _write(
    model: nn.Module,
    images: torch.Tensor,
    output: Path,
    dynamic: Sequence[int],
    metadata: Mapping[str, str],
    tell: Callable[[str], None],
) -> bool:
    """Write the file; whether it was tried at other sizes than those of `images`."""
    tell(f"tracing a forward of {tuple(images.shape)}")
    if output.suffix == ".onnx":
        content = onnx_form(model, images, dynamic=dynamic, metadata=metadata)
        if dynamic:
            tell("comparing the file with the model at other sizes")
        checked = bool(dynamic) and _is_right_elsewhere(model, content, images, dynamic)
        write_whole(output, content)
        return checked
    batch = torch.export.Dim("batch", min=1)
    shapes = ({0: batch},) if dynamic else None
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own archive writer, about views of weights
        program = torch.export.export(model, (images,), dynamic_shapes=shapes)
        if dynamic:
            tell("comparing the program with the model at other sizes")
            others = _others(images, dynamic)
            _refuse_difference(model, {x: program.module()(x) for x in others})
        extra = {"evnas.json": json.dumps(dict(metadata))}
        torch.export.save(program, output, extra_files=extra)
    return bool(dynamic)


def _is_right_elsewhere(
    model: nn.Module, content: bytes, images: torch.Tensor, dynamic: Sequence[int]
) -> bool:
    """Whether onnxruntime is there to try the file at other sizes; a wrong result is refused."""
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = {}
    for x in _others(images, dynamic):
        (logits,) = session.run(None, {"images": x.numpy()})
        found[x] = torch.from_numpy(logits)
    _refuse_difference(model, found)
    return True


def _others(images: torch.Tensor, dynamic: Sequence[int]) -> list[torch.Tensor]:
    """Random images of other sizes along the dynamic axes, smaller and larger."""
    generator = torch.Generator().manual_seed(0)
    steps = {0: (1 - len(images), 3), 2: (32, 96), 3: (64, 32)}
    shapes = [
        [
            size + steps[axis][i] if axis in dynamic else size
            for axis, size in enumerate(images.shape)
        ]
        for i in (0, 1)
    ]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def _refuse_difference(model: nn.Module, found: Mapping[torch.Tensor, torch.Tensor]) -> None:
    generator = torch.Generator().manual_seed(1)
    for x, logits in found.items():
        with torch.no_grad():
            want, elsewhere = model(x), model(torch.randn(x.shape, generator=generator))
        off = difference(logits, want, elsewhere)
        if not (off.error < LARGEST_ERROR and off.share <= LARGEST_SHARE):
            mend = "export it with fixed sizes"
            if off.error < ROUNDING:  # the file may well be right, and nobody can tell
                mend = (
                    "its images change less of its logits than rounding hides, as before it has "
                    "learnt anything: give weights that are trained longer"
                )
            raise MeasurementError(
                f"the exported model must give the model's logits at {tuple(x.shape)}, and they "
                f"differ by {off}; {mend}"
            )
