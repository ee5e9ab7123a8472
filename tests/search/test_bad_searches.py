"""Searches that cannot be: exit code 2 and one sentence with file, line and path."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evnas import cli
from evnas.phases.work import Event, Work
from evnas.search.evaluate import Evaluator
from evnas.search.prepare import PreparedSearch, prepared
from evnas.search.runner import run_sweep
from evnas.search.state.history import History
from evnas.store import Store
from evnas.sweep.parts import EngineSpec
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import load_sweep

SPACE = """\
name: bad
base: efficientvim_m1
space:
  axes:
    stages[*].depth: {each: [1, 2, 3]}
    stages[0].dim: [64, 96]
"""
REST = """\
strategy: {kind: random}
objectives:
  params_m: min
  macs_g: max
budget: {trials: 3}
targets: []
"""
AT_CPU = REST.replace("targets: []", "targets: [{device: cpu, batch_size: 1}]")
LIMITS = "constraints:\n  - params_m <= 99\n"
WARM = "warm_start:\n  - csv: good.csv\n"


def required(*conditions: str) -> str:
    return SPACE + "  require:\n" + "".join(f"    - {text}\n" for text in conditions) + REST


def axis(line: str) -> str:
    return f"{SPACE}    {line}\n{REST}"


def ablated(base: str) -> str:
    strategy = f"\n  kind: one_at_a_time\n  base: {base}"
    return SPACE + REST.replace("{kind: random}", strategy)


IN_THE_FILE = {
    "contradictory": (
        required("stages[0].dim >= 64", "stages[0].depth >= 3", "stages[0].depth <= 2"),
        "10: space.require[2]: the space is empty: of 4000 draws none meets both "
        "'stages[0].depth >= 3' and 'stages[0].depth <= 2'",
    ),
    "never met": (
        required("stages[0].dim >= 64", "stages[0].dim >= 640"),
        "9: space.require[1]: the space is empty: of 4000 draws none meets 'stages[0].dim >= 640'",
    ),
    "false by itself": (
        required("stages[0].dim >= 64", "stages[0].dim > 8 > 9"),
        "9: space.require[1]: the space is empty: 'stages[0].dim > 8 > 9' is false of every "
        "architecture",
    ),
    "never built": (
        axis("stages[1].mixer.expand: [-1.0]"),
        "4: space.axes: the space is empty: of 4000 draws none can be built, 4000 because "
        "stages[1].mixer.expand: must be over 0",
    ),
    "condition of no field": (
        required("stages[0].dim >= 64", "stages[0].wide >= 64"),
        "9: space.require[1]: 'stages[0].wide >= 64': no field of an architecture is called",
    ),
    "condition of text": (
        required("stages[0].dim >= 64", "stages[0].dim >= norm"),
        "9: space.require[1]: 'stages[0].dim >= norm': cannot be worked out",
    ),
    "constraint of nothing": (
        SPACE + REST + LIMITS + "  - para_m <= 12\n",
        "15: constraints[1]: 'para_m <= 12': nothing is called 'para_m'",
    ),
    "constraint of text": (
        SPACE + REST + LIMITS + "  - params_m <= norm\n",
        "15: constraints[1]: 'params_m <= norm': cannot be worked out",
    ),
    "empty list": (axis("norm: []"), "7: space.axes.norm: must have at least 1 entry, got 0"),
    "empty list in each": (
        axis("stages[*].mlp_ratio: {each: []}"),
        "7: space.axes.stages[*].mlp_ratio.each: must have at least 1 entry, got 0",
    ),
    "empty choice": (
        axis("stages[1].mixer: {choice: {}}"),
        "7: space.axes.stages[1].mixer.choice: must have at least 1 entry, got 0",
    ),
    "empty range": (
        axis("stages[1].dim: {int: {low: 96, high: 64, step: 32}}"),
        "7: space.axes.stages[1].dim: int must have high of at least low, got 96 to 64",
    ),
    "half a range": (
        axis("stages[1].dim: {int: {low: 96}}"),
        "7: space.axes.stages[1].dim.int.high: is missing",
    ),
    "unknown path": (
        axis("stages[1].wide: [64]"),
        "7: space.axes.stages[1].wide: there is no 'wide' at stages[1]",
    ),
    "set of nothing": (
        axis("norm: [full_bn]").replace("space:\n", "space:\n  set: {norms: full_bn}\n"),
        "4: space.set.norms: ",
    ),
    "set to nonsense": (
        SPACE.replace("space:\n", "space:\n  set:\n    stages[0].mlp_ratio: -3\n") + REST,
        "5: space.set.stages[0].mlp_ratio: must be at least 0",
    ),
    "objective of nobody": (
        SPACE + REST.replace("macs_g", "top1"),
        "10: objectives.top1: nothing measures 'top1'; did you mean 'top1_percent'?",
    ),
    "objective without a proxy": (
        SPACE + REST.replace("macs_g", "top1_percent"),
        "10: objectives[1]: 'top1_percent' needs a training; say proxy: {}",
    ),
    "constraint without a proxy": (
        SPACE + REST + LIMITS + "  - loss <= 1\n",
        "15: constraints[1]: 'loss' needs a training; say proxy: {}",
    ),
    "objective without a target": (
        SPACE + REST.replace("macs_g", "throughput_img_s"),
        "10: objectives[1]: throughput_img_s needs a target, and targets is empty",
    ),
    "one objective": (
        SPACE + REST.replace("  macs_g: max\n", ""),
        "8: objectives: must have at least 2 entries, got 1",
    ),
    "unknown strategy": (
        SPACE + REST.replace("random", "evolutoin"),
        "7: strategy.kind: must be one of grid, random, one_at_a_time, tpe, nsga2, nsga3, gp, "
        "evolution, mo_asha, got 'evolutoin'; did you mean 'evolution'?",
    ),
    "a strategy without a kind": (
        SPACE + REST.replace("kind: random", "seed: 1"),
        "7: strategy.kind: is missing",
    ),
    "a strategy by its old name": (
        SPACE + REST.replace("random", "ablation"),
        "7: strategy.kind: must be one of grid, random, one_at_a_time, tpe, nsga2, nsga3, gp, "
        "evolution, mo_asha, got 'ablation'; it is called one_at_a_time",
    ),
    "a knob of another strategy": (
        SPACE + REST.replace("random", "random, screen: 8"),
        "7: strategy.screen: unknown key; did you mean 'seed'? (known here: kind, seed)",
    ),
}
"""Whatever reads the file says these."""

AT_THE_START = {
    "unknown base": (
        ablated("efficientvim_m9"),
        "9: strategy.base: no architecture is named 'efficientvim_m9'",
    ),
    "no base's file": (
        ablated("nowhere.yaml"),
        "9: strategy.base: nowhere.yaml: must be a readable YAML file (No such file",
    ),
    "base outside": (
        ablated("efficientvim_m4"),
        "9: strategy.base: efficientvim_m4 lies outside the space: stages[1].depth is 4, not "
        "among 1, 2, 3",
    ),
    "no CSV": (
        SPACE + REST + WARM + "  - csv: no.csv\n",
        "15: warm_start[1]: no.csv: must be a file that can be read (No such file",
    ),
    "no study": (
        SPACE + REST + WARM + "  - study: no/study.db\n",
        "15: warm_start[1]: ",
    ),
    "objective's target": (
        SPACE + AT_CPU.replace("macs_g", "latency_ms@gpu"),
        "10: objectives[1]: 'latency_ms@gpu' names no target; write latency_ms@ID with one of cpu",
    ),
    "nothing to train for": (
        SPACE + REST.replace("random", "mo_asha"),
        "7: strategy: mo_asha needs an objective that training gives",
    ),
    "rungs": (
        SPACE
        + REST.replace("random", "mo_asha").replace("macs_g", "top1_percent")
        + "proxy: {epochs: 4}\n",
        "7: strategy.rungs: a rung must be whole epochs of 1600 image presentations, got 711",
    ),
    "target of an unsettled batch": (
        SPACE
        + AT_CPU.replace("macs_g", "latency_ms@b3").replace("batch_size: 1", "batch_size: auto"),
        "10: objectives[1]: 'latency_ms@b3' names no target; write latency_ms@ID with one of "
        "cpu-best-224-b16-float32-deployed",
    ),
    "two targets and no name": (
        SPACE
        + AT_CPU.replace("macs_g", "latency_ms").replace(
            "batch_size: 1}", "batch_size: 1}, {device: cpu, batch_size: 2}"
        ),
        "10: objectives[1]: 'latency_ms' names several targets; write latency_ms@ID with one of "
        "cpu-best-224-b1-float32-deployed, cpu-best-224-b2-float32-deployed",
    ),
    "constraint's target": (
        SPACE + AT_CPU + LIMITS + "  - latency_ms@gpu <= 12\n",
        "15: constraints[1]: 'latency_ms@gpu <= 12': 'latency_ms@gpu' names no target",
    ),
}
"""What shows where a search would begin: with the files beside it, and its targets by name."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.csv").write_text("stages[0].dim,stages[1].depth\n96,1\n")


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    (line,) = lines(capsys, monkeypatch, *words)
    return line


def lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["evnas", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out) == (2, "")
    return printed.err.splitlines()


@pytest.mark.parametrize("case", IN_THE_FILE)
def test_the_file_is_refused(case, capsys, monkeypatch):
    text, want = IN_THE_FILE[case]
    Path("bad.yaml").write_text(text)
    assert said(capsys, monkeypatch, "space", "bad.yaml").startswith(f"evnas: bad.yaml:{want}")


@pytest.mark.parametrize("command", ["check", "plan", "sweep"])
def test_other_commands_say_it_too(command, capsys, monkeypatch):
    text, want = IN_THE_FILE["contradictory"]
    Path("bad.yaml").write_text(text)
    assert said(capsys, monkeypatch, command, "bad.yaml").startswith(f"evnas: bad.yaml:{want}")
    assert not Path("results").exists()


@pytest.mark.parametrize("case", AT_THE_START)
@pytest.mark.parametrize("command", ["check", "space", "plan", "sweep"])
def test_the_search_is_not_begun(command, case, capsys, monkeypatch):
    text, want = AT_THE_START[case]
    Path("bad.yaml").write_text(text)
    assert said(capsys, monkeypatch, command, "bad.yaml").startswith(f"evnas: bad.yaml:{want}")
    assert not Path("results").exists()


@pytest.mark.parametrize("command", ["check", "space"])
def test_a_target_of_elsewhere_may_be_named(command, capsys, monkeypatch):
    """Of `cuda` and of its whole id, on a machine that may have none."""
    named = AT_CPU.replace("macs_g", "latency_ms@cuda").replace("device: cpu", "device: cuda")
    Path("good.yaml").write_text(SPACE + named + LIMITS + WARM)
    monkeypatch.setattr(sys, "argv", ["evnas", command, "good.yaml"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert (caught.value.code, capsys.readouterr().err) == (0, "")


def test_check_loads_no_torch_for_settled_targets() -> None:
    Path("good.yaml").write_text(SPACE + AT_CPU.replace("macs_g", "latency_ms@cpu") + WARM)
    code = (
        "import sys; from pathlib import Path; from evnas.sweep.sweep import load_sweep;"
        "from evnas.search.preflight import checked; checked(load_sweep(Path('good.yaml')));"
        "print(sorted({'torch', 'optuna'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_process_says_it() -> None:
    text, want = AT_THE_START["base outside"]
    Path("bad.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "evnas.cli", "check", "bad.yaml"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1])},
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"evnas: bad.yaml:{want}")


def test_a_rare_architecture_is_no_empty_space() -> None:
    """One of 54,000 points is valid: no draw finds it, the count does."""
    wide = SPACE.replace("[1, 2, 3]", "{int: {low: 1, high: 30}}")
    rare = "  require:\n    - sum(stages[*].depth) >= 90\n    - stages[0].dim == 96\n"
    Path("rare.yaml").write_text(wide + rare + REST)
    assert isinstance(load_sweep(Path("rare.yaml")).spec, SearchSpec)


def test_an_ablation_starts_from_what_set_fixes() -> None:
    fixed = SPACE.replace("  axes:", "  set:\n    stages[2].mlp_ratio: 3.0\n  axes:")
    fixed = fixed.replace("dim: [64, 96]", "dim: [128, 96]") + REST + WARM
    Path("fixed.yaml").write_text(fixed.replace("random", "one_at_a_time").replace(WARM, ""))
    session = prepared(load_sweep(Path("fixed.yaml")))
    assert isinstance(session, PreparedSearch)
    assert session.space.base.stages[2].mlp_ratio == 3.0
    history = History(objectives=session.spec.objectives, full_budget=0.0)
    rows = session.schedule(history).strategy.propose(history, 99)
    assert [p.arch.stages[2].mlp_ratio for p in rows if p.arch] == [3.0] * len(rows)
    assert (rows[0].origin, rows[0].arch, len(rows)) == ("base", session.space.base, 8)
    Path("csv.yaml").write_text(fixed)
    session = prepared(load_sweep(Path("csv.yaml")))
    assert isinstance(session, PreparedSearch)
    (first,) = session.schedule(history).strategy.propose(history, 1)
    assert first.origin == "good.csv:2"
    assert first.arch is not None and first.arch.stages[2].mlp_ratio == 3.0


HOPELESS = (
    "bad.yaml:15: constraints[1]: 54 candidates and none met all of them; the last broke "
    "macs_g <= 0.0001: macs_g is "
)


class Here:
    """The evaluator in this process, since a worker's start takes seconds."""

    slots = 1

    def __init__(self, spec: EngineSpec) -> None:
        self.works: list[Work] = []

    def submit(self, work: Work) -> None:
        self.works.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        return [Evaluator().run(self.works.pop(), lambda fraction, text: None)]

    def close(self) -> None:
        pass


def test_a_search_that_nothing_can_pass_says_so(capsys, monkeypatch):
    monkeypatch.setattr("evnas.search.runner.engine_for", Here)
    Path("bad.yaml").write_text(
        (SPACE + REST + LIMITS + "  - macs_g <= 0.0001\n").replace("trials: 3", "trials: 300")
    )
    for _ in range(2):  # and when it is asked for again
        assert HOPELESS in lines(capsys, monkeypatch, "sweep", "bad.yaml")[-1]


def test_what_breaks_a_constraint_with_its_last_phase_is_on_no_front() -> None:
    Path("bad.yaml").write_text(SPACE + REST + "constraints:\n  - macs_g <= 0.0001\n")
    sweep = load_sweep(Path("bad.yaml"))
    folder = run_sweep(
        sweep, results=Path("results"), fresh=False, began=time.monotonic(), make_engine=Here
    )
    with Store.read(folder / "study.db") as store:
        assert {record.status for _, record in store.records()} == {"infeasible"}
    assert json.loads((folder / "front" / "front.json").read_text())["members"] == []
