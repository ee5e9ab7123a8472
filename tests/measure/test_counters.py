"""A forward taken apart by the counters of the runtime that runs it."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from evnas.arch.catalog import catalog
from evnas.arch.paths import edit
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy
from evnas.cli import app
from evnas.errors import MeasurementError
from evnas.measure.anatomy import counters
from evnas.measure.anatomy.counters import anatomy, kind_of, must_be_read, stage_of
from evnas.measure.anatomy.operator_time import OperatorTime
from evnas.measure.anatomy.torch_operators import STATE_SPACE, operator_times
from evnas.measure.counting.flops import count
from evnas.measure.target import Target
from evnas.record import Record
from evnas.report.frame.study_reader import StudyReader
from evnas.report.panels.table import compute_panel
from evnas.store import Store

SIDE = 32
CONTRACTIONS = ("Conv", "Gemm", "MatMul")
PRODUCTS = ("Conv", "MatMul", "Gemm", "Scan")
RUNTIMES = [
    "torch",
    "onnx",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("openvino") is None, reason="openvino is not installed"
        ),
    ),
]


@pytest.fixture(autouse=True)
def small_ceilings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made up: the real ones take seconds."""
    monkeypatch.setattr(counters, "copy_bytes_s", lambda *_: 1e10)
    monkeypatch.setattr(counters, "matmul_flop_s", lambda *_: 1e11)


def small(name: str) -> Any:
    return edit(catalog()[name].arch.scaled(0.25), {"stages[*].depth": 1})


def deployed(name: str) -> nn.Module:
    return deploy(build(small(name), seed=0).eval())


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", ["vmamba_tiny_s1l8", "vssd_micro"])
def test_parts_add_up_to_the_forward(name: str, runtime: str) -> None:
    images = torch.randn(1, 3, SIDE, SIDE)
    target = Target(device="cpu", runtime=runtime, form="deployed")
    found = anatomy(deployed(name), images, target)
    total = sum(part.ms for part in found.parts)
    assert total == pytest.approx(found.latency_ms)
    assert all(part.ms >= 0 for part in found.parts)
    assert {"stem", "stages.0", "stages.3", "downsampling"} <= {p.stage for p in found.parts}
    kinds = {part.kind for part in found.parts}
    assert {"scan or state product", "projection", "ffn", "norm", "gaps"} <= kinds


@pytest.mark.parametrize("d_state", [1, 4])
def test_flops_of_the_products_are_those_of_the_count(d_state: int) -> None:
    """But for the scans' D u, which is none of the products. ONNX Runtime fills channels up to 8,
    with AVX-512 to 16: of these widths only maps of steps, B and C are no multiple of that."""
    changes = {"stages[*].depth": 1, "stages[*].mixer.d_state": d_state}
    arch = edit(catalog()["vmamba_tiny_s1l8"].arch, changes)
    images = torch.randn(1, 3, SIDE, SIDE)
    _, operators = counters._by_onnxruntime(deploy(build(arch, seed=0).eval()), images)
    products = [o for o in operators if any(p in o.operator for p in PRODUCTS)]
    sides = (SIDE // 4 >> n for n in range(len(arch.stages)))
    skipped = sum(2 * 4 * of.dim * side**2 for of, side in zip(arch.stages, sides, strict=True))
    counted = 2 * count(arch, SIDE).macs["exact"]
    assert counted - skipped <= sum(o.flops or 0 for o in products) <= 1.001 * counted


@pytest.mark.parametrize("form", ["plain", "deployed"])
@pytest.mark.parametrize("name", ["efficientvim_m1", "vmamba_tiny_s1l8", "vssd_micro"])
def test_flops_of_torch_s_products_are_those_of_the_count(name: str, form: str) -> None:
    arch = small(name)
    model = build(arch, seed=0).eval()
    body = deploy(model) if form == "deployed" else model
    operators = operator_times(body, torch.randn(1, 3, SIDE, SIDE))
    products = [o for o in operators if o.operator in (*CONTRACTIONS, STATE_SPACE)]
    assert all(o.flops is not None for o in products)
    counted = 2 * count(arch, SIDE).macs["exact"]
    assert sum(o.flops or 0 for o in products) == pytest.approx(counted, rel=0.02)


@pytest.mark.parametrize("form", ["plain", "deployed"])
def test_torch_s_operators_stand_in_their_stages(form: str) -> None:
    model = build(small("efficientvim_m1"), seed=0).eval()
    body = deploy(model) if form == "deployed" else model
    operators = operator_times(body, torch.randn(1, 3, 64, 64))
    places = {(stage_of(o.name), kind_of(o)) for o in operators}
    assert {("stem", "projection"), ("head", "projection"), ("downsampling", "projection")} <= (
        places
    )
    for stage in ("stages.0", "stages.1", "stages.2"):
        for kind in ("projection", "scan or state product", "depthwise", "ffn", "norm"):
            assert (stage, kind) in places


def test_bytes_are_of_what_is_read_and_written() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.ReLU())
    conv, relu = operator_times(model.eval(), torch.randn(2, 3, 4, 4))
    assert conv.bytes == 4 * (2 * 3 * 16 + 3 * 8 + 2 * 8 * 16)
    assert relu.bytes == 4 * 2 * (2 * 8 * 16)
    assert (conv.flops, relu.flops) == (2 * 2 * 16 * 3 * 8, 2 * 8 * 16)


