"""`evnas erf` through the real command: rows of a study, kept where its page shows them."""

import json
import subprocess
import sys
from dataclasses import replace

import in_process

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.record import Record
from evnas.report.frame.receptive_fields import fields_of
from evnas.store import Store

TINY = edit(
    entry("efficientvim_m1").arch,
    {"stages[*].dim": [16, 24, 32], "stages[*].depth": 1, "stages[*].mixer.states": 4},
)


def evnas(*arguments):
    command = [sys.executable, "-m", "evnas.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_rows_of_a_study_are_drawn_and_kept(tmp_path):
    study = tmp_path / "small"
    with Store.create(study / "study.db", sweep={}, environment={}, identity={}) as store:
        store.append(
            Record(
                label="A",
                digest=TINY.digest,
                arch=TINY.to_dict(),
                phase="count",
                status="complete",
            )
        )
    picture = tmp_path / "erf.png"
    options = ("--study", study, "--images", 2, "--resolution", 64, "-o", picture)
    done = evnas("erf", "A", *options, "--json")
    assert done.returncode == 0, done.stderr
    (field,) = json.loads(done.stdout)["fields"]
    assert 0 < field["erf_area_fraction"] <= 1
    assert field["weights"] == "random" and "A has RANDOM weights" in done.stderr
    assert picture.stat().st_size > 1000
    with Store.read(study / "study.db") as store:
        ((_, record),) = store.records()  # a field is no evaluation: it costs a search nothing
        (kept,) = fields_of(store, [record])
        other = fields_of(store, [replace(record, label="A1")])
    assert (kept.resolution, kept.weights, kept.images, kept.seed) == (64, "random", 2, 0)
    assert len(kept.map) == 32 and kept.area_fraction == field["erf_area_fraction"]
    assert other == []

    again = in_process.evnas("erf", "B", *options)
    assert again.returncode == 2
    assert "has no row 'B'" in again.stderr
    assert "Traceback" not in again.stderr
