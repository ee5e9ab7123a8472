"""The product of batches of matrices, on oneDNN and off it."""

import pytest
import torch
from labels import headed
from spies import noting
from torch.testing import assert_close

from evnas.kernels import product as product_module
from evnas.kernels.product import linear, product

SHAPES = [(1, 1, 1, 1), (1, 5, 7, 3), (3, 64, 49, 130), (2, 4, 0, 3), (0, 4, 2, 3)]  # Bt, M, K, N


@pytest.fixture
def avx512(monkeypatch):
    """As on a processor that has it, for products of any size."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(product_module, "LEAST_FOR_ONEDNN", 0)


@pytest.mark.usefixtures("avx512")
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


@pytest.mark.usefixtures("avx512")
@pytest.mark.parametrize(("enabled", "calls"), [(True, 3), (False, 0)])
def test_each_image_goes_to_onednn_where_it_is_on(monkeypatch, enabled, calls):
    seen: list[object] = []
    monkeypatch.setattr(product_module, "_one", noting(seen, product_module._one))
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", enabled)
    assert_close(product(torch.ones(3, 2, 4), torch.ones(3, 4, 5)), torch.full((3, 2, 5), 4.0))
    assert len(seen) == calls


@pytest.mark.parametrize(
    ("capability", "columns", "calls"), [("AVX2", 64, 0), ("AVX512", 64, 2), ("AVX512", 63, 0)]
)
def test_onednn_takes_large_products_with_avx512(monkeypatch, capability, columns, calls):
    seen: list[object] = []
    monkeypatch.setattr(product_module, "_one", noting(seen, product_module._one))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    found = product(torch.ones(2, 128, 128), torch.ones(2, 128, columns))
    assert_close(found, torch.full((2, 128, columns), 128.0))
    assert len(seen) == calls


@pytest.mark.usefixtures("avx512")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("M", "K", "N"), [shape[1:] for shape in SHAPES], ids=str)
def test_linear_is_the_product_with_the_transpose(M, K, N, dtype):
    rows, weight = torch.randn(M, K, dtype=dtype), torch.randn(N, K, dtype=dtype)
    for weights in (weight, weight.T.contiguous().T):
        got = linear(rows, weights)
        assert_close(got, rows @ weight.T)
        assert got.is_contiguous()


@pytest.mark.usefixtures("avx512")
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
