"""Every runtime that runs here gives what torch gives; one that does not has no speed."""

import functools
import importlib.util
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_vendors import CoreML, TensorRT
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from evnas.arch.catalog import entry
from evnas.errors import MeasurementError
from evnas.measure.runtimes import ready_call, unrolled
from evnas.measure.runtimes.agreement import (
    LARGEST_ERROR,
    LARGEST_SHARE,
    as_tensor,
    difference,
    must_agree,
    top1_agreement,
)
from evnas.measure.runtimes.compiler import no_compiler, no_word_of_cuda
from evnas.measure.runtimes.onnx_export import export
from evnas.measure.runtimes.onnx_int8 import products_overflow
from evnas.measure.target import DeviceMissing, Target
from evnas.measure.timing.speed import prepare
from evnas.phases.speed import SpeedTask, model_on
from evnas.phases.work import Work
from evnas.runtime import Pictures, Ready, Runtime
from evnas.search.evaluate import Evaluator, silent
from evnas.sweep.parts import TargetSpec
from evnas.tables import RUNTIMES

FAMILIES = {
    "efficientvim": "efficientvim_m1",
    "vssd": "vssd_micro",
    "vmamba": "vmamba_t",
    "efficientvmamba": "efficient_vmamba_tiny",
}
EXPORTED = ("onnx", "openvino")
COMPILED = FAMILIES if os.environ.get("EVNAS_COMPILERS") == "whole" else ["efficientvim"]
"""What torch's compiler is given: some twenty seconds each, so all by `make test-compilers`."""


@functools.cache
def tiny(family: str) -> dict[str, Any]:
    """A model of the family with one narrow block a stage."""
    arch = entry(FAMILIES[family]).arch
    arch = arch.scaled(0.25, stem_stride=arch.stem.stride)
    stages = [stage | {"depth": 1} for stage in arch.to_dict()["stages"]]
    return arch.to_dict() | {"stages": stages, "num_classes": 10}


def on(runtime: str, **changes: Any) -> Target:
    fields = {"device": "cpu", "resolution": 32, "batch_size": 2, "form": "deployed"}
    return Target(**{"runtime": runtime, **fields, **changes})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("runtime", EXPORTED)
def test_a_runtime_gives_torchs_logits(runtime: str, family: str) -> None:
    target = on(runtime)
    timed = prepare(model_on(tiny(family), target), target)
    agreed = timed.facts["difference_from_torch"]
    assert agreed["error"] < 1e-5
    assert agreed["share"] < LARGEST_SHARE
    assert timed.facts["threads"] == torch.get_num_threads()
    assert timed.facts["version"]


class NothingInTorch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError(f"{func} ran in torch")


@pytest.mark.parametrize("runtime", [*EXPORTED, "openvino_auto"])
def test_of_what_is_exported_nothing_runs_in_torch(runtime: str) -> None:
    target = on(runtime)
    timed = prepare(model_on(tiny("vmamba"), target), target)
    with NothingInTorch():
        timed.call()
        with pytest.raises(AssertionError, match="ran in torch"):
            timed.model(timed.images)


def test_a_difference_is_of_what_the_images_decide() -> None:
    """Logits may be one large constant: what forgot its images is near by the norm alone."""
    constant, generator = torch.full((2, 10), 1e5), torch.Generator().manual_seed(0)
    want, elsewhere = (constant + torch.randn(2, 10, generator=generator) for _ in range(2))
    blind = difference(constant, want, elsewhere)
    assert blind.error < 1e-4
    assert not blind.fits("float32")
    assert difference(want.clone(), want, elsewhere).fits("float32")
    assert not difference(want * float("nan"), want, elsewhere).fits("float32")


