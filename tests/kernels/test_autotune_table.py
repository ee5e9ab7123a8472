"""Measured choices: what a file of them says, that `auto` follows it, and that it is reported."""

import json

import pytest
import torch

from evnas import kernels
from evnas.kernels import dispatch
from evnas.kernels.autotune_table import CHOICES_FILE, CallShape, device_name, read_table
from evnas.measure.target import Target
from evnas.measure.timing.implementations import implementations

CPU = torch.device("cpu")
BOTH = "forward+backward"


def row(fastest, elements=64, **changes):
    whole = {
        "operator": "channel_layer_norm",
        "device": device_name(CPU),
        "dtype": "float32",
        "pass": "forward",
        "elements": elements,
        "states": 1,
        "fastest": fastest,
    }
    return whole | changes


@pytest.fixture
def choose(tmp_path, monkeypatch):
    """Makes rows the choices in force."""

    def write(*rows):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(rows))
        monkeypatch.setattr(dispatch, "CHOICES_FILE", path)
        return read_table(path)

    return write


def ran(x, impl="auto"):
    """What one LayerNorm of `x` ran, as autograd saw it."""
    with dispatch.noted() as questions:
        y = kernels.channel_layer_norm(x, impl=impl)
    (question,) = questions
    whole = type(y.grad_fn).__name__ == "evnas_channel_layer_normBackward"
    return question.answer(x.device), whole


def test_a_shape_takes_the_choice_of_the_nearest_one(choose):
    choices = choose(
        row("reference", 64),
        row("cpu", 1024),
        row("reference", 1024, states=64),
        row("cpu", 64, dtype="float16"),
        row("cpu", 64, device="sm_90"),
    )

    def fastest(elements, states, dtype=torch.float32, training=False):
        work = CallShape(elements, states, training)
        return choices.fastest("channel_layer_norm", device_name(CPU), dtype, work)

    assert [fastest(n, 1) for n in (1, 64, 200, 300, 1e6)] == ["reference"] * 3 + ["cpu"] * 2
    assert [fastest(1024, n) for n in (1, 7, 9, 64)] == ["cpu", "cpu", "reference", "reference"]
    assert fastest(64, 1, torch.float16) == "cpu"
    assert fastest(64, 1, torch.bfloat16) is None
    assert fastest(64, 1, training=True) is None
    assert (
        choices.fastest("nc_ssd", device_name(CPU), torch.float32, CallShape(64, 1, False)) is None
    )


def test_auto_runs_the_reference_where_it_was_faster(choose):
    small, large = torch.ones(1, 4, 16), torch.ones(1, 4, 4096)
    leaf = {n: t.clone().requires_grad_() for n, t in (("small", small), ("large", large))}
    choose(row("reference"), row("cpu", 16384), row("reference", 16384, **{"pass": BOTH}))
    assert ran(small)[0] == "reference"
    assert ran(large)[0] == "cpu"
    assert ran(leaf["large"]) == ran(leaf["small"]) == ("reference", False)
    with torch.no_grad():
        assert ran(leaf["large"])[0] == "cpu"
    assert ran(leaf["large"], impl="cpu") == ("cpu", True)
    choose()
    assert ran(leaf["large"]) == ("cpu", True)


def test_the_reference_stands_in_neither_under_autocast_nor_in_a_graph(choose):
    choose(row("reference"), row("reference", **{"pass": BOTH}))
    x = torch.randn(1, 4, 16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert ran(x) == ("cpu", True)

    class Norm(torch.nn.Module):
        def forward(self, x):
            return kernels.channel_layer_norm(x)

    program = torch.export.export(Norm(), (x,))
    assert "evnas.channel_layer_norm.default" in str(program.graph)


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_compiled_operator_is_whole_at_any_size(choose, dynamic):
    choose(row("reference"), row("reference", **{"pass": BOTH}))
    torch.use_deterministic_algorithms(False)
    compiled = torch.compile(
        kernels.channel_layer_norm, fullgraph=True, backend="aot_eager", dynamic=dynamic
    )
    for side in (16, 24):
        x = torch.randn(2, 4, side, requires_grad=True)
        assert torch.allclose(compiled(x), kernels.channel_layer_norm(x, impl="cpu"), atol=1e-6)


class Model(torch.nn.Module):
    def __init__(self, impl="auto"):
        super().__init__()
        self.impl = impl

    def forward(self, x):
        return kernels.channel_layer_norm(x, impl=self.impl)


def test_records_name_what_was_chosen_for_the_calls_that_were_timed(choose):
    choose(row("reference", 48), row("cpu", 768), row("cpu", 48, **{"pass": BOTH}))
    images = torch.ones(16, 3, 4, 4)

    def named(count, **target):
        on = Target(device="cpu", resolution=4, batch_size=count, **target)
        return implementations(Model(), images[:count], on)["channel_layer_norm"]

    assert implementations(Model(), images[:1]) == {"channel_layer_norm": "reference"}
    assert (named(1), named(16)) == ("reference", "cpu")
    assert named(1, mode="training") == "cpu"
    assert named(1, runtime="compile") == "cpu"
    assert named(1, precision="bfloat16") == "cpu"
    assert implementations(Model("reference"), images)["channel_layer_norm"] == "reference"


def test_all_that_may_run_on_a_device_are_distinguished(choose):
    choose(row("reference"), row("cpu", 1024), row("reference", operator="nc_ssd"))
    assert dispatch.implementations_by_shape("channel_layer_norm", "cpu") == "cpu+reference"
    assert dispatch.implementations_by_shape("hsm_ssd", "cpu") == "cpu"


def test_shipped_choices_can_be_read():
    for (op, *_), rows in read_table(CHOICES_FILE).rows.items():
        assert op in dispatch.OPERATORS
        assert {fastest for *_, fastest in rows} <= set(dispatch.implementations(op))
