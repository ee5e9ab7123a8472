"""The shipped predictor: what it says of the known, of the strange, and of what it cannot know."""

import pytest
import torch
from torch import nn

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.errors import MeasurementError
from evnas.phases.base import Workshop
from evnas.phases.predict import PREDICT, PREDICTED, PredictTask
from evnas.phases.work import Work
from evnas.predict.predictor import SIGNALS, Predictor, figures_of
from evnas.predict.published_signals import published_signals
from evnas.predict.validation import of_others
from evnas.proxy.scores.scored import scored
from evnas.stats.rank_correlation import kendall


@pytest.fixture(scope="module")
def predictor():
    return Predictor.shipped()


@pytest.fixture(scope="module")
def workshop(predictor):
    made = Workshop()
    made.kept("predictor", "", lambda: predictor)
    return made


def predicted(arch, workshop, **task):
    plain = arch if isinstance(arch, dict) else arch.to_dict()
    digest = f"timm:{arch['timm']}" if isinstance(arch, dict) else arch.digest
    work = Work(
        label="x", digest=digest, arch=plain, phase="predict", task=PredictTask(seeds=1, **task)
    )
    return PREDICT.evaluate(work, workshop, lambda *_: None)


def row(name):
    return next(r for r in published_signals() if r.printed.name == name)


def changed(name, **fields):
    return ArchSpec.from_dict(entry(name).arch.to_dict() | fields)


def test_known_architectures_come_out_near_print(predictor):
    for name in ("efficientvim_m1", "vssd_small", "vmamba_tiny_s1l8", "efficient_vmamba_base"):
        known = row(name)
        found = predictor.predict(known.inputs, recipe=known.printed.recipe)
        assert found.mid == pytest.approx(known.printed.top1_percent, abs=0.7)
        assert found.low <= known.printed.top1_percent <= found.high
        assert found.outside == ""


def test_without_a_recipe_it_knows_less(predictor):
    inputs = row("efficientvim_m1").inputs
    known, unknown = (predictor.predict(inputs, recipe=r) for r in ("EfficientViM", ""))
    assert unknown.high - unknown.low > known.high - known.low


def test_without_its_own_paper_table_c_is_ordered_better_than_by_flops():
    four = [r for r in published_signals() if not r.printed.candidate.timm]
    own = [r for r in four if r.printed.recipe == "EfficientViM"]
    of_table = [
        r
        for r in own
        if r.printed.table == "C" or r.printed.name in ("efficientvim_m2", "efficientvim_m3")
    ]
    assert len(of_table) == 10
    found = of_others(of_table, [r for r in four if r not in own])
    truth = [r.printed.top1_percent for r in of_table]
    flops = kendall([r.inputs["macs_exact"] for r in of_table], truth)
    ours = kendall(found.mids, truth)
    assert flops is not None and ours is not None
    assert found.coverage >= 0.8
    assert ours.tau >= 0.65 > flops.tau


def test_a_peer_and_strange_nets_are_answered_or_refused_in_words(workshop):
    peer = predicted({"timm": "resnet18"}, workshop)
    one_block = predicted(
        changed(
            "efficientvim_m1",
            stages=[entry("efficientvim_m1").arch.to_dict()["stages"][0] | {"depth": 1}],
        ),
        workshop,
    )
    stages = entry("efficientvim_m1").arch.to_dict()["stages"]
    deep = predicted(
        changed("efficientvim_m1", stages=[s | {"depth": 14} for s in stages]), workshop
    )
    for found in (peer, one_block, deep):
        assert 40 < found.values[PREDICTED] < 90
    for found in (one_block, deep):
        assert "outside what is known" in found.rest["details"]["outside"]
    usual = predicted(entry("efficientvim_m1").arch, workshop)
    assert usual.rest["details"]["outside"] == ""

    def width(found):
        return found.values["predicted_top1_high_percent"] - found.values[PREDICTED]

    assert width(one_block) > width(usual)
    assert width(deep) > width(usual)


def draws_as_when_measured() -> bool:
    """Whether torch fills truncated normal weights as that of the shipped signals does: from a
    normal distribution, again where a value lies outside. torch 2.11 inverts the distribution, so
    that a seed gives other weights."""
    drawn, normal = torch.empty(64), torch.empty(64)
    nn.init.trunc_normal_(drawn, generator=torch.Generator().manual_seed(0))
    normal.normal_(generator=torch.Generator().manual_seed(0))
    inside = normal.abs() <= 2
    return torch.equal(drawn[inside], normal[inside])


@pytest.mark.parametrize("name", ["efficientvim_m1", "vssd_micro", "PVTv2-B0"])
def test_shipped_signals_are_measured_again(name):
    """To 0.2 %, which is rounding on other processors; to 5 % where torch draws other weights of
    the same seed: the three shipped seeds are up to 2.7 % from the first."""
    from evnas.measure.models import model_for
    from evnas.phases.count import counts_of
    from evnas.proxy.seeding import seeded
    from evnas.proxy.signal_images import SIDE, signal_images

    known = row(name)
    arch = known.printed.candidate.to_dict()
    counts = counts_of(arch, known.printed.resolution)
    assert counts.params == known.inputs["params"]
    assert counts.macs["exact"] == known.inputs["macs_exact"]
    with seeded(0, "init"):
        model = model_for(arch, resolution=SIDE)
    found = scored((*SIGNALS, "snip"), model, *signal_images(), seed=0)
    by_trunc_normal = name == "vssd_micro"
    rel = 0.05 if by_trunc_normal and not draws_as_when_measured() else 2e-3
    for signal, value in found.values.items():
        assert value == pytest.approx(known.by_seed[0][signal], rel=rel), signal


def test_inputs_must_be_there():
    inputs = dict(row("efficientvim_m1").inputs)
    del inputs["reach"]
    with pytest.raises(MeasurementError, match="needs reach"):
        figures_of(inputs)
    with pytest.raises(MeasurementError, match="ten printed"):
        Predictor(published_signals()[:5])


def test_a_held_out_paper_is_not_known():
    held_out = Predictor.shipped(held_out=("EfficientViM",))
    assert "EfficientViM" not in held_out.recipes
    # VSSD-T with HSM-SSD is printed by EfficientViM and trained as VSSD: out too
    assert held_out.recipes.count("VSSD") == 4
