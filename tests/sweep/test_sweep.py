"""Sweep files: every shipped one is valid, and every mistake has its sentence."""

import math
from pathlib import Path

import pytest
import yaml

from evnas.arch.catalog import entry
from evnas.errors import SpecError
from evnas.sweep.search_spec import SEARCH_KEYS, SearchSpec
from evnas.sweep.spec import AblationSpec
from evnas.sweep.sweep import differences, load_sweep, sweep_of

SWEEPS = Path(__file__).parents[2] / "sweeps"
HEAD = "name: x\nbase: efficientvim_m2\n"


@pytest.mark.parametrize("inside", [False, True], ids=["spelt out", "a front's member"])
def test_an_architecture_in_place_of_a_sweep_is_known_as_one(tmp_path, inside):
    arch = entry("m1").arch.to_dict()
    path = tmp_path / "m1.yaml"
    path.write_text(yaml.safe_dump({"trial": "5", "arch": arch} if inside else arch))
    with pytest.raises(SpecError, match=rf"an architecture out: `evnas show {path}` shows it"):
        load_sweep(path)


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_sweeps_are_valid_and_round_trip(path):
    sweep = load_sweep(path)
    again = sweep_of(sweep.spec.to_dict(), source=str(path))
    assert again.spec == sweep.spec
    assert again.identity() == sweep.identity()


def test_table_c_has_the_printed_rows():
    sweep = load_sweep(SWEEPS / "table_c.yaml")
    assert [c.label for c in sweep.candidates] == list("ABCDEFGHIJL")
    assert sweep.reference.label == "A"
    assert sweep.spec.proxy is not None
    assert sweep.spec.proxy.presentations >= 3000


def complaint(tmp_path, text, **options):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as e:
        load_sweep(path, **options)
    return str(e.value).removeprefix(f"{tmp_path}/")


@pytest.mark.parametrize(
    ("rest", "want"),
    [
        (
            "rows:\n  I:\n    stages[*].mixer.states: [1, 2]\n",
            "x.yaml:5: rows.I.stages[*].mixer.states: a list here must have one value for each of "
            "the 3 places, got 2: [1, 2]",
        ),
        (
            "rows:\n  I:\n    stages[*].mixer.stats: 3\n",
            "x.yaml:5: rows.I.stages[*].mixer.stats: there is no 'stats' at stages[0].mixer; did "
            "you mean 'states'?",
        ),
        (
            "rows:\n  I:\n    norm: ln\n    stages[1].mixer.states: 0\n",
            "x.yaml:6: rows.I.stages[1].mixer.states: must be at least 1, got 0",
        ),
        ("rows: {A: {}}\nsedes: [1]\n", "x.yaml:4: sedes: unknown key; did you mean 'seeds'?"),
        (
            "rows: {A: {}}\nproxy:\n  data: {folder: nowhere}\n",
            "x.yaml:5: proxy.data.folder: must be a folder of images, '",
        ),
        ("rows: {A: {}}\nproxy:\n  data: mnist\n", "x.yaml:5: proxy.data: must be one of"),
        ("rows: {A: {}}\nproxy:\n  data: {foldr: 1}\n", "x.yaml:5: proxy.data: must be one of"),
        ("rows: {A: {timm: x, arch: y}}\n", "x.yaml:3: rows.A: a row has one of arch, timm"),
        ("rows: {A: {timm: x, norm: ln}}\n", "rows.A.norm: a row with timm takes no changes"),
        (
            "rows: {A: {resolution: big}}\n",
            "rows.A.resolution: must be a whole number from 1 to 8192",
        ),
        (
            "rows: {A: {resolution: yes}}\n",
            "rows.A.resolution: must be a whole number from 1 to 8192",
        ),
        (
            "rows: {A: {}}\nengine: {workers: -1}\n",
            "x.yaml:4: engine.workers: must be at least 1 or auto, got -1",
        ),
        (
            "rows: {A: {}}\nengine: {workers: many}\n",
            "x.yaml:4: engine.workers: must be an integer or auto, got 'many'",
        ),
        ("rows: {A: {}}\nengine: {resources: {GPU: -1}}\n", "engine.resources.GPU: must be at l"),
        (
            "rows: {A: {}}\ntargets:\n  - {device: cpu}\n  - {mode: training, form: deployed}\n",
            "x.yaml:6: targets[1]: mode training needs form plain, since a folded batch norm is "
            "gone; got deployed",
        ),
        (
            "rows: {A: {}}\ntargets:\n  - {mode: training, runtime: onnx}\n",
            "x.yaml:5: targets[0]: mode training needs runtime torch or compile, which run a "
            "backward; got onnx",
        ),
        ("rows: {A: 3}\n", "x.yaml:3: rows.A: must be a mapping, got 3"),
        ("rows: {A: {}}\nseeds: [1, 1]\n", "seeds must differ"),
        ("", "a sweep has either rows"),
        ("row: {A: {}}\n", "x.yaml:3: row: unknown key; did you mean 'rows'? (known here: name,"),
        ("rows: {A: {}}\nstrategy: random\n", "and budget (a search), got both"),
        ("rows: {}\n", "x.yaml:3: rows: must have at least 1 entry, got 0"),
        ("space: {axes: {norm: [bn]}}\n", "x.yaml:1: strategy: is missing"),
        (
            "rows: {Q: {}}\npublished: {paper: EfficientViM, table: C}\n",
            "x.yaml:3: rows.Q: the published table has no row 'Q'",
        ),
        (
            "rows: {A: {}}\npublished: {paper: EfficientVim, table: C}\n",
            "x.yaml:4: published: paper must be one of",
        ),
        (
            "rows: {A: {}}\nproxy: {batch_size: 64, images_per_epoch: 64}\n",
            "x.yaml:4: proxy: an epoch of 64 images must hold at least points_per_epoch = 2",
        ),
    ],
)
def test_mistakes_name_line_path_and_mend(tmp_path, rest, want):
    assert want in complaint(tmp_path, HEAD + rest)


