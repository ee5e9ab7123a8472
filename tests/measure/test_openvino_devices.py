"""OpenVINO's devices by its own names: refused where they are not, and run where they are."""

from pathlib import Path
from typing import Any

import pytest

from evnas.errors import MeasurementError, SpecError
from evnas.measure.target import DeviceMissing, Target
from evnas.search.bench import bench
from evnas.sweep.parts import TargetSpec
from evnas.sweep.sweep import load_sweep

ov: Any = pytest.importorskip("openvino")


class TwoGpus(ov.Core):  # type: ignore[misc] # it may be missing
    """Two made-up GPUs, whose work the CPU does."""

    @property
    def available_devices(self) -> list[str]:
        return ["CPU", "GPU.0", "GPU.1"]

    def compile_model(self, graph: Any, device: str, settings: dict[str, str]) -> Any:
        assert device == "GPU.1" and "INFERENCE_NUM_THREADS" not in settings
        return super().compile_model(graph, "CPU", settings)

    def get_property(self, device: str, name: str) -> str:
        return f"a made-up {device}"


def test_one_that_is_not_here_is_refused_with_those_that_are() -> None:
    target = Target(device="NPU", runtime="openvino", form="deployed")
    with pytest.raises(DeviceMissing, match="device NPU is not here: OpenVINO shows CPU"):
        target.resolved()


def test_other_runtimes_have_no_such_device(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nbase: vssd_tiny\nrows: {A: {}}\ntargets:\n- {device: GPU}\n")
    with pytest.raises(SpecError, match=r"x.yaml:5: targets\[0\].*needs runtime openvino or"):
        load_sweep(path)
    with pytest.raises(MeasurementError, match="needs runtime openvino or openvino_auto"):
        Target(device="GPU", runtime="onnx")
    path.write_text(path.read_text().replace("GPU", "TPU"))
    with pytest.raises(SpecError, match="and of runtime openvino GPU or NPU"):
        load_sweep(path)


def test_one_that_is_here_is_timed_from_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ov, "Core", TwoGpus)
    spec = TargetSpec(
        device="GPU.1", runtime="openvino", resolution=160, batch_size=1, budget_s=0.05
    )
    record = bench({"timm": "test_vit"}, spec).record
    assert record.target == "GPU.1-openvino-160-b1-float32-deployed"
    conditions = record.details["conditions"]
    assert conditions["processor"] == "a made-up GPU.1"
    assert conditions["runtime"]["threads"] == 0
    assert conditions["runtime"]["difference_from_torch"]
