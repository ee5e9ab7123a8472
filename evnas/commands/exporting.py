"""Files made from a model: torch.export, ONNX, and weights under other names."""

import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import Backbone, build
from evnas.blocks.deploy import deploy
from evnas.blocks.official import load_official, load_state, read_checkpoint, to_official
from evnas.errors import DataError, SpecError
from evnas.kernels import Impl
from evnas.measure.runtimes.onnx_runtime import export as onnx_form


def write_export(
    arch: ArchSpec,
    output: Path,
    *,
    weights: Path | None,
    resolution: int,
    batch_size: int,
    form: Literal["plain", "deployed"],
) -> dict[str, Any]:
    """Build, load, fold and write a model; what was written, as data.

    Raises:
        SpecError: the file name says neither .pt2 nor .onnx.
        DataError: the weights do not fit, or the file cannot be written.
    """
    if output.suffix not in (".pt2", ".onnx"):
        raise SpecError(f"the output must end in .pt2 or .onnx, got {output}")
    if not output.parent.is_dir():
        raise DataError(f"{output} must lie in a folder that exists, {output.parent} is none")
    # ONNX knows no operators of ours, so there the plain ones stand for them
    impl: Impl = "reference" if output.suffix == ".onnx" else "auto"
    model = build(arch, impl=impl, seed=0).eval()
    if weights is not None:
        load_weights(model, weights)
    if form == "deployed":
        model = deploy(model)
    images = torch.zeros(batch_size, 3, resolution, resolution)
    try:
        _write(model, images, output)
    except OSError as e:
        raise DataError(f"{output} must be writable, got: {e.strerror}") from e
    return {
        "output": str(output),
        "bytes": output.stat().st_size,
        "digest": arch.digest,
        "input": list(images.shape),
        "form": form,
    }


def convert_weights(
    name: str, source: Path, output: Path, *, to: Literal["ours", "official"]
) -> int:
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
        torch.save(dict(tensors), output)
    except (OSError, RuntimeError) as e:
        raise DataError(f"{output} must be a file that can be written, got: {e}") from e
    return len(tensors)


def load_weights(model: nn.Module, weights: Path) -> None:
    """Load a state dict's file, under our names or the release's.

    Raises:
        DataError: the weights do not fit, or the file cannot be read.
    """
    assert isinstance(model, Backbone)
    load_state(model, read_checkpoint(weights))


def _write(model: nn.Module, images: torch.Tensor, output: Path) -> None:
    if output.suffix == ".onnx":
        output.write_bytes(onnx_form(model, images))
        return
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own archive writer, about views of weights
        torch.export.save(torch.export.export(model, (images,)), output)
