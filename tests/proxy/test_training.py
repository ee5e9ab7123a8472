"""Short training: it learns, it repeats to the bit, it resumes, and every ending is a result."""

import dataclasses
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

from evnas.errors import DataError
from evnas.phases.proxy import trained
from evnas.proxy.data import ImageSet
from evnas.proxy.hooks import Hooks
from evnas.proxy.seeding import derived_seed, seeded
from evnas.proxy.training import train


def outcome(result):
    """Everything of a result that must repeat: all but the times."""
    points = [dataclasses.replace(point, seconds=0.0) for point in result.curve]
    return points, result.correct_hex, result.steps, result.images, result.epochs


def fresh(make_net, seed=0):
    with seeded(seed, "init"):
        return make_net()


def test_it_learns(data, budget, make_net):
    longer = dataclasses.replace(budget, epochs=8)
    result = train(fresh(make_net), data, longer)
    assert result.status == "complete"
    assert result.top1_percent is not None and result.top1_percent >= 90
    assert result.curve[-1].loss < result.curve[0].loss


def test_a_step_in_parts_is_the_step_at_once(data, budget):
    """Where nothing looks at several images together, as batch norms do."""

    def net():
        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, 2))

    whole = train(fresh(net), data, budget)
    parts = train(fresh(net), data, dataclasses.replace(budget, parts=3))  # 3, 3 and 2 images
    assert [p.loss for p in parts.curve] == pytest.approx([p.loss for p in whole.curve], rel=1e-5)
    assert parts.details["batch_parts"] == 3 and "batch_parts" not in whole.details


class Narrow(nn.Module):
    """Memory for `most` images of a training step, and no more."""

    def __init__(self, inner: nn.Module, most: int) -> None:
        super().__init__()
        self.inner, self.most, self.tries = inner, most, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training and len(images) > self.most:
            self.tries += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        found: torch.Tensor = self.inner(images)
        return found


def test_a_batch_that_does_not_fit_goes_in_parts_where_the_sweep_says_so(
    data, budget, make_net, tmp_path
):
    plain = dataclasses.asdict(budget) | {"device": "cpu"}
    said: list[str] = []

    def run(most=2, halve=True, **more):
        net = Narrow(fresh(make_net), most)
        proxy = plain | {"halve_batch": halve}
        tell = lambda fraction, text: said.append(text)  # noqa: E731
        return net, trained(net, data, proxy, seed=0, on_progress=tell, **more)

    assert run(halve=False)[1].status == "oom"
    net, found = run()
    assert net.tries == 2 and found.status == "complete" and found.details["batch_parts"] == 4
    assert "out of memory with the batch in 2 parts" in said
    whole = dataclasses.replace(budget, parts=4)
    assert outcome(found) == outcome(train(Narrow(fresh(make_net), 2), data, whole))
    assert run(most=1)[1].status == "oom"  # a part of one image is none for a batch norm

    file = tmp_path / "rung.pt"
    assert run(checkpoint=file, until_epoch=1)[1].epochs == 1
    net, again = run(checkpoint=file)
    assert net.tries == 0 and outcome(again) == outcome(found)  # it goes on in its parts


def test_the_curve_has_its_points(data, budget, make_net):
    result = train(fresh(make_net), data, budget)
    assert [p.epoch for p in result.curve] == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert [p.images for p in result.curve] == [24, 48, 72, 96, 120, 144]
    assert [p.held_out_images for p in result.curve] == [20] * 5 + [40]
    assert result.images == budget.presentations(96) == 144
    right = int(result.correct_hex, 16).bit_count()
    assert result.values()["top1_percent"] == pytest.approx(100 * right / 40)


def test_one_seed_gives_one_curve_whatever_the_global_generator(data, budget, make_net):
    first = train(fresh(make_net), data, budget, seed=3)
    torch.manual_seed(1234)
    torch.rand(7)
    before = torch.get_rng_state()
    second = train(fresh(make_net), data, budget, seed=3)
    assert outcome(first) == outcome(second)
    assert torch.equal(before, torch.get_rng_state())
    other = train(fresh(make_net), data, budget, seed=4)
    assert outcome(other) != outcome(first)


