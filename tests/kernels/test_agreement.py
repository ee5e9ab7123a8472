"""Every implementation against the reference in float64: outputs and every gradient."""

import pytest
import torch

from evnas import kernels
from evnas.kernels.precision import accumulation_dtype

# Largest error relative to the largest entry of the float64 reference. Half-precision inputs are
# rounded before both sides see them, so this bounds what the kernel itself loses.
TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 2e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
}


def assert_agrees(got, want, dtype):
    assert got.keys() == want.keys()
    for name, expected in want.items():
        actual = got[name]
        assert actual.shape == expected.shape, name
        assert actual.isfinite().all(), f"{name} is not finite"
        scale = expected.abs().max().clamp(min=1.0)
        error = ((actual.double() - expected).abs().max() / scale).item()
        assert error <= TOLERANCE[dtype], f"{name}: error {error:.2e} of {scale:.2e}"


def check(build_call, case, impl, dtype, strided):
    call = build_call(case, strided=strided).to(dtype)
    want = call.to(torch.float64).gradients("reference")
    got = call.gradients(impl)
    kept = call.run in (kernels.channel_layer_norm, kernels.hsm_ssd, kernels.hsm_ssd_expand)
    assert got["output 0"].dtype == (
        dtype if kept else accumulation_dtype(*call.leaves().values())
    )
    assert_agrees(got, want, dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("strided", [False, True], ids=["contiguous", "strided"])
def test_cpu_path_agrees_with_reference(build_call, case, dtype, strided):
    check(build_call, case, "cpu", dtype, strided)


@pytest.mark.parametrize(
    ("dtype", "strided"),
    [
        (torch.float32, False),
        (torch.float32, True),
        (torch.float16, True),
        (torch.bfloat16, False),
    ],
    ids=str,
)
def test_triton_agrees_with_reference(build_call, case, dtype, strided):
    check(build_call, case, "triton", dtype, strided)


def test_reference_passes_gradcheck(build_call, case):
    call = build_call(case)
    leaves = {n: t.requires_grad_() for n, t in call.leaves().items()}

    def run(*tensors):
        inputs = call.inputs | dict(zip(leaves, tensors, strict=True))
        return type(call)(call.run, inputs, call.options).outputs("reference")

    assert torch.autograd.gradcheck(run, tuple(leaves.values()), fast_mode=True)


def test_mixed_dtypes_keep_their_own_gradients(build_call, case):
    """As under autocast: activations in bfloat16, parameters in float32."""
    call = build_call(case)
    halves = {"x", "u", "v", "h", "dt", "delta", "B", "C"}
    inputs = {
        n: None if t is None else t.to(torch.bfloat16 if n in halves else torch.float32)
        for n, t in call.inputs.items()
    }
    mixed = type(call)(call.run, inputs, call.options)
    got = mixed.gradients("cpu")
    assert_agrees(got, mixed.to(torch.float64).gradients("reference"), torch.bfloat16)
    for name, t in mixed.leaves().items():
        assert got[f"gradient of {name}"].dtype == t.dtype, name
