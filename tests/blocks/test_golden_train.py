"""One training step of the released models: loss, every gradient, batch norm statistics.

All in float64. Where the record is float32 (VMamba and EfficientVMamba), its rounding is the
tolerance.
"""

from collections.abc import Callable
from typing import Any

import pytest
from reference_data import golden_json, image

from evnas.blocks.backbone import Backbone
from evnas.blocks.naming import official_keys

BATCH = {
    "efficientvim_m1": 2,
    "vssd_micro": 2,
    "vmamba_tiny_s1l8": 1,
    "efficient_vmamba_tiny": 1,
}
RTOL = {"float64": 1e-9, "float32": 1e-5}
# what is zero but for rounding: EfficientViM's A (the softmax cancels it), and biases that a
# batch norm takes out again
ZERO = ("mixer.A", "dwconv1.norm.bias", "conv.2.conv.bias", "conv_branch.0.bias")


def is_zero(key: str) -> bool:
    """Whether a gradient is known to vanish."""
    return key.endswith(ZERO) and not ("blocks" in key and key.endswith(ZERO[1]))


@pytest.mark.parametrize("name", BATCH)
def test_training_step_is_that_of_the_release(
    name: str, reference_model: Callable[[str], Backbone]
) -> None:
    record = golden_json(f"{name}.train")
    precision = "float64" if "float64" in record else "float32"
    record = record.get(precision, record)

    def near(wanted: Any) -> Any:
        return pytest.approx(wanted, rel=RTOL[precision], abs=1e-8)

    model = reference_model(name).double().train()
    logits = model(image(BATCH[name], 3, 224, 224).double())
    loss = logits.square().mean()
    loss.backward()

    assert logits[0, :8].tolist() == pytest.approx(record["logits_first8"], abs=1e-6)
    assert loss.item() == near(record["loss"])
    ours = dict(model.named_parameters())
    pairs = official_keys(model.arch, list(model.state_dict()))
    grads = {k: ours[o].grad for k, (o, _) in pairs.items() if o in ours}
    norms = {k: grad.norm().item() for k, grad in grads.items() if grad is not None}
    assert set(norms) == set(record["all_grad_norms"])
    live = {k for k in norms if not is_zero(k)}
    assert {k: norms[k] for k in live} == near({k: record["all_grad_norms"][k] for k in live})
    assert all(norms[k] < 1e-14 for k in norms if k not in live)
    for key, first in record.get("bn_after_first4", record.get("bn_after_step", {})).items():
        buffer = model.get_buffer(pairs[key][0])
        assert buffer[:4].tolist() == pytest.approx(first, rel=1e-5, abs=1e-6), key
