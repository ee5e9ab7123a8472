"""Results against the axes of a space, and effects of axes moved alone, in a browser."""

import random
import statistics
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from reader_of_pages import serious

from evnas.arch.spec import ArchSpec
from evnas.record import Measurement, Record
from evnas.search.strategies.around import one_at_a_time
from evnas.space.space import Point, SearchSpace
from evnas.store import Store
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import Sweep, sweep_of

TARGET = "cpu-torch-224-b16-float32"
CHOICE = "stages[0].mixer"
SWEEP = {
    "base": "efficientvim_m1",
    "space": {
        "axes": {
            "stages[*].depth": {"each": [1, 2, 3]},
            CHOICE: {"choice": {"hsm_ssd": {"states": [9, 25]}, "sa": {"heads": [2, 4]}}},
            "head.fusion": ["features", "none"],
        }
    },
    "objectives": {"throughput_ratio": "max", "top1_percent": "max"},
    "budget": {"trials": 40},
    "proxy": {},
    "targets": [{"device": "cpu"}],
}


def searched(name: str, strategy: Any) -> tuple[Sweep, SearchSpace]:
    sweep = sweep_of({**SWEEP, "name": name, "strategy": strategy})
    assert isinstance(sweep.spec, SearchSpec)
    return sweep, SearchSpace.from_spec(sweep.spec.space, sweep.base)


def trial(label: str, arch: ArchSpec, origin: str, top1: list[float]) -> Iterator[Record]:
    about: dict[str, Any] = {"label": label, "digest": arch.digest, "arch": arch.to_dict()}
    about |= {"origin": origin, "status": "complete"}
    ratio = 2 - 0.1 * sum(stage.depth for stage in arch.stages)
    taken = {"throughput_img_s": 100 * ratio, "throughput_ratio": ratio}
    rounds = {k: Measurement(k, tuple(v * s for s in (0.99, 1.0, 1.01))) for k, v in taken.items()}
    yield Record(**about, phase="count", values={"params": 1e6})
    yield Record(**about, phase="speed", target=TARGET, measurements=rounds)
    for seed, value in enumerate(top1):
        values = {"top1_percent": value, "held_out_images": 2000.0}
        yield Record(**about, phase="proxy", seed=seed, budget=100.0, values=values)


@pytest.fixture(scope="module")
def points() -> list[tuple[Point, ArchSpec]]:
    """Forty distinct points of the space."""
    _, space = searched("searched", "random")
    rng = random.Random(0)
    found: dict[str, tuple[Point, ArchSpec]] = {}
    while len(found) < 40:
        point, arch = space.sample(rng)
        found[arch.digest] = point, arch
    return list(found.values())


def test_what_an_architecture_holds_is_the_point_that_means_it(
    points: list[tuple[Point, ArchSpec]],
) -> None:
    _, space = searched("searched", "random")
    assert [space.values_in(arch.to_dict()) for _, arch in points] == [p for p, _ in points]


def top1_of(arch: ArchSpec) -> float:
    return 60.0 + arch.stages[0].depth + 0.01 * arch.stages[1].depth


@pytest.fixture(scope="module")
def opened(
    tmp_path_factory: pytest.TempPathFactory,
    points: list[tuple[Point, ArchSpec]],
    serve: Any,
    chromium: Browser,
    watch: Any,
) -> Iterator[Page]:
    """A page over a random search and a walk around a base."""
    folder = tmp_path_factory.mktemp("axes")
    sweep, _ = searched("searched", "random")
    spec = sweep.spec.to_dict()
    with Store.create(folder / "searched" / "study.db", sweep=spec, environment={}) as store:
        for i, (_, arch) in enumerate(points):
            for record in trial(str(i), arch, "random", [top1_of(arch)]):
                store.append(record)
    around, space = searched("around", {"kind": "one_at_a_time", "replicates": 2})
    spec = around.spec.to_dict()
    with Store.create(folder / "around" / "study.db", sweep=spec, environment={}) as store:
        _, base = points[0]
        for i, (origin, arch) in enumerate(one_at_a_time(space, base)):
            for record in trial(str(i), arch, origin, [60.0 + i, 61.0 + 2 * i]):
                store.append(record)
    server, pages = serve(folder), watch(chromium)
    page = pages.open(f"{server.url}/#study=searched&view=axes&of=top1_percent")
    expect(page.locator("#figure-axes-parallel .main-svg").first).to_be_visible()
    yield page
    pages.close()
    pages.check()
    server.stop()


