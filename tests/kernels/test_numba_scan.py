"""The scans compiled by numba against the reference in float64, and how they use threads."""

import math
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from torch import Tensor

from evnas import kernels
from evnas.commands.checkup import checkup
from evnas.errors import KernelUnavailable
from evnas.kernels import dispatch
from evnas.kernels.numba_scan import scan as scan_module
from evnas.kernels.numba_scan import team
from evnas.kernels.numba_scan.entries import entry_point
from evnas.kernels.numba_scan.layout import by_lanes

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="the calls of these tests are made on the GPU where one is"
)

TOLERANCE = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
SIZES = [(1, 1), (7, 7), (7, 5), (5, 16), (16, 16), (1, 13), (31, 2), (17, 33)]
SCANS = [
    ("unidi", 1),
    ("bidi", 1),
    ("cross", 1),
    ("rows", 1),
    ("cols", 1),
    ("atrous", 2),
    ("atrous", 3),
]


def assert_agrees(call, dtype=torch.float32):
    call = call.to(dtype)
    got, want = call.gradients("numba"), call.to(torch.float64).gradients("reference")
    for name, expected in want.items():
        scale = expected.abs().max().clamp(min=1.0)
        error = ((got[name].double() - expected).abs().max() / scale).item()
        assert error <= TOLERANCE[dtype], f"{name}: error {error:.2e} of {scale:.2e}"
        assert got[name].shape == expected.shape, name


WAYS = ["each state by itself", "states by lanes"]


@pytest.fixture(params=WAYS)
def either_way(request, monkeypatch):
    """Whichever is faster for so many states on such maps."""
    monkeypatch.setattr(scan_module, "by_lanes", lambda N, W: request.param == WAYS[1])


@pytest.fixture
def three_threads(monkeypatch):
    """However small the work is."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    monkeypatch.setattr(scan_module, "SMALL", 0)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("strided", [False, True], ids=["contiguous", "strided"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_it_agrees_with_the_reference(build_call, scan_case, either_way, dtype, strided):
    assert_agrees(build_call(scan_case, strided=strided), dtype)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scan", SCANS, ids=str)
def test_maps_of_any_shape(build_scan, either_way, scan, size):
    assert_agrees(build_scan(*scan, 2, 5, 2, *size))


@pytest.mark.parametrize("size", [(7, 5), (17, 33)], ids=["one chunk", "several chunks"])
@pytest.mark.parametrize("states", [15, 16, 17, 48])
@pytest.mark.parametrize("scan", SCANS, ids=str)
def test_states_that_do_or_do_not_fill_all_lanes(build_scan, scan, states, size):
    assert by_lanes(states, size[1])
    assert_agrees(build_scan(*scan, 1, 3, states, *size))


def test_few_states_on_wide_maps_go_each_by_itself(build_scan, monkeypatch):
    """As they are faster (`layout.by_lanes`)."""
    entered = []

    def watched(name):
        entered.append(name)
        return entry_point(name)

    monkeypatch.setattr(scan_module, "entry_point", watched)
    for states, width in ((1, 7), (8, 56), (3, 7), (16, 56)):
        build_scan("cross", 1, 1, 2, states, 2, width).to(torch.float32).outputs("numba")
    assert entered == ["forward", "forward", "forward", "forward_by_lanes"]


@pytest.mark.parametrize("channels", [1, 4, 7, 12])
def test_groups_of_channels_that_are_not_full(build_scan, either_way, channels):
    assert_agrees(build_scan("cross", 1, 1, channels, 1, 5, 6))


@pytest.mark.parametrize("shift", [-20.0, 0.0, 30.0, 100.0])
def test_weak_and_strong_decay(build_scan, either_way, shift):
    """Steps from vanishing to far above what a float32 exponential holds."""
    call = build_scan("cross", 1, 1, 2, 1, 16, 16)
    call.inputs["delta"] = call.inputs["delta"] + shift
    assert_agrees(call)


def test_softplus_is_accurate_for_small_results_too(either_way):
    """One step of a sequence is y = softplus(delta) where all else is 1."""
    delta = torch.linspace(-30, 200, 5001)[:, None, None]
    one = torch.ones_like(delta)
    y = kernels.selective_scan(
        one,
        delta,
        -torch.ones(1, 1),
        one[:, None],
        one[:, None],
        delta_softplus=True,
        impl="numba",
    )
    want = torch.nn.functional.softplus(delta.double())
    assert ((y.double() - want) / want).abs().max().item() < 2e-6  # as the path in plain torch


def test_decays_are_accurate_over_the_range_of_a_float(either_way):
    """The second step of a sequence with no input of its own is y = exp(-dt)."""
    dt = torch.linspace(0, 86, 3001)
    delta = torch.stack([torch.ones_like(dt), dt], 1)[:, None]
    B = torch.tensor([1.0, 0.0]).expand(len(dt), 1, 1, 2)
    y = kernels.selective_scan(
        torch.ones_like(delta), delta, -torch.ones(1, 1), B, torch.ones_like(B), impl="numba"
    )
    want = torch.exp(-dt.double())
    assert ((y[:, 0, 1].double() - want) / want).abs().max().item() < 8e-6  # 86 roundings of dt


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_stays_so(build_scan, either_way, value):
    call = build_scan("unidi", 1, 1, 2, 1, 4, 4).to(torch.float32)
    call.inputs["u"][0, 1, 2, 1] = value
    y = call.outputs("numba")[0]
    assert y[0, 0].isfinite().all() and y[0, 1, :2].isfinite().all()
    assert not y[0, 1, 2:].flatten()[1:].isfinite().any()


@pytest.mark.parametrize("images", [1, 2, 3, 5])
@pytest.mark.parametrize("openmp", [True, False], ids=["OpenMP", "threads"])
def test_threads_change_rounding_at_most(
    build_scan, either_way, three_threads, monkeypatch, images, openmp
):
    if not openmp:
        monkeypatch.setattr(team, "_openmp", lambda: None)
    call = build_scan("cross", 1, images, 14, 2, 5, 6)
    used, run = [], team.run

    def watched(entry, words, workers):
        used.append(workers)
        run(entry, words, workers)

    monkeypatch.setattr(team, "run", watched)
    assert_agrees(call)
    assert used == [3, 3]


def test_no_more_threads_than_torch_may_use(build_scan, three_threads, monkeypatch):
    seen, run = [], team.run

    def watched(entry, words, workers):
        seen.append(workers)
        run(entry, words, workers)

    monkeypatch.setattr(team, "run", watched)
    call = build_scan("cross", 1, 1, 14, 2, 5, 6).to(torch.float32)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        call.outputs("numba")
    assert seen == [1, 2]


def test_it_runs_on_several_python_threads_at_once(build_scan, three_threads):
    call = build_scan("cross", 1, 2, 14, 2, 16, 16).to(torch.float32)
    want = call.outputs("cpu")[0]
    found: list[Tensor] = []
    threads = [
        threading.Thread(target=lambda: found.extend(call.outputs("numba")[0] for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    for y in found:
        torch.testing.assert_close(y, want, rtol=1e-5, atol=1e-5)


def test_torch_has_an_openmp_pool_here():
    """Else threads of our own would share cores with torch's; true of its wheels on Linux."""
    if not sys.platform.startswith("linux"):
        pytest.skip("says something about Linux only")
    assert team._openmp() is not None


