"""The product of batches of matrices, on oneDNN and off it."""

import pytest
import torch
from labels import headed
from spies import noting
from torch.testing import assert_close

from evnas.kernels import product as product_module
from evnas.kernels.product import linear, product

SHAPES = [(1, 1, 1, 1), (1, 5, 7, 3), (3, 64, 49, 130), (2, 4, 0, 3), (0, 4, 2, 3)]  # Bt, M, K, N


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_the_product(shape, dtype):
    Bt, M, K, N = shape
    a = torch.randn(Bt, M, K, dtype=dtype)
    b = torch.randn(Bt, K, N, dtype=dtype)
    turned = a.mT.contiguous().mT, b.mT.contiguous().mT
    for left in (a, turned[0]):
        for right in (b, turned[1]):
            got = product(left, right)
            assert_close(got, a @ b)
            assert got.is_contiguous()


@pytest.mark.parametrize(("enabled", "calls"), [(True, 3), (False, 0)])
def test_each_image_goes_to_onednn_where_it_is_on(monkeypatch, enabled, calls):
    seen: list[object] = []
    monkeypatch.setattr(product_module, "_one", noting(seen, product_module._one))
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", enabled)
    assert_close(product(torch.ones(3, 2, 4), torch.ones(3, 4, 5)), torch.full((3, 2, 5), 4.0))
    assert len(seen) == calls


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("M", "K", "N"), [shape[1:] for shape in SHAPES], ids=str)
def test_linear_is_the_product_with_the_transpose(M, K, N, dtype):
    rows, weight = torch.randn(M, K, dtype=dtype), torch.randn(N, K, dtype=dtype)
    for weights in (weight, weight.T.contiguous().T):
        got = linear(rows, weights)
        assert_close(got, rows @ weight.T)
        assert got.is_contiguous()


@pytest.mark.parametrize("enabled", [True, False], ids=["onednn", "blas"])
@pytest.mark.parametrize("operator", ["hsm_ssd", "hsm_ssd-shared", "nc_ssd"])
def test_operators_agree_with_reference_on_either_library(
    build_call, monkeypatch, operator, enabled
):
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", enabled)
    call = build_call(operator).to(torch.float32)
    want = call.gradients("reference")
    for name, value in call.gradients("cpu").items():
        assert_close(value, want[name], rtol=1e-4, atol=1e-4, msg=headed(name))