class Scaled(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda logits: logits * 1.001, r"within 0.0001 and 0.01, and they differ by 1.0e-03 of"),
        (lambda logits: logits[:, :2], r"torch's shape \(2, 3\), got \(2, 2\)"),
        (lambda logits: None, "must give the logits"),
    ],
)
def test_a_runtime_that_gives_something_else_has_no_speed(
    wrong: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(model: nn.Module, images: Tensor, target: Target) -> Ready:
        return Ready(run=lambda: wrong(model(images)))

    runtime = Runtime(prepare=off)
    monkeypatch.setattr(type(RUNTIMES), "get", lambda table, name: runtime)
    with pytest.raises(MeasurementError, match=message):
        prepare(Scaled(), on("compile", resolution=8))


def test_precisions_are_told_and_held() -> None:
    images = torch.zeros(1, 3, 8, 8)
    own = prepare(Scaled(), on("openvino_auto", resolution=8))
    assert own.facts["precision"] in ("f32", "bf16", "f16")
    with pytest.raises(MeasurementError, match="'onnx' needs precision float32, got 'bfloat16'"):
        RUNTIMES.get("onnx").call(Scaled(), images, on("onnx", precision="bfloat16"))
    with pytest.raises(MeasurementError, match="chooses its precision itself"):
        RUNTIMES.get("openvino_auto").call(
            Scaled(), images, on("openvino_auto", precision="bfloat16")
        )


def test_agreement_of_top1_says_how_many_classes_it_saw() -> None:
    want = torch.eye(4)
    got = want.clone()
    got[0] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    found = top1_agreement(got, want)
    assert (found.percent, found.images, found.classes) == (75.0, 4, 4)


def test_what_exports_measures_the_deployed_form_unless_told() -> None:
    def form(**fields: Any) -> str:
        return TargetSpec.model_validate(fields).form

    assert form(runtime="openvino") == form(runtime="onnx") == "deployed"
    assert form(runtime="onnx", form="plain") == form() == form(runtime="torch") == "plain"


def test_results_of_any_library_are_tensors() -> None:
    logits = torch.arange(6.0).reshape(2, 3)
    for result in (logits, logits.numpy(), [logits], (logits.numpy(),)):
        assert torch.equal(as_tensor(result), logits)


def test_must_agree_reads_the_answer_before_torch_runs() -> None:
    """A view that the next call writes to is copied."""
    model, images = Scaled(), torch.randn(2, 3, 8, 8)
    held = torch.empty(2, 3).numpy()

    def run() -> object:
        held[:] = model(images).numpy()
        return held

    assert must_agree(run, model, images, Target(device="cpu")).error < 1e-6


def convolutions() -> nn.Module:
    torch.manual_seed(0)
    head = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(nn.Conv2d(3, 16, 3), *head).eval()


@pytest.mark.parametrize("runtime", ["onnx_int8", "onnx_int8_dynamic"])
def test_int8_says_how_often_it_finds_torchs_class(runtime: str) -> None:
    target = on(runtime)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 32, 32, generator=generator)
    shown = Pictures(name="noise", calibration=images[:4], held_out=images)
    timed = prepare(convolutions(), target, lambda: shown)
    agreed = timed.facts["agreement_with_torch"]
    assert (agreed["data"], agreed["images"], timed.facts["precision"]) == ("noise", 8, "int8")
    assert timed.facts["weight_bits"] == (7 if products_overflow() else 8)
    assert 50 <= agreed["percent"] <= 100
    assert "difference_from_torch" not in timed.facts
    with pytest.raises(MeasurementError, match="needs images of a data set"):
        prepare(Scaled(), on(runtime, resolution=8))


