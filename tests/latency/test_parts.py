"""The parts of an architecture are what its model runs, each with the shape of its input."""

from typing import Any

import pytest
import torch

from evnas.arch.catalog import catalog
from evnas.latency.measuring import TargetMeasurer
from evnas.latency.parts import MapOnly, input_of, part_of_dict, parts_of
from evnas.measure.target import Target


@pytest.mark.parametrize(
    "name", ["efficientvim_m1", "vssd_micro", "efficient_vmamba_tiny", "vmamba_tiny_s1l8"]
)
def test_each_part_takes_what_the_one_before_it_gives(name: str) -> None:
    arch = catalog()[name].arch
    parts = parts_of(arch, 96)
    kinds = [part.kind for part in parts]
    assert kinds[0] == "stem" and kinds.count("downsample") == len(arch.stages) - 1
    blocks = {part: n for part, n in parts.items() if part.kind == "block"}
    assert list(blocks.values()) == [stage.depth for stage in arch.stages]
    with torch.device("meta"):
        shape = torch.Size((2, 3, 96, 96))
        for part in parts:
            assert shape[1:] == part.shape
            shape = MapOnly(part.module().eval())(torch.empty(shape)).shape
    assert input_of(next(iter(parts)), 2).shape == (2, 3, 96, 96)


def test_a_part_comes_back_from_plain_data() -> None:
    for part in parts_of(catalog()["efficient_vmamba_tiny"].arch, 224):
        assert part_of_dict(part.to_dict()) == part


def test_what_does_not_matter_to_a_part_is_no_other_part() -> None:
    arch = catalog()["efficientvim_m1"].arch
    raw = arch.to_dict()
    raw["stages"][1]["depth"] += 1
    raw["head"]["fusion"] = "none"
    deeper = parts_of(type(arch).from_dict(raw), 224)
    known = parts_of(arch, 224)
    assert deeper.keys() == known.keys()
    assert deeper != known
    assert parts_of(arch, 256).keys() != known.keys()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_deployed_part_is_timed_in_the_targets_precision(precision: Any) -> None:
    target = Target(
        device="cpu", runtime="torch", form="deployed", precision=precision, batch_size=1
    )
    part = next(p for p in parts_of(catalog()["efficientvim_m1"].arch, 32) if p.kind == "block")
    ready = TargetMeasurer(target)._ready_part(part)
    wanted = getattr(torch, precision)
    assert ready.images.dtype is wanted
    assert {p.dtype for p in ready.model.parameters() if p.ndim > 1} == {wanted}
    assert ready.call() is not None
