"""Preparing, timing and weighing a small model for real; no figure is asserted, only its sense."""

import json
from typing import Any

import pytest
import torch
from torch import nn

from evnas.arch.catalog import catalog
from evnas.arch.paths import edit
from evnas.errors import MeasurementError
from evnas.measure.target import Target, auto_batch
from evnas.measure.timing.conditions import environment
from evnas.measure.timing.device_lock import DeviceLock
from evnas.measure.timing.memory import peak_mib
from evnas.measure.timing.protocol import Protocol
from evnas.measure.timing.speed import measure_speed, prepare
from evnas.phases.speed import model_on

QUICK = Protocol(budget_s=0.2, most_rounds=3)


def model(width: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 5),
    )


def target(**changes: Any) -> Target:
    settled: dict[str, Any] = {"device": "cpu", "resolution": 32, "batch_size": 2}
    return Target(**settled | changes)


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_a_forward_is_timed_alone(runtime, tmp_path):
    subject = prepare(model(), target(runtime=runtime))
    speed = measure_speed(subject, protocol=QUICK, device_lock=DeviceLock("cpu", tmp_path))
    assert all(sample > 0 for sample in speed.measurements["latency_ms"].samples)
    latency, rate = (speed.measurements[k].samples for k in ("latency_ms", "throughput_img_s"))
    assert rate == pytest.approx([2000.0 / ms for ms in latency])
    assert (speed.peak_mib is None) == (runtime == "onnx")
    assert speed.conditions["target"] == f"cpu-{runtime}-32-b2-float32"
    json.dumps(speed.conditions)


def test_a_scan_in_an_exported_graph_is_none_of_ours(tmp_path):
    arch = edit(catalog()["vmamba_tiny_s1l8"].arch.scaled(0.125), {"stages[*].depth": 1})
    at = target(runtime="onnx", form="deployed")
    subject = prepare(model_on(arch.to_dict(), at), at)
    assert {getattr(module, "impl", "auto") for module in subject.model.modules()} == {"auto"}
    speed = measure_speed(subject, protocol=QUICK, device_lock=DeviceLock("cpu", tmp_path))
    assert speed.implementations == {"ss2d_scan": "onnx"}


def test_a_forward_is_timed_in_alternation_with_its_base(tmp_path):
    base, wide = (prepare(model(width), target()) for width in (4, 64))
    speed = measure_speed(wide, base, protocol=QUICK, device_lock=DeviceLock("cpu", tmp_path))
    found = {name: m.samples for name, m in speed.measurements.items()}
    mine, theirs = found["latency_ms"], found["base_latency_ms"]
    assert (
        found["throughput_ratio"]
        == pytest.approx(  # two of each a round, from one moment
            [sum(theirs[i : i + 2]) / sum(mine[i : i + 2]) for i in range(0, len(mine), 2)]
        )
    )
    with pytest.raises(MeasurementError, match="must share a target"):
        measure_speed(
            prepare(model(), target(batch_size=1)), base, device_lock=DeviceLock("cpu", tmp_path)
        )


def test_onnx_runtime_gives_the_models_logits():
    eager, exported = (
        prepare(m, target(runtime=runtime)) for m in (model(),) for runtime in ("torch", "onnx")
    )
    result: Any = exported.call()
    (logits,) = result
    torch.testing.assert_close(
        torch.from_numpy(logits.numpy()), eager.call(), atol=1e-5, rtol=1e-4
    )


def test_bfloat16_runs_under_autocast():
    subject = prepare(model(), target(precision="bfloat16"))
    logits: Any = subject.call()
    layers: Any = subject.model
    assert logits.dtype == torch.bfloat16
    assert layers[0].weight.dtype == torch.float32


def test_a_deployed_form_has_the_targets_precision_in_its_weights():
    arch = catalog()["efficientvim_m1"].arch.to_dict()
    at = target(form="deployed", precision="bfloat16", resolution=64)
    subject = prepare(model_on(arch, at), at)
    assert {p.dtype for p in subject.model.parameters() if p.ndim > 1} == {torch.bfloat16}
    logits: Any = subject.call()
    with torch.inference_mode():
        right = model_on(arch, target(resolution=64))(subject.images)
    assert logits.dtype == torch.bfloat16
    assert (logits.float() - right).norm() < 0.05 * right.norm()
    with pytest.raises(MeasurementError, match=r"must have weights of it, it has torch\.float32"):
        prepare(model_on(arch, target(form="deployed", resolution=64)), at)


def test_peak_memory_counts_weights_input_and_the_largest_moment():
    class Doubling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2**18))  # 1 MiB

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.repeat(4)  # 4 MiB
            return (y + 1).sum()  # 4 MiB more while y lives

    model, images = Doubling(), torch.zeros(2**18)
    peak = peak_mib(lambda: model(images), model, images)
    assert peak == pytest.approx(1 + 1 + 8, abs=0.01)


def test_auto_batch_depends_on_the_count_alone():
    assert auto_batch("cpu", 355e6) == 16  # EfficientViM-M2
    assert auto_batch("cpu", 656e6) == 8
    assert auto_batch("cpu", 16e9) == 1
    assert auto_batch("cuda", 355e6) == 256
    assert auto_batch("cuda", 16e9) == 64
    assert auto_batch("cpu", 355e6, budget_s=2.0) == 4  # a quarter of the time, of the cost
    assert auto_batch("cpu", 355e6, budget_s=20.0) == 16
    assert target(batch_size="auto").with_batch(656e6).batch_size == 8
    assert target(batch_size=3).with_batch(656e6).batch_size == 3


def test_a_targets_id_names_all_that_moves_its_speed():
    assert target().id == "cpu-torch-32-b2-float32"
    deployed = Target(device="cuda:1", runtime="cuda_graph", batch_size=256, form="deployed")
    assert deployed.id == "cuda1-cuda_graph-224-b256-float32-deployed"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runtime": "tensor_rt"}, "did you mean 'tensorrt'"),
        ({"precision": "bfloat"}, "did you mean 'bfloat16'"),
        ({"batch_size": 0}, "batch_size must be 'auto' or at least 1, got 0"),
        ({"runtime": "cuda_graph"}, "needs a CUDA device"),
    ],
)
def test_a_target_that_cannot_be_is_refused(changes, message):
    with pytest.raises(MeasurementError, match=message):
        target(**changes)


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "mps"])
def test_a_device_that_is_not_here_is_refused(device):
    with pytest.raises(MeasurementError, match=device):
        Target(device=device).resolved()


def test_the_environment_names_machine_and_versions_but_no_paths():
    text = json.dumps(environment())
    facts = json.loads(text)
    assert (
        facts["packages"]["torch"] == torch.__version__.split("+")[0] or facts["packages"]["torch"]
    )
    assert facts["cpu"]["cores"] >= 1
    assert facts["cpu"]["memory_gib"] > 0
    assert "/home" not in text and "/root" not in text


def test_only_an_eager_forward_is_split_by_part(tmp_path):
    device_lock = DeviceLock("cpu", tmp_path)
    speed = measure_speed(prepare(model(), target()), protocol=QUICK, device_lock=device_lock)
    assert speed.breakdown is not None
    assert sum(speed.breakdown.parts_ms.values()) == pytest.approx(speed.breakdown.latency_ms)
    assert sum(speed.breakdown.operators_fraction.values()) == pytest.approx(1)
    exported = prepare(model(), target(runtime="onnx"))
    assert measure_speed(exported, protocol=QUICK, device_lock=device_lock).breakdown is None
