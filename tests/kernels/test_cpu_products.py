"""HSM-SSD on the CPU mixes few states by the transposed product, many by the plain one."""

import importlib

import pytest
import torch

HSM = importlib.import_module("evnas.kernels.hsm_ssd.cpu")


@pytest.mark.parametrize("few", [0, 10**9], ids=["plain", "transposed"])
@pytest.mark.parametrize("operator", ["hsm_ssd", "hsm_ssd-shared"])
def test_both_products_agree_with_reference(build_call, monkeypatch, operator, few):
    monkeypatch.setattr(HSM, "FEW_COLUMNS", few)
    call = build_call(operator)
    want = call.gradients("reference")
    for name, value in call.gradients("cpu").items():
        torch.testing.assert_close(value, want[name], rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("columns", [1, HSM.FEW_COLUMNS - 1, HSM.FEW_COLUMNS])
def test_products_are_contiguous_as_fake_kernels_promise(columns):
    weight, states = torch.randn(6, 5), torch.randn(columns, 5).T
    mixed = HSM._mixed(weight, states)
    assert mixed.is_contiguous()
    torch.testing.assert_close(mixed, weight @ states)
