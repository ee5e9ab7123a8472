"""The real command line, mostly as a subprocess: quick to answer, one line for a mistake, JSON
alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import in_process
import pytest

ROOT = Path(__file__).parents[1]
TABLE_C = ROOT / "sweeps" / "table_c.yaml"
HEAD = "name: x\nbase: efficientvim_m2\nrows: {A: {}}\n"


def evnas(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evnas.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"COLUMNS": "100"},
    )


def test_help_loads_nothing_heavy():
    script = (
        "import sys, evnas.cli\n"
        "sys.argv = ['evnas', '--help']\n"
        "try:\n    evnas.cli.main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'pandas', 'plotly', 'optuna', 'timm', 'scipy', 'numpy', 'rich'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Commands:" in done.stdout
    assert done.stdout.strip().endswith("loaded: []")


def test_version_and_unknown_command():
    assert evnas("--version").stdout.startswith("evnas 0.")
    wrong = evnas("sweeep", "x.yaml")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["bench", "M1", "--batch-size", "0"], ["'--batch-size'", "1, got '0'; `evnas bench --h"]),
        (["init", "--kind", "z"], ["'--kind': 'z' is not one of 'sweep'", "`evnas init --help`"]),
        (["store", "merge", "st"], ["Missing argument 'OTHER'; `evnas store merge --help`"]),
        (["store", "nope"], ["No such command 'nope'; `evnas store --help`"]),
        (["--nope"], ["No such option: --nope; `evnas --help`"]),
    ],
)
def test_wrong_words_get_one_line(words, wrong, monkeypatch, capsys):
    from evnas import cli

    monkeypatch.setattr(sys, "argv", ["evnas", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("evnas: ")
    assert said.count("\n") == 1
    assert all(words in said for words in wrong), said


def test_a_group_alone_prints_its_help(monkeypatch, capsys):
    from evnas import cli

    monkeypatch.setattr(sys, "argv", ["evnas", "store"])
    with pytest.raises(SystemExit):
        cli.main()
    assert "Usage: evnas store" in "".join(capsys.readouterr())


def test_check_prints_data_alone():
    done = evnas("check", TABLE_C, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert list(data["rows"]) == list("ABCDEFGHIJL")
    assert data["sweep"]["proxy"]["width"] == 0.5


@pytest.mark.parametrize(
    ("text", "want"),
    [
        (HEAD + "sedes: [0]\n", "bad.yaml:4: sedes: unknown key; did you mean 'seeds'?"),
        (
            "name: x\nbase: efficientvim_m2\nrows:\n  A:\n    stages[*].mixer.kind: hsm_sdd\n",
            "bad.yaml:5: rows.A.stages[*].mixer.kind: mixer kind must be one of ('hsm_ssd', "
            "'nc_ssd', 'sa', 'ss2d', 'es2d'), got 'hsm_sdd'; did you mean 'hsm_ssd'?",
        ),
        (HEAD + "rows: {B: {}}\n", "bad.yaml:4: rows: this key appears twice, first in line 3"),
        (
            "name: x\nbase: efficientvim_m2\nrows:\n  A:\n    stages[*].mixer.states: [1, 2]\n",
            "bad.yaml:5: rows.A.stages[*].mixer.states: a list here must have one value for each",
        ),
        (
            "name: x\nbase: efficientvim_m2\nrows:\n  A:\n    stages[2].mixer: {kind: sa}\n",
            "bad.yaml:5: rows.A.stages[2].mixer: head.fusion: hidden needs a mixer with hidden "
            "states (hsm_ssd, nc_ssd) in every stage; stages[2] has sa",
        ),
        (
            "name: x\nbase: efficientvim_m2\nrows:\n  A:\n    stages[*].mixer.states: 0\n",
            "bad.yaml:5: rows.A.stages[*].mixer.states: stages[0].mixer.states must be at least "
            "1, got 0",
        ),
        (
            HEAD + "proxy: {data: {folder: no/such/folder}}\n",
            "no/such/folder' is not there",
        ),
        ("", "bad.yaml:1: is empty"),
        ("name: [\n", "bad.yaml:2: must be YAML"),
    ],
    ids=[
        *("unknown key", "unknown mixer", "duplicate key", "wrong length", "no hidden states"),
        *("states 0", "missing data", "empty", "not YAML"),
    ],
)
def test_bad_input_gets_one_line(tmp_path, text, want):
    (tmp_path / "bad.yaml").write_text(text)
    started = evnas if "sedes" in text else in_process.evnas
    done = started("check", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert want in done.stderr
    assert done.stderr.startswith("evnas: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_results_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")  # a file where a folder must be: refused even to root
    done = evnas("sweep", TABLE_C, "--results", tmp_path / "file")
    assert done.returncode == 2
    assert "must be a folder that can be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_models_show_and_diff():
    names = [model["name"] for model in json.loads(evnas("models", "--json").stdout)]
    assert "efficientvim_m2_dist" in names
    shown = json.loads(evnas("show", "M2", "--json").stdout)
    assert (shown["params"], shown["macs"]) == (13_903_842, 355_125_918)
    assert sum(part["params"] for part in shown["parts"]) == shown["params"]
    found = json.loads(evnas("diff", "efficientvim_m1", "efficientvim_m2", "--json").stdout)
    assert found[0] == {"path": "stages[1].dim", "left": 192, "right": 256}


def test_our_own_bugs_keep_their_traceback(monkeypatch):
    from evnas import cli

    def broken() -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main()


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "kept/x.json"),
        OSError(30, "Read-only file system", "kept/x.json"),
    ],
)
def test_where_one_may_not_write_is_said_in_a_sentence(error, monkeypatch, capsys):
    from evnas import cli

    def refused() -> None:
        raise error

    monkeypatch.setattr(cli, "app", refused)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "evnas: kept/x.json: must be a place where this user may read and write, got: "
        f"{error.strerror}\n"
    )


def test_doctor_says_what_is_here():
    done = evnas("doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["devices"][0] == "cpu" and isinstance(found["cpu_doubts"], list)
    assert "cpu" in found["kernels"]["cpu"]["hsm_ssd"].split("+")
    assert found["data"]["fashion-mnist-12k"] == "yes"
    assert {"best", "torch", "compile", "cuda_graph", "onnx", "openvino"} <= set(found["runtimes"])
    places = found["ranking"]["cpu"]
    assert {place["runtime"] for place in places} == {"torch", "onnx", "openvino"}
    times = [place["latency_ms"] for place in places]
    assert times == sorted(times) and len(times) == 4  # torch in both forms


def test_export_gives_the_same_logits(tmp_path):
    import onnxruntime
    import torch

    import evnas as package

    done = evnas("export", "efficientvim_m1", "-o", tmp_path / "m1.onnx", "--resolution", 32)
    assert done.returncode == 0, done.stderr
    assert "RANDOM weights" in done.stderr and "weights random" in done.stdout
    assert " s  tracing a forward of (1, 3, 32, 32)" in done.stderr
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(tmp_path / "m1.onnx")
    (logits,) = session.run(None, {"images": images.numpy()})
    model = package.build(package.ArchSpec.from_dict(shown_arch("efficientvim_m1")), seed=0)
    with torch.inference_mode():
        expected = model.eval()(images)
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-5)


def shown_arch(name: str) -> dict[str, object]:
    from evnas.arch.catalog import entry

    return entry(name).arch.to_dict()


def test_export_refuses_what_it_cannot_write(tmp_path):
    for output, want in (
        ("m1.txt", "must end in .pt2 or .onnx"),
        ("no/m1.pt2", "must lie in a"),
    ):
        done = in_process.evnas("export", "efficientvim_m1", "-o", tmp_path / output)
        assert (done.returncode, want in done.stderr) == (2, True)