def chart(page: Page, figure: str, head: str) -> dict[str, Any]:
    """The traces of one small chart by name, found by its heading."""
    found: dict[str, Any] = page.evaluate(
        """([id, head]) => { const plot = document.querySelector(`#figure-${id} .plot`);
            const at = plot.layout.annotations.findIndex((a) => a.text === head);
            const axis = at ? `x${at + 1}` : 'x';
            const mine = plot.data.filter((t) => (t.xaxis || 'x') === axis);
            const told = ({ name, x, y, text }) => [name, { x, y, text }];
            return Object.fromEntries(mine.map(told)); }""",
        [figure, head],
    )
    return found


def test_each_axis_has_a_slice_with_the_median_at_each_value(
    opened: Page, points: list[tuple[Point, ArchSpec]]
) -> None:
    for head in ("stages[0].depth", "stages[1].depth", "head.fusion", CHOICE):
        values = sorted({p[head] for p, _ in points}, key=str)
        want = [statistics.median(top1_of(a) for p, a in points if p[head] == v) for v in values]
        found = chart(opened, "slices-0", head)["median and middle half"]
        order = opened.evaluate("(x) => x", found["x"])
        assert order == list(range(len(values)))
        assert found["y"] == pytest.approx(want, abs=1e-4), head


def test_axes_of_a_branch_stand_under_their_choice_and_hold_its_trials_alone(
    opened: Page, points: list[tuple[Point, ArchSpec]]
) -> None:
    expect(opened.locator("#figure-slices-1 figcaption")).to_contain_text(f"Where {CHOICE} has")
    for branch, knob in (("hsm_ssd", "states"), ("sa", "heads")):
        drawn = chart(opened, "slices-1", f"{branch}.{knob}")
        said = {*drawn["trials"]["text"], *drawn["front"]["text"]}
        assert said == {f"Trial {i}" for i, (p, _) in enumerate(points) if p[CHOICE] == branch}


def test_two_axes_at_once_count_the_trials_that_have_both(
    opened: Page, points: list[tuple[Point, ArchSpec]]
) -> None:
    opened.select_option("#a1", "stages[0].depth")
    opened.select_option("#a2", f"{CHOICE}:sa.heads")
    opened.wait_for_function(
        """() => document.querySelector('#figure-contour .plot')?.layout?.yaxis.title.text
            .endsWith('sa.heads')"""
    )
    (cells,) = opened.evaluate("document.querySelector('#figure-contour .plot').data")
    assert sum(int(n or 0) for line in cells["text"] for n in line) == sum(
        p[CHOICE] == "sa" for p, _ in points
    )
    for line in cells["z"]:
        assert [v for v in line if v is not None] == sorted(v for v in line if v is not None)


def test_lines_over_axes_say_where_an_axis_is_not_there(opened: Page) -> None:
    words = opened.evaluate(
        """document.querySelector('#figure-axes-parallel .plot')
            .layout.annotations.map((a) => a.text)"""
    )
    assert words.count("not there") == 2  # states and heads: each is in one branch alone


def test_effects_of_axes_moved_alone_are_paired_by_seed(opened: Page) -> None:
    opened.evaluate("location.hash = '#study=around&view=effects'")
    expect(opened.locator("#figure-effects-1 .main-svg").first).to_be_visible()
    trace = opened.evaluate(
        """() => { const [{ x, text, error_x }] =
                document.querySelector('#figure-effects-1 .plot').data;
            return { x: x.toReversed(), text: text.toReversed(), half: error_x.array.at(-1) }; }"""
    )
    assert all(" = " in text for text in trace["text"])
    assert trace["x"] == pytest.approx([1.5 * i for i in range(1, len(trace["x"]) + 1)])
    assert trace["half"] == pytest.approx(12.706 * 0.5, rel=1e-3)  # of differences 1 and 2


@pytest.mark.parametrize(
    ("view", "width", "scheme"), [("axes", 390, "dark"), ("effects", 1280, "light")]
)
def test_axe_finds_nothing_serious_in_them(
    opened: Page, axe: str, view: str, width: int, scheme: Any
) -> None:
    opened.emulate_media(color_scheme=scheme)
    opened.set_viewport_size({"width": width, "height": 900})
    opened.evaluate("(view) => { location.hash = `#study=around&view=${view}`; }", view)
    figure = {"axes": "axes-parallel", "effects": "effects-1"}[view]
    expect(opened.locator(f"#figure-{figure} .main-svg").first).to_be_visible()
    opened.wait_for_function(f"() => document.documentElement.scrollWidth <= {width}")
    assert serious(opened, axe) == []
