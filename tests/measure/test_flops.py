"""Counts against fvcore's on the released codes, against the whole model's, and their refusals."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from evnas.arch.catalog import catalog, entry
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.errors import MeasurementError
from evnas.measure.counting.conventions import CONVENTIONS, PAPER_CONVENTIONS
from evnas.measure.counting.flops import count, count_module
from evnas.measure.counting.shapes import quick_result

COUNTED = json.loads((Path(__file__).parents[1] / "data" / "fvcore_counts.json").read_text())
"""What fvcore 0.1.5 counts on the released code of each paper, batch 1."""


def convention(name: str) -> str:
    # Vanilla-VMamba's figures were taken from its first code, which writes projections as einsums
    return "vmamba_v0" if name.startswith("vanilla") else entry(name).family


def on_meta(arch: ArchSpec) -> nn.Module:
    with torch.device("meta"):
        return build(arch)


@pytest.mark.parametrize("name", COUNTED)
def test_the_papers_conventions_are_met_to_the_digit(name):
    expected = COUNTED[name]
    for resolution in (224, 256):
        if str(resolution) in expected:
            counted = count(entry(name).arch, resolution)
            assert counted.params == expected["params"]
            assert counted.macs[convention(name)] == expected[str(resolution)]


@pytest.mark.parametrize(
    ("name", "operator", "theirs"),
    [
        ("efficientvim_m2", "aten.batch_norm", "batch_norm"),
        ("efficientvim_m2", "aten.mean", "adaptive_avg_pool2d"),
        ("vssd_tiny", "evnas.nc_ssd", "matmul"),
        ("vssd_tiny", "evnas.channel_layer_norm", "layer_norm"),
        ("vssd_tiny", "aten.scaled_dot_product_attention", "einsum"),
        ("vmamba_tiny_s1l8", "evnas.ss2d_scan", "SelectiveScanCuda"),
        ("efficient_vmamba_tiny", "evnas.selective_scan", "SelectiveScan"),
        ("efficient_vmamba_tiny", "aten.conv1d", "einsum"),
        ("efficient_vmamba_tiny", "aten.mean", "adaptive_avg_pool2d"),
    ],
)
def test_operators_count_what_fvcore_counts_of_them(name, operator, theirs):
    by_operator = count(entry(name).arch).by_operator(convention(name))
    assert by_operator[operator] == COUNTED[name]["by_operator_224"][theirs]


def test_the_exact_count_takes_every_head():
    """VSSD-Tiny: fvcore sees one head of the state products, 89.9M; all are 308.3M."""
    by_operator = count(entry("vssd_tiny").arch).by_operator("exact")
    assert by_operator["evnas.nc_ssd"] == pytest.approx(308.3e6, rel=1e-3)
    micro = count(entry("vssd_micro").arch).by_operator("exact")
    assert micro["evnas.nc_ssd"] == pytest.approx(144.5e6, rel=1e-3)


def test_a_small_model_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, groups=1), nn.ReLU(), nn.Flatten())
    counted = count_module(nn.Sequential(model, nn.Linear(8 * 4 * 6, 5)), (4, 6))
    convolution, linear = 8 * 3 * 9 * 24, 8 * 24 * 5
    assert counted.macs["exact"] == convolution + linear
    assert [part.macs() for part in counted.parts] == [convolution, linear, 0]
    assert counted.params == 8 * 27 + 8 + 8 * 24 * 5 + 5


class Contractions(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = x.flatten(2).transpose(1, 2)  # (1, 12, 3)
        y = torch.einsum("bld,bmd->blm", q, q)  # 12 * 12 * 3
        y = torch.bmm(y, q) + y @ q + torch.matmul(y, q)  # three of 12 * 12 * 3
        return nn.functional.scaled_dot_product_attention(y[None], q[None], q[None])


def test_contractions_count_alike_however_they_are_written():
    assert count_module(Contractions(), (3, 4)).macs["exact"] == 6 * 12 * 12 * 3


@pytest.mark.parametrize("name", ["efficientvim_m1_dist", "vssd_micro", "efficient_vmamba_tiny"])
@pytest.mark.parametrize("resolution", [224, (64, 95)])
def test_parts_add_up_to_the_whole_model(name, resolution):
    arch = entry(name).arch
    by_parts, whole = count(arch, resolution), count_module(on_meta(arch), resolution)
    assert by_parts.params == whole.params
    assert by_parts.macs == whole.macs


FAMILIES = ("efficientvim_m1", "vssd_micro", "vmamba_tiny_s1l8", "efficient_vmamba_tiny")


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(FAMILIES), st.sampled_from([32, 61]))
def test_any_mix_of_parts_counts_as_the_model_that_it_builds(source, name, resolution):
    arch = mixed(source, name)
    model = on_meta(arch)
    counted, whole = count(arch, resolution), count_module(model, resolution)
    assert counted.params == sum(p.numel() for p in model.parameters())
    assert counted.macs == whole.macs


def mixed(source: random.Random, name: str) -> ArchSpec:
    """A design with blocks, mixers, stem and downsampling of the others, small."""
    raw = entry(name).arch.to_dict()
    raw["head"]["fusion"] = source.choice(["none", "features"])
    for i, stage in enumerate(raw["stages"]):
        other = entry(source.choice(FAMILIES)).arch.to_dict()["stages"]
        stage.update(other[i % len(other)], depth=source.choice([1, 2]), dim=64)
        if stage["mixer"] and "heads" in stage["mixer"]:
            stage["mixer"]["heads"] = source.choice([1, 2, 4])
    donor = entry(source.choice(FAMILIES)).arch.to_dict()
    return ArchSpec.from_dict(raw | {k: donor[k] for k in ("stem", "downsample", "norm")})


class Unknown(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = torch.linalg.svdvals(x)
        return values


def test_an_operator_without_a_formula_is_an_error_that_names_it():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(Unknown()))
    with pytest.raises(MeasurementError, match=r"aten\._linalg_svd in 1\.0 \(Unknown\)"):
        count_module(model, 8)


def test_counting_leaves_a_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count_module(model, 8)
    assert model.training
    assert model[0].weight.device.type == "cpu"
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_part_counted_before_is_not_counted_again(monkeypatch):
    arch = entry("efficientvim_m1").arch
    count(arch)
    deeper = arch.to_dict()
    deeper["stages"][1]["depth"] = 7
    monkeypatch.setattr("evnas.measure.counting.parts.record_forward", None)
    counted = count(ArchSpec.from_dict(deeper))
    assert [part.path for part in counted.parts][:4] == [
        "stem", "stages[0].blocks[0]", "stages[0].blocks[1]", "stages[0].downsample",
    ]  # fmt: skip
    assert sum("stages[1].blocks" in part.path for part in counted.parts) == 7


def test_every_paper_has_a_convention():
    assert set(PAPER_CONVENTIONS.values()) < set(CONVENTIONS)
    assert {e.family for e in catalog().values()} == set(PAPER_CONVENTIONS.values())
    assert all(c.source for c in CONVENTIONS.values())


ATTENTION = torch.ops.aten.scaled_dot_product_attention.default
OPERATORS = [
    (torch.ops.aten.conv2d.default, [(2, 6, 9, 7), (4, 3, 3, 3), None, (2, 1), (1, 0), (1, 2), 2]),
    (torch.ops.aten.conv1d.default, [(2, 6, 9), (6, 1, 3), None, [1], [1], [1], 6]),
    (torch.ops.aten.linear.default, [(2, 5, 6), (4, 6), (4,)]),
    (torch.ops.aten.matmul.default, [(2, 1, 5, 6), (2, 3, 6, 4)]),
    (torch.ops.aten.mean.dim, [(2, 5, 6), [1, -1], True]),
    (torch.ops.aten.mean.dim, [(2, 5, 6), [2]]),
    (torch.ops.aten.softmax.int, [(2, 5, 6), -1]),
    (torch.ops.aten.add.Tensor, [(2, 5, 6), (5, 1)]),
    (torch.ops.aten.mul.Tensor, [(1, 5, 1), (2, 1, 6)]),
    (torch.ops.aten.rsub.Scalar, [(2, 5), 1]),
    (torch.ops.aten.relu_.default, [(2, 5)]),
    (torch.ops.aten.add.Tensor, [(5, 6), (2, 1, 1, 6)]),
    (torch.ops.aten.sum.dim_IntList, [(2, 5, 6), [0, -1], True]),
    (torch.ops.aten.stack.default, [[(2, 5), (2, 5), (2, 5)], -1]),
    (torch.ops.aten.cat.default, [[(2, 5, 3), (2, 1, 3)], -2]),
    (torch.ops.aten.pad.default, [(2, 5, 6), [1, 2, 0, 3]]),
    (torch.ops.aten.pad.default, [(2, 5, 6), [-1, 2], "constant", 1.0]),
    (ATTENTION, [(2, 3, 7, 4), (2, 3, 9, 4), (2, 3, 9, 5)]),
]


@pytest.mark.parametrize(("func", "raw"), OPERATORS, ids=lambda value: str(value)[:40])
def test_quick_shapes_are_torchs(func, raw):
    args = _given(raw)
    with torch.inference_mode():
        wanted = func(*args)
        quick = quick_result(func, tuple(args))
    assert quick is not None
    assert (quick.shape, quick.dtype, quick.device) == (wanted.shape, wanted.dtype, wanted.device)


def _given(raw: list[Any]) -> list[Any]:
    """Shapes as tensors, lists of shapes as lists of them."""
    return [
        [torch.empty(shape, device="meta") for shape in a] if _are_shapes(a)
        else torch.empty(a, device="meta") if _is_shape(a, i) else a
        for i, a in enumerate(raw)
    ]  # fmt: skip


def _are_shapes(value: object) -> bool:
    return isinstance(value, list) and isinstance(value[0], tuple)


@pytest.mark.parametrize(
    ("func", "raw"),
    [
        (torch.ops.aten.add.Tensor, [(5, 6), (2, 1, 5)]),
        (torch.ops.aten.stack.default, [[(2, 5), (2, 6)]]),
        (torch.ops.aten.cat.default, [[(2, 5), (3, 4)], 0]),
        (torch.ops.aten.matmul.default, [(2, 5, 6), (3, 6, 4)]),
        (torch.ops.aten.pad.default, [(2, 5), [-3, -3]]),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_in_torchs_words(func, raw):
    args = _given(raw)
    assert quick_result(func, tuple(args)) is None
    with pytest.raises(RuntimeError):
        func(*args)


def test_a_sum_of_whole_numbers_is_torchs():
    """It has another dtype than they."""
    assert quick_result(torch.ops.aten.sum.dim_IntList, (torch.ones(2, 3).int(), [0])) is None


def test_the_catalogue_is_counted_without_a_compiler():
    """Nor what works with symbolic shapes: both would cost seconds in each process."""
    program = (
        "import sys\n"
        "from evnas.arch.catalog import catalog\n"
        "from evnas.measure.counting.flops import count\n"
        "for entry in catalog().values():\n"
        "    count(entry.arch)\n"
        "print([m for m in ('torch._dynamo', 'sympy') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def _is_shape(value: object, index: int) -> bool:
    return isinstance(value, tuple) and index < 3
