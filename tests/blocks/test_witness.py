"""Second witnesses: timm's EfficientViM, and the reference vectors of single operators."""

import pytest
import timm
import torch
from reference_data import golden_arrays, golden_json, image, weights

from evnas.blocks.norms import norms
from evnas.blocks.official import load_official, to_official
from evnas.kernels import selective_scan
from evnas.mixers.es2d.module import Es2d


def test_selective_scan_agrees_with_the_released_one() -> None:
    a = {k.removeprefix("scan_"): torch.from_numpy(v) for k, v in golden_arrays("ops").items()}
    y = selective_scan(
        a["u"],
        a["delta"],
        a["A"],
        a["B"],
        a["C"],
        a["D"],
        delta_bias=a["delta_bias"],
        delta_softplus=True,
    )
    torch.testing.assert_close(y, a["out"], rtol=1e-5, atol=1e-5)


def test_es2d_reads_the_pixels_in_the_released_order_and_puts_them_back() -> None:
    mixer = Es2d(
        8,
        d_state=1,
        ssm_ratio=1.0,
        dt_rank="auto",
        conv=False,
        conv_bias=False,
        gate=False,
        act="silu",
        init="mamba",
        step=2,
        norms=norms("ln"),
    )
    for name, order in golden_json("scan_orders").items():
        if name.startswith("es2d"):
            height, width = map(int, name.split()[0].removeprefix("es2d_").split("x"))
            pixels = torch.arange(height * width).view(1, 1, height, width)
            padded = torch.nn.functional.pad(pixels, (0, width % 2, 0, height % 2), value=-1)
            phases = mixer._phases(padded)
            assert phases[0, :, 0].tolist() == order
            assert torch.equal(mixer._map(phases, padded.shape), padded)


@pytest.mark.parametrize("name", ["efficientvim_m1_dist", "efficientvim_m4"])
def test_timm_has_the_same_efficientvim(name: str) -> None:
    theirs = timm.create_model(name, pretrained=False).eval()
    wanted = theirs.state_dict()
    state = weights(name)
    theirs.load_state_dict({k: state[k].reshape(v.shape) for k, v in wanted.items()})
    ours = load_official(name, state)
    x = image(2, 3, 256, 256)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-5)


def test_weights_in_timm_shapes_are_taken_too() -> None:
    state = timm.create_model("efficientvim_m1", pretrained=False).state_dict()
    ours = to_official(load_official("efficientvim_m1", state))
    assert all(torch.equal(ours[k].flatten(), v.flatten()) for k, v in state.items())