def test_weights_have_seven_bits_where_products_of_eight_overflow(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    assert products_overflow(cpuinfo, "x86_64")  # not known
    cpuinfo.write_text("flags\t\t: fpu avx avx2\n")
    assert products_overflow(cpuinfo, "AMD64")
    assert not products_overflow(cpuinfo, "aarch64")
    for vnni in ("avx512_vnni", "avx_vnni"):
        cpuinfo.write_text(f"flags\t\t: fpu avx2 {vnni}\n")
        assert not products_overflow(cpuinfo, "x86_64")


def test_a_speed_in_int8_is_held_against_the_sweeps_images() -> None:
    task = SpeedTask(target=asdict(on("onnx_int8_dynamic")), budget_s=0.1)
    work = Work(
        label="1", digest="", arch=tiny("efficientvim"), phase="speed", task=task, target="x"
    )
    record = Evaluator().run(work, silent).record
    assert record.status == "complete", record.error
    agreed = record.details["conditions"]["runtime"]["agreement_with_torch"]
    assert (agreed["data"], agreed["images"]) == ("fashion-mnist-12k", 128)
    assert "peak_mib" not in record.values


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ("executorch", "executorch not installed: pip install executorch"),
        ("coreml", "coremltools not installed: pip install coremltools"),
        ("tensorrt", "tensorrt not installed: pip install onnx tensorrt"),
        ("inductor", "no C[+][+] compiler is here: install g[+][+], or name one in CXX"),
        ("compile", "no C[+][+] compiler is here"),
    ],
)
def test_what_is_not_here_says_what_to_install(
    runtime: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    gone = ("executorch", "coremltools", "tensorrt")
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name in gone else real(name)
    )
    monkeypatch.setattr("shutil.which", lambda name: None)
    device = "cuda:0" if RUNTIMES.get(runtime).needs_cuda else "cpu"
    sentence = f"runtime {runtime} cannot run on this machine: {message}"
    with pytest.raises(MeasurementError, match=sentence):
        ready_call(Scaled(), torch.zeros(1, 3, 8, 8), on(runtime, device=device))
    with pytest.raises(DeviceMissing, match=sentence):
        on(runtime, device=device).resolved()


