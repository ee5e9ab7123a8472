"""The list of printed architectures agrees with the papers' tables and the shipped sweeps."""

from pathlib import Path

from evnas.papers.published import published_row
from evnas.predict.printed import by_digest, printed_architectures
from evnas.predict.published_signals import published_signals
from evnas.sweep.sweep import load_sweep

SWEEPS = Path(__file__).parents[2] / "sweeps"
NOT_TRAINED_AT_IT = {"B", "E", "9", "1"}
"""Tables whose rows are fine-tuned or tested at another resolution, but for VSSD's Table 1."""


def test_every_figure_stands_in_its_row():
    for printed in printed_architectures():
        row = published_row(printed.paper, printed.table, printed.row)
        assert row.number("top1") == printed.top1_percent, printed.name
        assert row.resolution == printed.resolution or printed.name == "efficientvim_m4"


def test_each_architecture_stands_there_once():
    assert len(by_digest()) == len(printed_architectures()) == 73
    assert sum(not p.candidate.timm for p in printed_architectures()) == 54


def test_every_row_of_our_sweeps_with_a_printed_top1_is_in_it():
    missing = []
    for file in sorted(SWEEPS.glob("*.yaml")):
        sweep = load_sweep(file)
        published = sweep.spec.published
        if published is None or published.table in NOT_TRAINED_AT_IT:
            continue
        for candidate in sweep.candidates:
            row = published_row(published.paper, published.table, candidate.published)
            own = candidate.arch is not None and not candidate.arch.head.distillation
            if own and row.number("top1") and candidate.digest not in by_digest():
                missing.append(f"{file.stem} {candidate.label}")
    # one architecture, initialised otherwise
    assert missing == ["vmamba_table_11 rand", "vmamba_table_11 zero"]


def test_every_one_has_its_shipped_signals():
    measured = {row.printed.candidate.digest for row in published_signals()}
    assert measured == set(by_digest())
