"""`evnas signals`, `evnas audit` and `evnas plan` as a user runs them."""

import json
import subprocess
import sys
from importlib.resources import files

import in_process
import pytest

from evnas.search.signals import signal_rows, signal_works, take_signals
from evnas.store import Store


def evnas(*words):
    found = subprocess.run(
        [sys.executable, "-m", "evnas", *map(str, words)], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    return found


def test_signals_are_taken_once_and_kept(tmp_path):
    words = ["signals", "efficientvim_m1", "timm:pvt_v2_b0", "--signal", "reach", "--seeds", 2]
    words += ["--signal", "mixers", "--results", tmp_path, "--json"]
    first = evnas(*words, "--csv", tmp_path / "signals.csv")
    rows = json.loads(first.stdout)
    assert [(r["name"], r["seed"]) for r in rows] == [
        ("efficientvim_m1", 0),
        ("timm:pvt_v2_b0", 0),
        ("efficientvim_m1", 1),
        ("timm:pvt_v2_b0", 1),
    ]
    assert rows[0]["mixers"] == 6
    assert rows[0]["params"] == 6679458
    assert rows[0]["reach"] != rows[2]["reach"]
    assert "seed 1" in first.stderr
    again = in_process.evnas(*words)
    assert json.loads(again.stdout) == rows
    assert again.stderr == ""  # nothing was left to do
    small = [*words, "--images", 8, "--resolution", 64]
    other = json.loads(in_process.evnas(*small).stdout)
    assert other[0]["reach"] != rows[0]["reach"]
    assert (tmp_path / "signals.csv").read_text().startswith("name,digest,seed,params,macs_exact")


def test_a_signal_that_is_not_defined_is_a_result_with_its_reason(tmp_path):
    from evnas.arch.catalog import entry
    from evnas.sweep.candidate import Candidate

    candidate = Candidate(label="v", arch=entry("vanilla_vmamba_tiny").arch, published="v")
    works = list(signal_works([(candidate, 224)], ["naswot", "snip"], [0]))
    take_signals([w for w in works if w.target != "snip"], tmp_path / "signals.db")
    with Store.read(tmp_path / "signals.db") as store:
        (row,) = signal_rows(record for _, record in store.records())
    assert "naswot" not in row
    assert "needs a model with modules of ReLU" in str(row["reasons"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["signals"], "name architectures or pass --published"),
        (["signals", "efficientvim_m1", "--signal", "reech"], "no signal is named 'reech'; did"),
        (["signals", "timm:nope"], "timm:nope: timm has no model 'nope'"),
        (["signals", "efficientvim_m9"], "no architecture is named 'efficientvim_m9'"),
        (["audit", "published", "results/x"], "`published` alone"),
        (["audit", "results/nothing"], "results/nothing"),
        (["audit", "published", "--signals", "README.md"], "must have columns digest"),
        (["audit", "published", "--signals", "nothing.csv"], "nothing.csv: must be a file of"),
        (["audit", "published", "--signals", "{few}"], "needs mixing_entropy"),
        (["audit", "results/x", "--signals", "{few}"], "--signals goes with `published`"),
    ],
)
def test_mistakes_are_one_sentence(words, says, tmp_path):
    few = tmp_path / "few.csv"
    shipped = files("evnas.predict").joinpath("data", "signals.csv").read_text()
    few.write_text(shipped.replace("mixing_entropy", "another", 1))
    found = in_process.evnas(*(word.format(few=few) for word in words))
    assert found.returncode == 2 and says in found.stderr
    assert found.stderr.count("\n") == 1


def test_the_published_audit(tmp_path):
    found = evnas("audit", "published", "--splits", 1, "--json", "--figure", tmp_path / "f.html")
    audit = json.loads(found.stdout)
    of = {(line["scope"], line["signal"]): line for line in audit["lines"]}
    held_out = {scope: of[scope, "predicted, recipe held out"] for scope, _ in of}
    assert held_out["overall"]["tau"] >= 0.795
    assert held_out["within papers"]["tau"] >= 0.80
    assert held_out["equal FLOPs"]["tau"] >= 0.65
    assert held_out["equal FLOPs"]["gains"]["FLOPs"]["low"] > 0
    assert of["overall", "predicted, 10-fold"]["tau"] >= 0.86
    assert audit["folds"]["rmse_percent"] <= 0.45
    assert audit["recipe_held_out"]["coverage"] >= 0.8
    assert of["equal FLOPs", "FLOPs"]["verdict"] == "baseline"
    assert {"within papers", "VMamba"} <= {line["scope"] for line in audit["lines"]}
    assert of["overall", "reach"]["seconds"] > 0
    assert 0.85 <= audit["folds"]["coverage"] <= 0.95
    assert audit["peers"]["n"] == 19
    assert "<html>" in (tmp_path / "f.html").read_text()[:200]