def test_views_belong_to_no_operator() -> None:
    class Turned(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1)  # reshape has to copy

    (copied,) = operator_times(Turned(), torch.randn(2, 3, 4, 4))
    assert (copied.operator, kind_of(copied)) == ("Identity", "copies")


def test_what_loops_are_noted_to_take_is_what_the_others_leave() -> None:
    noted = [
        OperatorTime("/stages.0/blocks.0/mixer/scan", "Scan", 90.0, 1e9, 1e6),
        OperatorTime("/stages.0/blocks.0/mixer/in_proj/Conv", "Conv", 6.0, 1e9, 1e6),
    ]
    parts = list(counters._parts(10.0, noted, 1e10, 1e11))
    times = {(part.stage, part.kind): part.ms for part in parts}
    assert times == pytest.approx(
        {
            ("stages.0", "scan or state product"): 4.0,
            ("stages.0", "projection"): 6.0,
            ("rest", "gaps"): 0.0,
        }
    )
    # 1e9 FLOP at 1e11 a second are 10 ms, 1e6 bytes at 1e10 a second 0.1 ms
    assert parts[1].bound == "arithmetic" and parts[1].of_ceiling == pytest.approx(10 / 6)


@pytest.mark.parametrize(
    ("flops", "size", "bound"),
    [(3e8, 1e6, "arithmetic"), (1e6, 3e7, "memory"), (2e8, 2e7, "neither"), (None, 3e7, "")],
)
def test_far_below_both_ceilings_neither_bounds(flops: Any, size: float, bound: str) -> None:
    noted = [OperatorTime("/stem/Conv", "Conv", 10.0, flops, size)]
    part, _ = counters._parts(10.0, noted, 1e10, 1e11)
    assert part.bound == bound  # 1 ms at a ceiling is 1e8 FLOP or 1e7 bytes
    assert part.of_ceiling is None or (part.of_ceiling < 0.25) == (bound == "neither")


@pytest.mark.parametrize(
    ("name", "operator", "stage", "kind"),
    [
        ("/body/stages.2/blocks.0/mlp/mlp.0/Conv", "Conv", "stages.2", "ffn"),
        ("/body/downsample/downsample.0_2/Conv", "Conv", "downsampling", "projection"),
        ("/body/stages.1/blocks.0/mixer/MatMul_1", "MatMul", "stages.1", "scan or state product"),
        ("/body/stages.1/blocks.0/mixer/Q/MatMul", "MatMul", "stages.1", "projection"),
        ("/body/stem/stem.1/conv/Conv", "FusedConv", "stem", "projection"),
        ("Gelu_token_88", "Gelu", "", "elementwise"),
    ],
)
def test_stage_and_kind_by_name(name: str, operator: str, stage: str, kind: str) -> None:
    assert stage_of(name) == stage
    assert kind_of(OperatorTime(name, operator, 1.0)) == kind


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (["--target", "compile"], "from the runtimes torch, onnx, openvino, got 'compile'"),
        (["--target", "onnx", "--precision", "bfloat16"], "of float32 on the CPU, got bfloat16"),
        (["--target", "onnx", "--protocol", "timm"], "does not go with --protocol"),
        (["--target", "onnx", "--sweep-batch"], "does not go with --sweep-batch"),
        (["--target", "onnx", "--keep"], "named STUDY:TRIAL; efficientvim_m1 is of none"),
    ],
)
def test_what_is_not_taken_apart_is_refused(asked: list[str], reason: str) -> None:
    model = ["bench", "efficientvim_m1", "--device", "cpu", "--breakdown", "--resolution", "32"]
    done = CliRunner().invoke(app, [*model, *asked])
    assert done.exit_code != 0
    assert reason in str(done.exception) + done.output


