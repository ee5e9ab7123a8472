"""What another package brings by entry points works by name: command, workers, resume, page."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from evnas.record import Record
from evnas.store import Store

PLUGINS = Path(__file__).parent / "plugin_package"
SWEEP = {
    "name": "outside",
    "base": "efficientvim_m1",
    "space": {
        "set": {"stages[*].dim": 16, "stages[*].depth": 1, "stages[0].block": "post_norm"},
        "axes": {"stages[0].depth": [1, 2], "stages[1].depth": [1, 2, 3]},
    },
    "strategy": {"kind": "deepest_first", "draws": 3},
    "objectives": {"channels": "max", "weight_mass": "max", "last_side_px": "max", "loss": "min"},
    "constraints": ["channels <= 1000"],
    "budget": {"trials": 3},
    "targets": [
        {
            **{"device": "cpu", "runtime": "taped", "resolution": 32},
            **{"batch_size": 1, "budget_s": 0.05, "form": "deployed"},
        }
    ],
    "proxy": {
        **{"data": "squares", "resolution": 32, "epochs": 1, "images_per_epoch": 32},
        **{"batch_size": 8, "points_per_epoch": 1, "curve_images": 8, "device": "cpu"},
    },
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on the path with the package's metadata, and the sweep's file."""
    sys.path.insert(0, str(PLUGINS))
    try:
        from evnas_example_plugins.installed import install
    finally:
        sys.path.remove(str(PLUGINS))
    folder = tmp_path_factory.mktemp("site")
    install(folder)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(SWEEP, sort_keys=False))
    return folder


def evnas(site: Path, *words: str, until: str = "") -> str:
    """What a command says that has the package; it is killed as soon as it says `until`."""
    path = os.pathsep.join([str(site), str(PLUGINS), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "evnas.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "PATH": "", "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if until and until in line:
            process.send_signal(signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == (-signal.SIGKILL if until else 0), "".join(said)
    return "".join(said)


def records(results: Path) -> list[Record]:
    """What the study holds."""
    with Store.read(results / "outside" / "study.db") as store:
        return [record for _, record in store.records()]


def sweep(site: Path, results: Path, *, until: str = "") -> str:
    """Run the search, or go on with it."""
    words = ("sweep", str(site / "sweep.yaml"), "--results", str(results))
    return evnas(site, *words, until=until)


@pytest.fixture(scope="module")
def broken_off(site: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A study whose driver was killed in its second trial and that went on to its end."""
    results = tmp_path_factory.mktemp("results")
    sweep(site, results, until="1 speed: ")
    kept = len(records(results))
    sweep(site, results)
    return results, kept


def test_all_kinds_take_part_and_a_killed_search_goes_on(broken_off: tuple[Path, int]) -> None:
    results, kept = broken_off
    found = records(results)
    assert 0 < kept < len(found)
    assert len({record.key for record in found}) == len(found)
    assert [r.status for r in found if r.status != "complete"] == []
    assert {r.origin for r in found} == {"deepest"}
    assert {r.label for r in found} == {"0", "1", "2"}
    whole = {"count", "score", "speed", "proxy", "last_map", "channels"}
    for label in ("0", "1", "2"):
        assert {r.phase for r in found if r.label == label} == whole
    assert {r.target for r in found if r.phase == "speed"} == {"cpu-taped-32-b1-float32-deployed"}
    assert {r.arch["stages"][0]["block"] for r in found} == {"post_norm"}
    assert {r.values["last_side_px"] for r in found if r.phase == "last_map"} == {3.5}
    assert all(r.values["channels"] in (48, 64, 80, 96) for r in found if r.phase == "channels")
    assert all(r.values["weight_mass"] > 4 for r in found if r.phase == "score")  # 3 channels
    assert {r.details["classes"] for r in found if r.phase == "proxy"} == {2}


def test_nothing_is_left_to_do(site: Path, broken_off: tuple[Path, int]) -> None:
    results, _ = broken_off
    before = len(records(results))
    assert f"going on: {before} results there already" in sweep(site, results)
    assert len(records(results)) == before


def test_the_page_has_the_panel(broken_off: tuple[Path, int]) -> None:
    results, _ = broken_off
    assert 'name: "blocks_seen"' in (results / "outside" / "report.html").read_text()


def test_schema_and_messages_know_them(site: Path) -> None:
    schema = json.loads(evnas(site, "schema"))["$defs"]
    assert "taped" in schema["TargetSpec"]["properties"]["runtime"]["enum"]
    assert "squares" in json.dumps(schema["ProxySpec"]["properties"]["data"])
    assert "deepest_first" in json.dumps(schema["StrategySpec"])
