"""The operators as torch sees them: one operator each, on meta, compiled, exported."""

import pytest
import torch
from labels import headed
from torch.utils._python_dispatch import TorchDispatchMode

from evnas import kernels
from evnas.kernels.hsm_ssd.op import (
    hsm_ssd_compress_op,
    hsm_ssd_expand_op,
    hsm_ssd_op,
)


class Recorder(TorchDispatchMode):
    """The names of the operators that reach the dispatcher."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def test_one_operator_on_meta_in_inference(build_call, case):
    call = build_call(case)
    inputs = {n: None if t is None else t.to("meta") for n, t in call.inputs.items()}
    with torch.inference_mode(), Recorder() as seen:
        outputs = type(call)(call.run, inputs, call.options).outputs("auto")
    assert seen.names == [f"evnas.{call.run.__name__}.default"]
    real = call.outputs("cpu")
    assert [(t.shape, t.dtype) for t in outputs] == [(t.shape, t.dtype) for t in real]


def opcheck(op, args):
    leaves = tuple(a.float().requires_grad_() if isinstance(a, torch.Tensor) else a for a in args)
    torch.library.opcheck(op, leaves)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # opcheck reads it on its own copies
@pytest.mark.parametrize("strided", [False, True], ids=["contiguous", "strided"])
def test_opcheck(build_call, strided):
    torch.use_deterministic_algorithms(False)  # opcheck compares uninitialised fakes
    scan = build_call("selective_scan-plain", strided=strided).inputs
    opcheck(torch.ops.evnas.selective_scan, (*scan.values(), True, "auto"))
    ss2d = build_call("ss2d_scan-atrous-2", strided=strided).inputs
    opcheck(torch.ops.evnas.ss2d_scan, (*ss2d.values(), "atrous", 2, "auto"))
    nc = build_call("nc_ssd-head", strided=strided).inputs
    opcheck(torch.ops.evnas.nc_ssd, (*nc.values(), "auto"))
    norm = build_call("channel_layer_norm", strided=strided).inputs
    opcheck(torch.ops.evnas.channel_layer_norm, (*norm.values(), 1e-5, "auto"))
    hsm = build_call("hsm_ssd-shared", strided=strided).inputs
    opcheck(hsm_ssd_op, (*hsm.values(), 2, "auto"))
    opcheck(hsm_ssd_compress_op, (*(hsm[n] for n in ("u", "dt", "B", "A")), 2, "auto"))
    opcheck(hsm_ssd_expand_op, (hsm["u"], hsm["B"].transpose(1, 2).contiguous()[:, :17], "auto"))


@pytest.mark.parametrize("name", ["ss2d_scan-cross", "hsm_ssd", "nc_ssd", "channel_layer_norm"])
def test_whole_graph_compile(build_call, name):
    torch.use_deterministic_algorithms(False)  # inductor's own code would be NaN-filled, slowly
    call = build_call(name).to(torch.float32)
    want = call.gradients("cpu")
    compiled = torch.compile(call.run, fullgraph=True, backend="aot_eager")
    got = type(call)(compiled, call.inputs, call.options).gradients("cpu")
    for key, value in want.items():
        torch.testing.assert_close(got[key], value, msg=headed(key))


def test_export_keeps_the_operator():
    class Norm(torch.nn.Module):
        def forward(self, x):
            return kernels.channel_layer_norm(x) * 2

    program = torch.export.export(Norm(), (torch.randn(2, 3, 4),))
    targets = [str(node.target) for node in program.graph.nodes]
    assert "evnas.channel_layer_norm.default" in targets


def test_autocast_changes_nothing(build_call, case):
    call = build_call(case).to(torch.float32)
    want = call.gradients("cpu")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = call.gradients("cpu")
    for name, value in want.items():
        assert torch.equal(got[name], value), name


def test_hidden_parameter_has_an_exactly_zero_gradient(build_call):
    call = build_call("hsm_ssd")
    assert not call.gradients("cpu")["gradient of A"].any()


def test_a_gradient_cannot_be_differentiated_again(build_call):
    call = build_call("nc_ssd")
    leaves = {n: t.detach().requires_grad_() for n, t in call.leaves().items()}
    once = type(call)(call.run, leaves, call.options)
    with pytest.raises(RuntimeError, match="evnas::nc_ssd has no second derivative"):
        torch.autograd.grad(once.outputs("cpu")[0].sum(), leaves["v"], create_graph=True)
    torch.autograd.grad(once.outputs("reference")[0].sum(), leaves["v"], create_graph=True)