def test_auto_takes_it_where_it_can_run(build_scan, monkeypatch):
    cpu = torch.device("cpu")
    for op in ("selective_scan", "ss2d_scan"):
        assert dispatch.implementation_in_use(op, cpu) == "numba"
        assert dispatch.implementation_in_use(op, cpu, torch.float64) == "cpu"
    monkeypatch.setattr(dispatch, "installed", lambda package: package != "numba")
    assert dispatch.implementation_in_use("ss2d_scan", cpu) == "cpu"
    call = build_scan("cross", 1, 1, 2, 1, 3, 3).to(torch.float32)
    assert call.outputs("auto")[0].isfinite().all()
    with pytest.raises(KernelUnavailable, match="numba is not installed"):
        call.outputs("numba")


def test_doctor_says_what_is_lost_without_it(monkeypatch):
    lost = "scans on the CPU run in plain torch"
    assert not any(lost in line for line in checkup()["advice"])
    monkeypatch.setattr(dispatch, "installed", lambda package: package != "numba")
    assert any(lost in line and "pip install numba" in line for line in checkup()["advice"])


def test_one_input_in_float64_asks_for_states_in_float64(build_scan):
    call = build_scan("cross", 1, 1, 2, 1, 3, 3).to(torch.float32)
    call.inputs["A"] = call.inputs["A"].double()
    assert call.outputs("auto")[0].dtype == torch.float64
    with pytest.raises(KernelUnavailable, match="float64"):
        call.outputs("numba")


def test_the_user_s_default_dtype_and_device_do_not_reach_it(build_scan):
    """What it makes for itself is handed over by address: it must be float32, in memory."""
    call = build_scan("cross", 1, 2, 5, 2, 5, 6).to(torch.float32)
    want = call.gradients("numba")
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            y = call.outputs("numba")[0]
    finally:
        torch.set_default_dtype(torch.float32)
    assert y.dtype == torch.float32 and y.device.type == "cpu"
    torch.testing.assert_close(y, want["output 0"])


@pytest.mark.parametrize("name", ["delta", "A", "D"])
def test_an_input_on_another_device_is_refused(build_scan, name):
    call = build_scan("cross", 1, 1, 2, 1, 3, 3).to(torch.float32)
    call.inputs[name] = call.inputs[name].to("meta")
    with pytest.raises(ValueError, match="must be on the CPU"):
        maps: Any = (*call.inputs.values(), (0, 1, 2, 3))
        scan_module.scan_forward(scan_module.Maps(*maps))


def test_machine_code_of_another_version_is_refused(build_scan, monkeypatch):
    monkeypatch.setattr(scan_module, "version", lambda: 7)
    with pytest.raises(RuntimeError, match="another version"):
        build_scan("cross", 1, 1, 2, 1, 3, 3).to(torch.float32).outputs("numba")


def test_it_compiles_where_no_cache_can_be_written(tmp_path, monkeypatch):
    """A read-only installation and home, as in a container."""
    program = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "from evnas.kernels.numba_scan.entries import entry_point\n"
        "assert entry_point('forward') != 0\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=240)