def test_broken_off_and_resumed_is_the_unbroken_run(data, budget, make_net, tmp_path):
    whole = train(fresh(make_net), data, budget)
    path = tmp_path / "deep" / "rung.pt"
    rung = train(fresh(make_net), data, budget, until_epoch=1, checkpoint=path)
    assert (rung.status, rung.epochs) == ("complete", 1)
    # other first weights: the checkpoint's must replace them
    resumed = train(fresh(make_net, seed=9), data, budget, checkpoint=path)
    assert outcome(resumed) == outcome(whole)
    again = train(fresh(make_net, seed=9), data, budget, checkpoint=path)
    assert outcome(again) == outcome(whole)
    assert resumed.seconds > rung.seconds


def test_killed_within_an_epoch_resumes_from_its_start(data, budget, make_net, tmp_path):
    whole = train(fresh(make_net), data, budget)
    path = tmp_path / "killed.pt"

    class Killed(BaseException):
        pass

    def kill(progress):
        if progress.step >= 8:
            raise Killed

    with pytest.raises(Killed):
        train(fresh(make_net), data, budget, checkpoint=path, hooks=Hooks(on_progress=kill))
    resumed = train(fresh(make_net), data, budget, checkpoint=path)
    assert outcome(resumed) == outcome(whole)
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_of_another_training_is_refused(data, budget, make_net, tmp_path):
    path = tmp_path / "one.pt"
    train(fresh(make_net), data, budget, until_epoch=1, checkpoint=path)
    other = dataclasses.replace(budget, lr=0.5)
    with pytest.raises(DataError, match=r"budget\.lr is 0\.01 there and 0\.5 here; delete it"):
        train(fresh(make_net), data, other, checkpoint=path)
    with pytest.raises(DataError, match="seed is 0 there and 1 here"):
        train(fresh(make_net), data, budget, seed=1, checkpoint=path)
    flipped = dataclasses.replace(data, train=data.held_out)
    with pytest.raises(DataError, match="data is"):
        train(fresh(make_net), flipped, budget, checkpoint=path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(DataError, match=r"cannot be read \(UnpicklingError\); delete it"):
        train(fresh(make_net), data, budget, checkpoint=path)


class Breaks(nn.Module):
    """Behaves until its training call number `at`, then gives `value` or raises it."""

    def __init__(self, net, at, value):
        super().__init__()
        self.net, self.at, self.value, self.calls = net, at, value, 0

    def forward(self, x):
        self.calls += self.training
        if self.training and self.calls == self.at:
            if isinstance(self.value, BaseException):
                raise self.value
            return self.net(x) * self.value
        return self.net(x)


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
def test_a_loss_that_is_not_finite_ends_as_diverged(data, budget, make_net, value):
    result = train(Breaks(fresh(make_net), 6, value), data, budget)
    assert result.status == "diverged"
    assert result.steps == 6
    assert "step 6 of 18" in result.error
    assert len(result.curve) == 1
    assert "top1_percent" not in result.values()


def test_logits_that_are_not_finite_end_as_diverged(data, budget, make_net):
    class Poisoned(Breaks):
        def forward(self, x):
            return self.net(x) if self.training else self.net(x) / 0

    result = train(Poisoned(fresh(make_net), 0, 0.0), data, budget)
    assert (result.status, result.error) == ("diverged", "a logit was not finite after step 3")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate"),
    ],
    ids=["cuda", "python", "cpu"],
)
def test_out_of_memory_is_a_result(data, budget, make_net, error):
    result = train(Breaks(fresh(make_net), 2, error), data, budget)
    assert result.status == "oom"
    assert result.error


def test_our_own_bug_keeps_its_traceback(data, budget, make_net):
    with pytest.raises(RuntimeError, match="size mismatch"):
        train(Breaks(fresh(make_net), 2, RuntimeError("size mismatch")), data, budget)


