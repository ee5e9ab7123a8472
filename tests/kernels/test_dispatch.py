"""Which implementation runs: auto falls back, a named one runs or says why it cannot."""

from contextlib import contextmanager

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from evnas import kernels
from evnas.errors import EvnasError, KernelUnavailable
from evnas.kernels import dispatch
from evnas.kernels.autotune_table import CallShape
from evnas.kernels.operator import on_its_device


def norm(dtype, impl):
    return kernels.channel_layer_norm(torch.ones(1, 2, 3, dtype=dtype), impl=impl)


def test_a_named_kernel_that_cannot_run_says_why(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(KernelUnavailable, match=r"impl='triton' .* the tensor is on cpu"):
        norm(torch.float32, "triton")
    assert issubclass(KernelUnavailable, EvnasError)


def test_every_operator_refuses_before_it_computes(build_call, case, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(KernelUnavailable, match="float64"):
        build_call(case).outputs("triton")


def test_missing_triton_is_named(monkeypatch):
    monkeypatch.setattr(dispatch, "installed", lambda package: False)
    with pytest.raises(KernelUnavailable, match="triton is not installed"):
        norm(torch.float32, "triton")
    assert norm(torch.float32, "auto").shape == (1, 2, 3)


def test_numba_asked_for_where_it_cannot_run_says_why(monkeypatch):
    monkeypatch.setattr(dispatch, "NUMBA_OPERATORS", ("ss2d_scan",))
    monkeypatch.setattr(dispatch, "installed", lambda package: package == "numba")
    maps = {d: torch.ones(1, device=d) for d in ("cpu", "meta")}
    dispatch.require("ss2d_scan", "numba", maps["cpu"])
    with pytest.raises(KernelUnavailable, match=r"impl='numba' .* is on meta, not on a CPU"):
        dispatch.require("ss2d_scan", "numba", maps["meta"])
    with pytest.raises(KernelUnavailable, match=r"float64 is not supported"):
        dispatch.require("ss2d_scan", "numba", maps["cpu"].double())
    with pytest.raises(KernelUnavailable, match="channel_layer_norm has no such implementation"):
        norm(torch.float32, "numba")
    monkeypatch.setattr(dispatch, "installed", lambda package: False)
    with pytest.raises(KernelUnavailable, match="numba is not installed"):
        dispatch.require("ss2d_scan", "numba", maps["cpu"])


def test_auto_on_a_cpu_takes_numba_for_the_operators_that_have_it(monkeypatch):
    monkeypatch.setattr(dispatch, "NUMBA_OPERATORS", ("ss2d_scan",))
    monkeypatch.setattr(dispatch, "installed", lambda package: package == "numba")
    float32, float64 = torch.ones(1), torch.ones(1, dtype=torch.float64)
    assert dispatch.resolve("ss2d_scan", "auto", float32) == "numba"
    assert dispatch.resolve("ss2d_scan", "numba", float32) == "numba"
    assert dispatch.resolve("ss2d_scan", "auto", float64) == "cpu"
    assert dispatch.resolve("nc_ssd", "auto", float32) == "cpu"
    monkeypatch.setattr(dispatch, "installed", lambda package: False)
    assert dispatch.resolve("ss2d_scan", "auto", float32) == "cpu"


def test_more_states_than_a_tile_holds_run_in_plain_torch_on_a_gpu(monkeypatch):
    monkeypatch.setattr(dispatch.Question, "answer", lambda question, device: "auto")
    with FakeTensorMode():
        maps = torch.empty(1, 3, 5, device="cuda")
    assert dispatch.choose("hsm_ssd", "auto", (maps,), states=128) == "auto"
    assert dispatch.choose("hsm_ssd", "auto", (maps,), states=129) == "cpu"
    assert dispatch.choose("hsm_ssd", "auto", (torch.empty(1, 3, 5),), states=129) == "auto"


class OnAGpu:
    """What an operator asks of a tensor on the second GPU."""

    is_cuda = True
    device = torch.device("cuda", 1)


@pytest.mark.parametrize(("current", "switched"), [(0, ["cuda:1"]), (1, [])])
def test_kernels_are_launched_on_their_tensors_gpu(monkeypatch, current, switched):
    entered = []

    @contextmanager
    def device(given):
        entered.append(str(given))
        yield

    monkeypatch.setattr(torch.cuda, "current_device", lambda: current)
    monkeypatch.setattr(torch.cuda, "device", device)
    assert on_its_device(lambda x, scale: scale, OnAGpu(), scale=3) == 3
    assert entered == switched


def test_unknown_implementation_lists_the_known():
    with pytest.raises(ValueError, match=r"impl must be one of .*'reference'.* got 'cuda'"):
        norm(torch.float32, "cuda")


def test_auto_takes_an_untimed_kernel_only_where_it_was_measured_the_fastest(monkeypatch):
    monkeypatch.setattr(dispatch, "why_not_triton", lambda device, dtype: None)
    work = CallShape(1, states=1, training=True)

    def taken(op_name, measured):
        monkeypatch.setattr(dispatch, "fastest", lambda *_, **__: measured)
        return dispatch.implementation_in_use(op_name, "cuda", work=work)

    assert taken("ss2d_scan", None) == taken("ss2d_scan", "triton_fused") == "triton"
    assert taken("ss2d_scan", "triton_patches") == "triton_patches"
    assert taken("depthwise_conv", None) == "cpu"
    assert taken("depthwise_conv", "triton") == "triton"


def test_a_second_kernel_is_refused_for_operators_that_lack_it():
    with pytest.raises(KernelUnavailable, match="channel_layer_norm has no such implementation"):
        norm(torch.float32, "triton_patches")


def test_implementation_in_use():
    assert kernels.implementation_in_use("nc_ssd", "cpu", torch.float32) == "cpu"
    with pytest.raises(ValueError, match="op_name must be one of"):
        kernels.implementation_in_use("conv", "cpu")


def test_bad_shapes_are_refused_with_what_was_expected(build_call):
    call = build_call("ss2d_scan-cross")
    call.inputs["D"] = call.inputs["D"][:, :1]
    with pytest.raises(ValueError, match=r"D must be \(4, 2\) for 4 routes .* got \(4, 1\)"):
        call.outputs("auto")


def test_a_step_is_for_atrous_only(build_call):
    call = build_call("ss2d_scan-cross")
    call.options["step"] = 2
    with pytest.raises(ValueError, match="step must be >= 1, and 1 for any scan but 'atrous'"):
        call.outputs("auto")
