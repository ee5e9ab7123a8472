"""Timing a training step: forward, loss and backward, of stand-ins and of small real models."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.errors import MeasurementError, SpecError
from evnas.measure.target import Target
from evnas.measure.timing.device_lock import DeviceLock
from evnas.measure.timing.implementations import implementations
from evnas.measure.timing.protocol import OutOfMemory, Protocol
from evnas.measure.timing.speed import TimedModel, measure_speed, prepare
from evnas.search.bench import bench, bench_target

QUICK = Protocol(budget_s=0.2, most_rounds=3)


def model() -> nn.Module:
    """With batch norms of a map and of pooled features, which refuse a single image."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.BatchNorm1d(8),
        nn.Linear(8, 5),
    )


def target(**changes: Any) -> Target:
    settled: dict[str, Any] = {"device": "cpu", "resolution": 32, "batch_size": 4}
    return Target(**settled | {"mode": "training"} | changes)


def noted_gradients(model: nn.Module) -> list[torch.Tensor]:
    """What arrives at the parameters, in a list that each backward adds to."""
    seen: list[torch.Tensor] = []
    for parameter in model.parameters():
        parameter.register_hook(seen.append)
    return seen


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_runs_backward_and_leaves_no_gradients(precision):
    subject = prepare(model(), target(precision=precision))
    assert subject.model.training
    seen = noted_gradients(subject.model)
    first: Any = subject.call()
    again: Any = subject.call()
    parameters = list(subject.model.parameters())
    assert len(seen) == 2 * len(parameters)
    assert all(torch.isfinite(gradient).all() for gradient in seen)
    assert {gradient.dtype for gradient in seen} == {torch.float32}
    assert any(gradient.abs().max() > 0 for gradient in seen)
    assert all(parameter.grad is None for parameter in parameters)
    # labels stay, no optimizer moves a weight, and batch norms use the batch, not what they learnt
    assert torch.equal(first, again)
    assert 0 < float(first) < 10


def test_the_forward_of_a_step_runs_under_autocast():
    subject = prepare(model(), target(precision="bfloat16"))
    dtypes = []
    layers: Any = subject.model
    layers[-1].register_forward_hook(lambda *args: dtypes.append(args[2].dtype))
    subject.call()
    assert dtypes == [torch.bfloat16]


def test_both_heads_of_a_distilled_model_are_trained():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = model(), model()

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.one(x), self.other(x)

    subject = prepare(Twice(), target())
    seen = noted_gradients(subject.model)
    subject.call()
    assert len(seen) == len(list(subject.model.parameters()))


def test_a_step_is_timed_in_alternation_with_its_base(tmp_path):
    base, candidate = prepare(model(), target()), prepare(model(), target())
    order: list[str] = []

    def noting(name: str, subject: TimedModel) -> TimedModel:
        def call() -> object:
            order.append(name)
            return subject.call()

        return TimedModel(subject.model, subject.images, call, subject.target)

    speed = measure_speed(
        noting("candidate", candidate),
        noting("base", base),
        protocol=Protocol(budget_s=0.2, most_rounds=1, least_sample_s=1e-9, settle_s=0.0),
        device_lock=DeviceLock("cpu", tmp_path),
    )
    peak = ["candidate"]
    assert order[-5:] == ["base", "candidate", "candidate", "base", *peak]
    assert speed.measurements["throughput_ratio"].median > 0
    assert speed.conditions["target"] == "cpu-torch-32-b4-float32-train"
    assert speed.breakdown is None  # its parts are those of a forward


def test_the_peak_of_a_step_holds_what_its_backward_needs(tmp_path):
    forward, step = (
        measure_speed(
            prepare(model(), target(mode=mode)),
            protocol=QUICK,
            device_lock=DeviceLock("cpu", tmp_path),
        )
        for mode in ("inference", "training")
    )
    assert forward.peak_mib is not None and step.peak_mib is not None
    assert step.peak_mib > 1.2 * forward.peak_mib


def test_memory_that_runs_out_in_the_backward_is_a_result(tmp_path):
    subject = prepare(model(), target())

    def refuse(gradient: torch.Tensor) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")

    next(subject.model.parameters()).register_hook(refuse)
    with pytest.raises(OutOfMemory):
        measure_speed(subject, protocol=QUICK, device_lock=DeviceLock("cpu", tmp_path))


def test_one_image_is_too_few_for_a_batch_norm():
    subject = prepare(model(), target(batch_size=1))
    with pytest.raises(MeasurementError, match="a batch_size of at least 2, got 1"):
        subject.call()
    assert target(batch_size="auto").with_batch(16e9).batch_size == 2


def test_asking_for_implementations_leaves_a_model_in_its_mode():
    subject = prepare(model(), target())
    assert implementations(subject.model, subject.images) == {}
    layers: Any = subject.model
    assert layers.training and layers[1].training
    subject.call()


def test_an_auto_batch_is_that_of_three_forwards():
    auto = target(batch_size="auto")
    assert auto.with_batch(355e6).batch_size == 4  # EfficientViM-M2: 16 in inference
    assert auto.with_batch(355e6, budget_s=4.0).batch_size == 2
    assert target(batch_size="auto", mode="inference").with_batch(355e6).batch_size == 16


def test_only_a_training_targets_id_has_a_suffix():
    assert target().id == "cpu-torch-32-b4-float32-train"
    assert target(mode="inference").id == "cpu-torch-32-b4-float32"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": "deployed"}, "needs form plain"),
        ({"runtime": "onnx"}, "needs runtime torch or compile, which run a backward; got onnx"),
        ({"runtime": "cuda_graph", "device": "cuda"}, "needs runtime torch or compile"),
        ({"mode": "train"}, "mode must be one of .* did you mean 'training'"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, message):
    with pytest.raises(MeasurementError, match=message):
        target(**changes)


def test_a_command_refuses_it_in_one_sentence():
    with pytest.raises(SpecError, match="mode training needs form plain"):
        bench_target({"mode": "training", "form": "deployed"})


def small(name: str) -> dict[str, object]:
    raw = entry(name).arch.to_dict()
    for stage in raw["stages"]:
        stage.update(depth=1, dim=16)
    return ArchSpec.from_dict(raw).to_dict()


@pytest.mark.parametrize("name", ["efficientvim_m2", "vssd_tiny", "vmamba_tiny_s1l8", "timm"])
def test_models_train_at_a_finite_speed(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # waits for no other measurement
    arch = {"timm": "mobilenetv3_small_050"} if name == "timm" else small(name)
    fields = {"device": "cpu", "resolution": 32, "batch_size": 2, "budget_s": 0.1}
    found = bench(arch, bench_target(fields | {"mode": "training"})).to_dict()
    assert found["target"] == "cpu-torch-32-b2-float32-train"
    for quantity in ("throughput_img_s", "latency_ms", "peak_mib"):
        assert 0 < found["values"][quantity] < math.inf
