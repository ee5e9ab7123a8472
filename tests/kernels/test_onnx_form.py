"""The scans' form in an ONNX graph, against the reference, in the runtimes that are here."""

import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from evnas.blocks.norms import norms
from evnas.kernels import selective_scan, ss2d_scan, ss2d_scan_low_rank
from evnas.kernels.onnx_form import recurrence
from evnas.kernels.onnx_form.exporting import own_nodes
from evnas.kernels.onnx_form.nodes import INNER, without_own_nodes
from evnas.kernels.onnx_form.step_size import softplus, softplus_form
from evnas.kernels.operator_inputs import MapInputs
from evnas.kernels.selective_scan.reference import selective_scan_reference
from evnas.kernels.ss2d_scan.low_rank import step_sizes
from evnas.kernels.ss2d_scan.reference import ss2d_scan_reference
from evnas.kernels.ss2d_scan.routes import route_count
from evnas.measure.runtimes.onnx_float16 import in_float16
from evnas.mixers.es2d.module import Es2d

RELATIVE = 1e-5
"""Of the largest value: what sums of float32 in another order leave."""
SCANS = [("unidi", 1), ("bidi", 1), ("cross", 1), ("rows", 1), ("cols", 1), ("atrous", 2)]


class Exported(nn.Module):
    """A function as a module, and as an ONNX graph whose axes of the first inputs may vary."""

    def __init__(self, run: Callable[..., Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.run(*inputs)

    def in_onnx(
        self, inputs: Sequence[Tensor], axes: Mapping[int, Sequence[int]]
    ) -> onnx.ModelProto:
        file, names = io.BytesIO(), [f"input{i}" for i in range(len(inputs))]
        with warnings.catch_warnings(), torch.no_grad(), own_nodes(sides_fixed=not axes):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                self,
                tuple(inputs),
                file,  # type: ignore[arg-type] # a file object is taken, the stub forgot it
                dynamo=False,
                opset_version=17,
                input_names=names,
                dynamic_axes={names[i]: list(of) for i, of in axes.items()},
            )
        model: onnx.ModelProto = without_own_nodes(onnx.load_from_string(file.getvalue()))
        onnx.checker.check_model(model, full_check=True)
        return model


def as_maps(given: Sequence[Tensor]) -> MapInputs:
    u, delta, A, B, C, D, bias = given
    return u, delta, A, B, C, D, bias


def runs(model: onnx.ModelProto) -> Iterator[Callable[[Sequence[Tensor]], Tensor]]:
    """The graph by ONNX Runtime, and by OpenVINO where that is installed."""
    content = model.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options)

    def by_onnxruntime(inputs: Sequence[Tensor]) -> Tensor:
        fed = {f"input{i}": x.numpy() for i, x in enumerate(inputs)}
        return torch.from_numpy(session.run(None, fed)[0])

    yield by_onnxruntime
    if importlib.util.find_spec("openvino") is None:
        return
    import openvino

    core = openvino.Core()
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(content), "CPU", precise)

    def by_openvino(inputs: Sequence[Tensor]) -> Tensor:
        fed = {f"input{i}": x.numpy() for i, x in enumerate(inputs)}
        return torch.from_numpy(np.array(next(iter(compiled(fed).values()))))

    yield by_openvino


def maps(
    scan: str, step: int, shape: tuple[int, int, int], N: int, *, large: float = 1.0
) -> list[Tensor]:
    """Random inputs of `ss2d_scan` over (Bt, H, W) with 5 channels."""
    (Bt, H, W), K, Dm = shape, route_count(scan, step), 5
    draw = torch.Generator().manual_seed(H * W + N)

    def normal(*size: int) -> Tensor:
        return torch.randn(size, generator=draw)

    return [
        large * normal(Bt, Dm, H, W),
        large * normal(Bt, K, Dm, H, W),
        -torch.exp(normal(K, Dm, N)),
        normal(Bt, K, N, H, W),
        normal(Bt, K, N, H, W),
        normal(K, Dm),
        normal(K, Dm) - 4.0,
    ]


def assert_near(got: Tensor, want: Tensor, relative: float = RELATIVE) -> None:
    assert got.shape == want.shape and got.isfinite().all()
    assert float((got - want).abs().max() / want.abs().max()) < relative


@pytest.mark.parametrize("N", [1, 3])
@pytest.mark.parametrize(("scan", "step"), SCANS)
def test_scans_of_maps_of_any_batch_and_sides(scan: Any, step: int, N: int) -> None:
    exported = Exported(lambda *given: ss2d_scan(*given, scan=scan, step=step))
    traced = maps(scan, step, (2, 5, 7), N)
    axes = {i: (0, x.ndim - 2, x.ndim - 1) for i, x in enumerate(traced) if x.ndim > 3}
    for run in runs(exported.in_onnx(traced, axes)):
        for shape in ((2, 5, 7), (1, 7, 4), (3, 6, 6)):
            given = maps(scan, step, shape, N)
            assert_near(run(given), ss2d_scan_reference(as_maps(given), scan=scan, step=step))


FORMS = [(1, 1), (1, 10**9), (3, 10**9)]
"""States, and below how many elements a step chunks are walked side by side: of one state both."""


