"""A row's `arch`: a name of the catalogue, or an architecture spelt out."""

import pytest

from evnas.arch.catalog import entry
from evnas.errors import SpecError
from evnas.sweep.candidate import candidate_of

M1, M2 = entry("m1").arch, entry("m2").arch


def test_an_architecture_spelt_out_is_the_named_one():
    named = candidate_of("x", {"arch": "m2", "head.fusion": "none"}, M1)
    spelt = candidate_of("x", {"arch": M2.to_dict(), "head.fusion": "none"}, M1)
    assert spelt.arch == named.arch != M2 and not spelt.is_base
    assert candidate_of("x", {"arch": M1.to_dict()}, M1).is_base


def test_a_fault_inside_it_is_placed():
    raw = M2.to_dict()
    raw["stages"][1]["mixer"]["states"] = 0
    with pytest.raises(SpecError) as e:
        candidate_of("x", {"arch": raw}, M1)
    assert e.value.path == "arch.stages[1].mixer.states"


def test_what_is_neither_is_refused():
    with pytest.raises(SpecError) as e:
        candidate_of("x", {"arch": 7}, M1)
    assert e.value.path == "arch" and "text" in e.value.reason
