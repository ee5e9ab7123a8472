"""The printed rows, and what it means to print the same."""

import pytest

from evnas.arch.catalog import catalog
from evnas.errors import SpecError
from evnas.papers.published import (
    prints_as,
    published_row,
    published_rows,
    published_table,
    published_top1,
)


def test_all_rows_are_there():
    assert len([r for r in published_rows() if r.table != "E"]) == 226
    assert len(published_table("EfficientViM", "E")) == 7
    assert list(published_table("EfficientViM", "C")) == list("ABCDEFGHIJL")


def test_numbers_and_gaps():
    row = published_row("EfficientViM", "C", "L")
    assert row.number("throughput_img_s") == 17432.0
    assert row.printed["top1"] == "NaN"
    assert row.number("top1") is None
    assert row.number("memory_mb") is None


@pytest.mark.parametrize("name", catalog())
def test_every_catalogue_entry_cites_a_row(name):
    published = catalog()[name].published
    assert published is not None
    assert published_row(*published).resolution == catalog()[name].resolution


@pytest.mark.parametrize(
    ("value", "printed", "same"),
    [
        (13.903842, "13.9", True),
        (13.95, "13.9", False),
        (33.717136, "33", False),
        (0.355126, "0.355", True),
        (13.003046, "13.0", True),
        (24.366486, "24", True),
    ],
)
def test_prints_as(value, printed, same):
    assert prints_as(value, printed) is same


def test_unknown_table_and_row_are_sentences():
    with pytest.raises(SpecError, match="tables of VSSD are"):
        published_table("VSSD", "9")
    with pytest.raises(SpecError, match="did you mean 'EfficientViM'"):
        published_table("EfficientVim", "C")
    with pytest.raises(SpecError, match="has no row 'K'"):
        published_row("EfficientViM", "C", "K")


@pytest.mark.parametrize(
    ("name", "top1"),
    [
        ("efficientvim_m2", 75.4),
        ("vmamba_tiny_s1l8", 82.6),
        ("vanilla_vmamba_tiny", 82.2),
        ("vssd_tiny", 83.6),
        ("vssd_tiny_appendix", 83.8),  # the appendix's Table 2; the released Tiny's is not its
        ("vssd_small_appendix", 84.6),
        ("vssd_base_appendix", 85.4),
    ],
)
def test_top1_of_the_catalogue(name, top1):
    known = catalog()[name]
    assert published_top1(known.published_top1 or known.published) == top1


def test_every_model_of_the_catalogue_has_a_printed_top1():
    found = {e.name: published_top1(e.published_top1 or e.published) for e in catalog().values()}
    assert [name for name, top1 in found.items() if top1 is None] == []
