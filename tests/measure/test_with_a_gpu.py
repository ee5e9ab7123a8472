"""What only a GPU can show of measuring."""

import pytest
import torch

from evnas.measure.anatomy.counters import anatomy
from evnas.measure.stopwatch import stopwatch_for
from evnas.measure.target import Target
from evnas.measure.timing.breakdown import breakdown
from evnas.measure.timing.memory import peak_mib
from evnas.measure.timing.noise_monitor import noise_monitor_for
from evnas.measure.timing.profiling import kernels_of, profiled, raw_events
from evnas.measure.timing.speed import measure_speed, prepare

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


def product():
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.float16)
    return lambda: a @ a


def test_twice_the_calls_take_about_twice_the_time():
    call, watch = product(), stopwatch_for("cuda:0")
    watch.time(call, 20)
    once, twice = (min(watch.time(call, n) for _ in range(5)) for n in (20, 40))
    assert 1.5 < twice / once < 2.5


def test_this_process_alone_is_no_disturbance():
    watch = noise_monitor_for("cuda:0")
    before = watch.read()
    product()()
    torch.cuda.synchronize()
    assert "foreign" not in watch.spoiled(before, watch.read())


def test_each_kernel_is_counted_once_and_to_an_operator():
    call = product()
    call()
    found = kernels_of(raw_events(profiled(call, cuda=True, memory=False)))
    assert [k.operator for k in found] == ["aten::mm"]


def test_a_small_model_is_measured_whole():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    target = Target(device="cuda:0", resolution=64, batch_size=4)
    subject = prepare(model, target)
    speed = measure_speed(subject)
    assert speed.measurements["latency_ms"].median > 0
    split = breakdown(subject.call, subject.model, "cuda:0")
    assert sum(split.operators_fraction.values()) == pytest.approx(1)
    assert split.operators_fraction["convolution"] > 0
    assert peak_mib(subject.call, subject.model, subject.images) > 0


def test_a_forward_is_taken_apart():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3), torch.nn.ReLU()).cuda().eval()
    target = Target(device="cuda:0", precision="float16")
    found = anatomy(model, torch.randn(16, 3, 224, 224, device="cuda"), target)
    assert sum(part.ms for part in found.parts) == pytest.approx(found.latency_ms)
    times = {part.kind: part.ms for part in found.parts}
    assert times["projection"] > 0 and times["elementwise"] > 0