@pytest.mark.parametrize(
    ("part", "want"),
    [
        ({"engine": {"workers": 0}}, "engine.workers: must be at least 1 or auto, got 0"),
        (
            {"engine": {"timeout_s": math.inf}},
            "engine.timeout_s: must be a finite number",
        ),
        ({"targets": [{"budget_s": math.inf}]}, "targets[0].budget_s: must be a finite number"),
        ({"proxy": {"lr": math.nan}}, "proxy.lr: must be a finite number, got nan"),
        ({"seeds": [10**30]}, "seeds[0]: must be below 9223372036854775808"),
    ],
)
def test_plain_data_is_held_to_the_same(part, want):
    with pytest.raises(SpecError) as e:
        sweep_of({"name": "x", "base": "efficientvim_m1", "rows": {"A": {}}, **part})
    assert want in str(e.value)


def test_a_name_must_not_leave_the_results_folder(tmp_path):
    text = "name: ../x\nbase: efficientvim_m2\nrows: {A: {}}\n"
    assert complaint(tmp_path, text).startswith("x.yaml:1: name: must be letters")


def test_overrides(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + "rows: {A: {}}\nproxy: {}\n")
    sets = ["proxy.epochs=5", "targets[*].device=cpu", "seeds=[3, 4]"]
    spec = load_sweep(path, overrides=sets).spec
    assert spec.proxy is not None
    assert (spec.proxy.epochs, spec.targets[0].device, spec.seeds) == (5, "cpu", (3, 4))
    assert load_sweep(path, overrides=["proxy="]).spec.proxy is None


def test_a_strategy_of_another_kind_takes_the_place_of_the_file_s():
    def strategy(override):
        spec = load_sweep(SWEEPS / "search_cpu.yaml", overrides=[override]).spec
        return spec.to_dict()["strategy"]

    assert strategy("strategy={kind: random, seed: 3}") == {"kind": "random", "seed": 3}
    assert strategy("strategy={population: 8}")["startup"] == 10


@pytest.mark.parametrize(
    ("override", "want"),
    [
        ("proxy.epocs=3", "--set proxy.epocs=3: proxy.epocs: there is no 'epocs' at proxy; did"),
        ("proxy.epochs=0", "--set proxy.epochs=0: proxy.epochs: must be at least 1, got 0"),
        ("epochs", "--set epochs: must be path=value"),
        ("failures.stop_after=yes", "failures.stop_after: must be an integer, got yes"),
        ("seeds=[0, true]", "seeds: must be an integer, got [0, True]"),
        (
            "proxy={}",
            "--set proxy={}: proxy: must name the keys that change, since the others stay",
        ),
        ("targets=3", "--set targets=3: targets: must be a list, got 3"),
        ("targets[0].device=gpu", "cuda or cuda:N, and of runtime openvino GPU or NPU, got 'gpu'"),
    ],
)
def test_overrides_that_cannot_hold(tmp_path, override, want):
    assert want in complaint(tmp_path, HEAD + "rows: {A: {}}\nproxy: {}\n", overrides=[override])


def test_quick_is_another_study_and_costs_less():
    full, quick = (load_sweep(SWEEPS / "table_c.yaml", quick=q).spec for q in (False, True))
    assert quick.name == "table_c_quick"
    assert full.proxy is not None and quick.proxy is not None
    assert quick.proxy.presentations < full.proxy.presentations / 2


def test_identity_says_what_changed():
    old = load_sweep(SWEEPS / "table_c.yaml")
    new = load_sweep(SWEEPS / "table_c.yaml", overrides=["proxy.epochs=3", "title=other"])
    assert differences(old.identity(), new.identity()) == ["proxy.epochs: 2 -> 3"]


def test_studies_from_before_there_were_modes_go_on():
    plain = load_sweep(SWEEPS / "vmamba_table_15.yaml")
    stored = plain.identity()["targets"]
    assert ["mode" in of for of in stored] == [False, True]
    assert plain.spec.to_dict()["targets"][0]["mode"] == "inference"


def test_base_from_a_file(tmp_path):
    sweep = load_sweep(SWEEPS / "table_c.yaml")
    lines = "\n".join(["stem: {kind: efficientvim}", "stages:", "  - {depth: 0}"])
    (tmp_path / "arch.yaml").write_text(lines)
    assert "arch.yaml:3: stages[0].depth: must be at least 1, got 0" in complaint(
        tmp_path, "name: x\nbase: arch.yaml\nrows: {A: {}}\n"
    )
    import yaml

    (tmp_path / "arch.yaml").write_text(yaml.safe_dump(sweep.base.to_dict()))
    (tmp_path / "x.yaml").write_text("name: x\nbase: arch.yaml\nrows: {A: {}}\n")
    assert load_sweep(tmp_path / "x.yaml").reference.digest == sweep.base.digest


def test_a_file_is_an_ablation_or_a_search_by_what_it_says():
    """Keys of the other kind may stand empty, as some older studies keep them."""
    head = {"name": "x", "base": "efficientvim_m1"}
    rows = sweep_of(head | {"rows": {"A": {}}} | dict.fromkeys(SEARCH_KEYS)).spec
    assert isinstance(rows, AblationSpec)
    assert not {*SEARCH_KEYS} & {*rows.to_dict()}
    searched = load_sweep(SWEEPS / "search_cpu.yaml").spec
    assert isinstance(searched, SearchSpec)
    assert "rows" not in searched.to_dict()
    assert sweep_of(searched.to_dict() | {"rows": {}}).spec == searched
