"""The file of a model that a command is handed."""

import torch
from torch import nn

from evnas.measure.command.speed import ModelFile
from evnas.measure.runtimes.onnx_export import export
from evnas.measure.target import Target


def model_file(model: nn.Module, target: Target, *, batch: int | None = None) -> ModelFile:
    """Export a model for a target whose batch is settled.

    Args:
        model: in the target's form.
        batch: of the file in place of the target's.

    Raises:
        MeasurementError: an operator has no ONNX form.
    """
    images = batch or target.batch_size
    assert isinstance(images, int)
    side = target.resolution
    generator = torch.Generator().manual_seed(0)
    content = export(model.eval(), torch.randn(images, 3, side, side, generator=generator))
    return ModelFile(content, images, side)