@pytest.mark.parametrize(("N", "few"), FORMS)
@pytest.mark.parametrize(("scan", "step"), SCANS)
def test_scans_of_fixed_sides_whose_steps_are_a_product(
    scan: Any, step: int, N: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurrence, "FEW_ELEMENTS", few)
    u, _, *rest = maps(scan, step, (2, 6, 5), N)
    draw, K = torch.Generator().manual_seed(0), route_count(scan, step)
    low, dt_weight = (
        torch.randn(2, K, 2, 6, 5, generator=draw),
        torch.randn(K, 5, 2, generator=draw),
    )
    given = [u, low, dt_weight, *rest]
    exported = Exported(lambda *inputs: ss2d_scan_low_rank(*inputs, scan=scan, step=step))
    delta = step_sizes(low, dt_weight)
    want = ss2d_scan_reference(as_maps([u, delta, *rest]), scan=scan, step=step)
    for run in runs(exported.in_onnx(given, {})):
        assert_near(run(given), want)


@pytest.mark.parametrize(("step", "N", "few"), [(2, 1, 1), (2, 1, 10**9), (3, 2, 1)])
def test_es2d_with_its_projections(
    step: int, N: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurrence, "FEW_ELEMENTS", few)
    torch.manual_seed(0)
    mixer = Es2d(
        4,
        d_state=N,
        ssm_ratio=2.0,
        dt_rank=2,
        conv=False,
        conv_bias=False,
        gate=False,
        act="silu",
        init="mamba",
        step=step,
        norms=norms("ln"),
    ).requires_grad_(False)
    u = torch.randn(2, 8, 5, 7)  # sides that are padded
    want = mixer.scan(u)
    for run in runs(Exported(mixer.scan).in_onnx([u], {})):
        assert_near(run([u]), want)


@pytest.mark.parametrize(("N", "few"), FORMS)
def test_large_steps_and_activations_neither_overflow_nor_lose_the_small_ones(
    N: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of up to 400 underflow every decay; others of exp(-400) leave the state as it is."""
    monkeypatch.setattr(recurrence, "FEW_ELEMENTS", few)
    exported = Exported(lambda *given: ss2d_scan(*given, scan="cross"))
    given = maps("cross", 1, (2, 9, 8), N, large=100.0)
    want = ss2d_scan_reference(as_maps([x.double() for x in given]), scan="cross")
    for run in runs(exported.in_onnx(given, {})):
        assert_near(run(given).double(), want)


@pytest.mark.parametrize("N", [1, 3])
def test_in_float16_a_scan_stays_float32_from_operands_to_result(N: int) -> None:
    given = maps("cross", 1, (2, 8, 9), N)
    exported = Exported(lambda *inputs: ss2d_scan(*inputs, scan="cross")).in_onnx(given, {})
    half = onnx.load_from_string(in_float16(exported.SerializeToString()))
    names = [name for node in half.graph.node for name in node.output]
    assert len(set(names)) == len(names)
    cast = [node.input[0] for node in half.graph.node if node.op_type == "Cast"]
    assert cast and not [name for name in cast if INNER in name]
    want = ss2d_scan_reference(as_maps([x.half().float() for x in given]), scan="cross")
    by_onnxruntime = next(runs(half))
    assert_near(by_onnxruntime(given), want, 1e-2)


def test_a_scan_without_skip_bias_or_softplus() -> None:
    draw = torch.Generator().manual_seed(0)
    x, delta = torch.randn(2, 6, 13, generator=draw), torch.rand(2, 6, 13, generator=draw)
    A, (B, C) = -torch.rand(6, 2, generator=draw), torch.randn(2, 2, 3, 2, 13, generator=draw)
    given = [x, delta, A, B, C]
    for run in runs(Exported(selective_scan).in_onnx(given, {0: (0, 2)})):
        assert_near(run(given), selective_scan_reference((x, delta, A, B, C, None, None)))


def test_a_graph_is_as_long_for_a_long_scan() -> None:
    counts = {
        (shape, N): sum(
            node.op_type != "Constant"
            for node in Exported(lambda *given: ss2d_scan(*given, scan="cross"))
            .in_onnx(maps("cross", 1, shape, N), {})
            .graph.node
        )
        for shape in ((1, 4, 4), (1, 40, 24))
        for N in (1, 3)
    }
    assert len({counts[shape, 1] for shape, _ in counts}) == 1
    assert max(counts.values()) <= 150


def test_the_step_size_is_exact_where_it_is_small_too() -> None:
    z = torch.cat([torch.linspace(-30.0, 30.0, 4001), torch.tensor([-80.0, 0.0, 500.0])])
    want = torch.log1p(torch.exp(z.double().clamp(max=200.0)))
    want = torch.where(z > 200.0, z.double(), want)
    assert float(((softplus_form(z) - want) / want).abs().max()) < 1e-6
    for run in runs(Exported(softplus).in_onnx([z], {})):
        assert float(((run([z]) - want) / want).abs().max()) < 1e-6


def test_whoever_else_exports_gets_a_file_that_runs() -> None:
    given = maps("cross", 1, (1, 3, 4), 2)
    file = io.BytesIO()
    module = Exported(lambda *inputs: ss2d_scan(*inputs, scan="cross"))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(given),
            file,  # type: ignore[arg-type] # a file object is taken, the stub forgot it
            dynamo=False,
            opset_version=17,
            input_names=[f"input{i}" for i in range(len(given))],
        )
    for run in runs(onnx.load_from_string(file.getvalue())):
        assert_near(run(given), ss2d_scan_reference(as_maps(given), scan="cross"))