@pytest.mark.parametrize(
    ("runtime", "precision", "refused"),
    [
        ("torch", "float16", ""),
        ("torch", "float32", ""),
        ("onnx", "float32", "from the runtime torch"),
    ],
)
def test_on_a_gpu_torch_is_taken_apart(runtime: str, precision: Any, refused: str) -> None:
    target = Target(device="cuda:0", runtime=runtime, precision=precision)
    if not refused:
        must_be_read(target)
        return
    with pytest.raises(MeasurementError, match=refused):
        must_be_read(target)


def test_gaps_of_a_gpu_are_what_its_kernels_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest of each operator's kernels, against the shortest forward."""
    given = iter([9.0, 3.0, 2.0, 4.0, *[5.0] * 5])  # the first warms up

    def kernels(call: Any, model: nn.Module) -> list[OperatorTime]:
        call()
        return [OperatorTime("/stem/Conv", "Conv", next(given), 1e9, 1e6)]

    monkeypatch.setattr(counters, "kernel_times", kernels)
    monkeypatch.setattr(counters, "_shortest_ms", lambda call, device: 10.0)
    target = Target(device="cuda:0", precision="float32")
    latency_ms, operators = counters._by_kernels(
        nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 2, 2), target
    )
    parts = {part.kind: part.ms for part in counters._parts(latency_ms, operators, 1e10, 1e11)}
    assert parts == {"projection": 2.0, "gaps": 8.0}


def test_a_command_takes_a_forward_apart() -> None:
    asked = ["efficientvim_m1", "--breakdown", "--target", "onnx", "--resolution", "32"]
    done = CliRunner().invoke(app, ["bench", *asked, "--batch-size", "1", "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert found["name"] == "efficientvim_m1" and found["runtime"] == "onnx"
    assert sum(part["ms"] for part in found["parts"]) == pytest.approx(found["latency_ms"])


def test_a_study_keeps_breakdowns_for_its_page(tmp_path: Path) -> None:
    arch = small("efficientvim_m1")
    about: dict[str, Any] = {"digest": arch.digest, "arch": arch.to_dict(), "status": "complete"}
    sweep = {"name": "s", "base": "efficientvim_m1", "rows": {"A": {}}}
    with Store.create(tmp_path / "s" / "study.db", sweep=sweep, environment={}) as store:
        store.append(Record(label="A", phase="count", **about))
    figure = tmp_path / "where.svg"
    asked = ["--target", "torch", "--resolution", "64", "--batch-size", "1", "--device", "cpu"]
    words = ["bench", f"{tmp_path / 's'}:A", "--breakdown", "--keep", "--figure", str(figure)]
    for _ in range(2):  # the second takes the place of the first
        done = CliRunner().invoke(app, [*words, *asked])
        assert done.exit_code == 0, done.output
    reader = StudyReader(tmp_path / "s")
    panel: Any = compute_panel("breakdown", reader)
    (kept,) = panel
    reader.close()
    assert (kept["label"], kept["target"]) == ("A", "cpu-torch-64-b1-float32")
    assert sum(part["ms"] for part in kept["parts"]) == pytest.approx(kept["latency_ms"])
    drawn = figure.read_text()
    assert "stages.2" in drawn and "scan or state product" in drawn and "s:A" in drawn


def test_keeping_is_of_breakdowns() -> None:
    done = CliRunner().invoke(app, ["bench", "efficientvim_m1", "--keep"])
    assert done.exit_code != 0
    assert "--keep is of --breakdown" in str(done.exception) + done.output