BATCH = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def ready_in(runtime: str, family: str, precision: str = "float32") -> Ready:
    """A model of the family, made ready on this CPU whatever device the runtime is of."""
    device = "cuda:0" if RUNTIMES.get(runtime).needs_cuda else "cpu"
    target = on(runtime, device=device, precision=precision)
    return ready_call(model_on(tiny(family), target), BATCH.clone(), target)


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_tensorrt_computes_the_deployed_form_in_the_types_of_its_graph(
    family: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = pytest.importorskip("onnx")
    package = TensorRT()
    package.install(monkeypatch)
    ready = ready_in("tensorrt", family, precision)
    assert ready.facts["precision"] == precision and ready.facts["version"] == "11.4.0"
    assert ready.facts["difference_from_torch"]["error"] < LARGEST_ERROR[precision]
    assert package.cleared == [package.BuilderFlag.TF32]
    graph = onnx.load_from_string(package.graph).graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    weights = {types.get(n.input[1]) for n in graph.node if n.op_type == "Conv"}
    assert weights - {None} == {getattr(onnx.TensorProto, precision.upper().removesuffix("32"))}
    assert ("Scan" in {node.op_type for node in graph.node}) == ("vmamba" in family)


@pytest.mark.parametrize(
    ("fails_to", "reason"),
    [
        ("parse", "no form in TensorRT: No importer for Scan"),
        ("build", "no form in TensorRT: no engine was built"),
        ("read", "no form in TensorRT: its engine is not read"),
        ("fit", "no form in TensorRT: it found no memory to run in"),
        ("place", "no form in TensorRT: it takes no images"),
        ("queue", "no form in TensorRT: a call could not be queued"),
    ],
)
def test_where_tensorrt_fails_it_is_said(
    fails_to: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    TensorRT(fails_to=fails_to).install(monkeypatch)
    with pytest.raises(MeasurementError, match=reason):
        ready_in("tensorrt", "efficientvim")


def test_an_engine_that_computes_something_else_has_no_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    TensorRT(off_by=1.1).install(monkeypatch)
    with pytest.raises(MeasurementError, match="its speed does not count"):
        ready_in("tensorrt", "efficientvim", "float16")


@pytest.mark.parametrize(
    ("family", "precision"),
    [("efficientvim", "float32"), ("efficientvim", "float16"), ("vssd", "float32")],
)
def test_core_ml_is_handed_the_deployed_form_in_torchs_own_operators(
    family: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = CoreML()
    package.install(monkeypatch)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    ready = ready_in("coreml", family, precision)
    assert ready.facts["precision"] == package.asked["compute_precision"] == precision
    assert ready.facts["difference_from_torch"]["error"] < 1e-5  # the stand-in rounds nothing
    assert "aten.conv" in package.graph
    for not_there in ("batch_norm", "evnas.", "mkldnn."):
        assert not_there not in package.graph


def test_a_scan_too_long_to_be_written_out_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unrolled, "MOST", 1500)
    for runtime in ("coreml", "executorch"):
        target = on(runtime)
        without, scanned = (model_on(tiny(f), target) for f in ("vssd", "vmamba"))
        unrolled.must_be_short(without, BATCH, "Core ML")
        with pytest.raises(MeasurementError, match=r"no form in .* that is short enough"):
            RUNTIMES.get(runtime).call(scanned, BATCH, target)


def test_what_core_ml_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    CoreML(lacks="im2col").install(monkeypatch)
    with pytest.raises(MeasurementError, match="cannot run on this machine: Core ML runs models"):
        ready_in("coreml", "efficientvim")
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(MeasurementError, match=r"function for op 'im2col' not implemented\.$"):
        ready_in("coreml", "efficientvim")


@pytest.mark.parametrize("runtime", ["tensorrt", "coreml"])
def test_neither_computes_in_bfloat16(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    TensorRT().install(monkeypatch)
    CoreML().install(monkeypatch)
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    with pytest.raises(MeasurementError, match="needs precision float32 or float16, got bfloat16"):
        ready_in(runtime, "efficientvim", "bfloat16")


@pytest.mark.parametrize("family", ["efficientvim", "vmamba"])
def test_a_graph_of_no_image_is_a_sentence(family: str) -> None:
    """Where torch's exporter goes on it divides by a size of 0, which ends the process."""
    model = model_on(tiny(family), on("onnx"))
    with pytest.raises(MeasurementError, match="at least one image, got a batch of none"):
        export(model, BATCH[:0])


def of_one_stage(family: str) -> dict[str, Any]:
    """The same without what comes behind the first stage: each kernel is compiled for seconds."""
    return tiny(family) | {"stages": tiny(family)["stages"][:1]}


@pytest.mark.skipif(bool(no_compiler()), reason="torch's compiler needs a C++ compiler")
@pytest.mark.parametrize("family", COMPILED)
@pytest.mark.parametrize("runtime", ["inductor", "aot_inductor"])
def test_what_torch_compiles_gives_torchs_logits(runtime: str, family: str) -> None:
    target = on(runtime)
    timed = prepare(model_on(of_one_stage(family), target), target)
    agreed = timed.facts["difference_from_torch"]
    assert agreed["error"] < 1e-5 and agreed["share"] < LARGEST_SHARE
    assert timed.facts["settings"]["freezing"]


def test_a_cuda_toolkit_without_a_gpu_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("torch.utils.cpp_extension")
    with caplog.at_level(logging.WARNING, logger.name):
        logger.addHandler(caplog.handler)  # torch's loggers hand nothing on
        try:
            with no_word_of_cuda():
                logger.warning("No CUDA runtime is found, using CUDA_HOME='%s'", "/usr/local")
                logger.warning("the compiler is too old")
            logger.warning("No CUDA runtime is found")
        finally:
            logger.removeHandler(caplog.handler)
    heard = list(dict.fromkeys(record.getMessage() for record in caplog.records))
    assert heard == ["the compiler is too old", "No CUDA runtime is found"]


def test_best_itself_runs_nothing() -> None:
    with pytest.raises(MeasurementError, match="chooses another for each model"):
        prepare(Scaled(), on("best", resolution=8))