def test_the_limit_ends_as_timeout_and_does_not_count_the_lane(data, budget, make_net):
    now = [0.0]

    def clock():
        now[0] += 1.0
        return now[0]

    @contextmanager
    def waiting_lock():
        now[0] += 1000.0
        yield

    limited = dataclasses.replace(budget, limit_s=2.5)
    result = train(
        fresh(make_net), data, limited, hooks=Hooks(clock=clock, device_lock=waiting_lock)
    )  # a chunk and an evaluation batch take a second each
    assert result.status == "timeout"
    assert result.seconds == 4.0  # the limit is looked at before a chunk, points are finished
    assert "limit of 2.5 s" in result.error
    assert result.values()["top1_percent"] == result.curve[-1].top1_percent


def test_should_stop_is_asked_between_steps(data, budget, make_net):
    points: list[object] = []
    hooks = Hooks(on_point=points.append, should_stop=lambda: len(points) == 2)
    result = train(fresh(make_net), data, budget, hooks=hooks)
    assert (result.status, result.steps, len(result.curve)) == ("pruned", 6, 2)


def test_progress_reaches_the_total(data, budget, make_net):
    seen: list[Any] = []
    train(fresh(make_net), data, budget, hooks=Hooks(on_progress=seen.append))
    assert [p.step for p in seen] == [3, 6, 9, 12, 15, 18]
    assert {p.total for p in seen} == {18}
    assert all(p.throughput_img_s > 0 for p in seen)


def test_no_chunk_is_longer_than_the_lane_allows(data, budget, make_net):
    entered = [0]

    @contextmanager
    def device_lock():
        entered[0] += 1
        yield

    one_point = dataclasses.replace(budget, points_per_epoch=1, epochs=1)
    train(fresh(make_net), data, one_point, hooks=Hooks(device_lock=device_lock))
    assert entered[0] == 2 + 1  # six steps in runs of four, one evaluation batch


def test_bfloat16_keeps_parameters_in_float32(data, budget, make_net):
    model = fresh(make_net)
    result = train(model, data, dataclasses.replace(budget, precision="bfloat16"))
    assert result.status == "complete"
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert outcome(result) != outcome(train(fresh(make_net), data, budget))


def test_too_few_images_for_a_batch(data, budget, make_net):
    wide = dataclasses.replace(budget, images_per_epoch=500, batch_size=100)
    with pytest.raises(DataError, match="stripes must give at least 2 batches of 100"):
        train(fresh(make_net), data, wide)


def test_derived_seeds_are_pinned():
    # a change here changes every learning curve
    assert derived_seed(0, "init") == 1519069808562059438
    assert derived_seed(0, "order", 1) != derived_seed(0, "order", 2)


def test_both_heads_of_a_distillation_model_learn(data, budget, make_net):
    class TwoHeads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.a, self.b = make_net(), nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            x = self.body(x)
            a, b = self.a(x), self.b(x)
            return (a, b) if self.training else (a + b) / 2

    model = fresh(TwoHeads)
    before = [head.weight.detach().clone() for head in (model.a, model.b)]
    assert train(model, data, budget).status == "complete"
    for head, weight in zip((model.a, model.b), before, strict=True):
        assert not torch.equal(head.weight, weight)


def test_views_differ_between_epochs_and_between_seeds(data, budget):
    one = ImageSet(images=data.train.images[:1].expand(96, -1, -1, -1), labels=data.train.labels)
    alike = dataclasses.replace(data, train=one)

    class Watches(nn.Module):
        """Learns nothing; keeps what it was shown in training."""

        def __init__(self):
            super().__init__()
            self.scale, self.seen = nn.Parameter(torch.ones(1)), []

        def forward(self, x):
            if self.training:
                self.seen.append(x.detach())
            return x.mean((2, 3))[:, :2] * self.scale

    shown = []
    for seed in (0, 1):
        model = Watches()
        train(model, alike, budget, seed=seed)
        shown += torch.cat(model.seen).split(48)
    assert len(shown) == 6
    for i, views in enumerate(shown):
        assert not any(torch.equal(views, others) for others in shown[:i])
