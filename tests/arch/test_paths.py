"""The path language: reading, assigning, comparing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evnas.arch.catalog import catalog, entry
from evnas.arch.paths import diff, edit, get
from evnas.errors import SpecError

M2 = entry("efficientvim_m2").arch


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("stages[*].dim", [128, 256, 512]),
        ("stages[1:].dim", [256, 512]),
        ("stages[-1].mixer.states", [9]),
        ("stages[0:2].mixer.kind", ["hsm_ssd", "hsm_ssd"]),
        ("head.fusion", ["hidden"]),
    ],
)
def test_get(path, values):
    assert get(M2.to_dict(), path) == values


def test_one_value_for_all_or_one_for_each():
    assert get(edit(M2, {"stages[*].depth": 4}).to_dict(), "stages[*].depth") == [4, 4, 4]
    assert get(edit(M2, {"stages[*].depth": [1, 2, 3]}).to_dict(), "stages[*].depth") == [1, 2, 3]


def test_switching_the_kind_keeps_what_both_have():
    arch = edit(M2, {"head.fusion": "none", "stages[*].mixer.kind": "nc_ssd"})
    mixer = arch.stages[0].mixer
    assert mixer is not None and mixer.model_dump() == {
        "kind": "nc_ssd",
        "states": 49,
        "heads": 1,
        "expand": 1.0,
    }


def test_a_mapping_for_the_mixer_replaces_it():
    arch = edit(M2, {"head.fusion": "none", "stages[*].mixer": {"kind": "sa", "heads": 8}})
    assert {s.mixer.kind for s in arch.stages if s.mixer} == {"sa"}


def test_changes_apply_in_order():
    changes = {"stages[*].depth": 5, "stages[0].depth": 1}
    assert [s.depth for s in edit(M2, changes).stages] == [1, 5, 5]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("stags[0].dim", 8, "did you mean 'stages'?"),
        ("stages[7].dim", 8, "stages has 3 entries, index 7 is none"),
        ("stages[x].dim", 8, "an index must be a number, a slice or *, got [x]"),
        ("stages[0].mixer.stats", 8, "did you mean 'states'?"),
        ("stages[*].dim", [8, 16], "one value for each of the 3 places, got 2"),
        ("norm.kind", 8, "there is no 'kind' at norm"),
        ("norm[0]", 8, "norm is not a list"),
        ("..", 8, "is not a path"),
    ],
)
def test_a_wrong_path_is_a_sentence(path, value, said):
    with pytest.raises(SpecError) as caught:
        edit(M2, {path: value})
    assert said in str(caught.value)


def test_diff_speaks_in_paths():
    other = edit(M2, {"stages[*].mixer.states": [49, 25, 16], "head.fusion": "none"})
    assert diff(M2, other) == [
        ("stages[2].mixer.states", 9, 16),
        ("head.fusion", "hidden", "none"),
    ]


def test_diff_gathers_what_all_stages_share():
    other = edit(M2, {"stages[*].mixer.score": "shared"})
    assert diff(M2, other) == [("stages[*].mixer.score", "per_state", "shared")]


names = st.sampled_from(sorted(catalog()))


@given(names, names)
def test_diff_is_empty_for_equals_only(a, b):
    assert (diff(catalog()[a].arch, catalog()[b].arch) == []) == (a == b)
