"""`evnas store`: check, backup, export, merge and repair, by their commands."""

import importlib.util
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evnas.cli import app
from evnas.errors import StoreError
from evnas.record import Measurement, Record
from evnas.store import Store
from evnas.store.backup import backup
from evnas.store.export import export
from evnas.store.merge import merge
from evnas.store.repair import repair
from evnas.sweep.sweep import sweep_of

ABLATION: dict[str, Any] = {
    "name": "s",
    "base": "efficientvim_m1",
    "rows": {"A": {}, "B": {"stages[0].depth": 3}},
}
SEARCH: dict[str, Any] = {
    "name": "s",
    "base": "efficientvim_m1",
    "space": {"axes": {"stages[0].depth": [1, 2, 3]}},
    "strategy": "random",
    "objectives": {"params_m": "min", "latency_ms": "min"},
    "budget": {"trials": 9},
    "targets": [{"device": "cpu", "batch_size": 1}],
}
TARGET = "cpu-torch-224-b1-float32"


def record(label: str, **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "label": label,
        "digest": f"digest of {label}",
        "arch": {"timm": label},
        "phase": "count",
        "status": "complete",
        "values": {"params": 5.0},
    }
    return Record(**(fields | changes))


def speed(label: str, host: str, processor: str = "a", **changes: Any) -> Record:
    return record(
        label,
        phase="speed",
        target=TARGET,
        values={},
        measurements={"latency_ms": Measurement("latency_ms", (1.5, 2.5))},
        details={"conditions": {"machine": host, "processor": processor}},
        **changes,
    )


def study(folder: Path, records: list[Record], sweep: dict[str, Any] = ABLATION) -> Path:
    loaded = sweep_of(sweep)
    path = folder / "study.db"
    with Store.create(
        path, sweep=loaded.spec.to_dict(), environment={}, identity=loaded.identity()
    ) as store:
        for one in records:
            store.append(one)
    return path


def held(path: Path) -> list[Record]:
    with Store.read(path) as store:
        return [r for _, r in store.records()]


def evnas(*words: object) -> Any:
    return CliRunner().invoke(app, ["store", *map(str, words)])


def spoil(path: Path, identity: int) -> None:
    with sqlite3.connect(path) as db:
        db.execute(
            "UPDATE records SET payload = replace(payload, '5.0', '6.0') WHERE id = ?", (identity,)
        )
    db.close()


def test_check_says_what_is_wrong_and_how_it_is_mended(tmp_path: Path) -> None:
    path = study(tmp_path / "s", [record("A"), record("B"), record("B", seed=1)])
    whole = evnas("check", tmp_path / "s")
    assert whole.exit_code == 0 and "3 records\nall of it is what was written" in whole.stdout
    spoil(path, 2)
    found = evnas("check", tmp_path / "s")
    assert found.exit_code == 1
    assert "record 2 is missing or not what was written" in found.stdout
    assert f"`evnas store repair {tmp_path / 's'}` keeps what verifies" in found.stdout
    data = json.loads(evnas("check", path, "--json").stdout)
    assert data["lost_records"] == [2] and data["records"] == 2


def test_where_no_study_is_nothing_is_mended(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("gone", "empty"):
        with pytest.raises(StoreError, match="no study is here"):
            repair(tmp_path / folder / "study.db")
    assert not list((tmp_path / "empty").iterdir())


def test_repair_keeps_what_verifies_and_the_file_as_it_was(tmp_path: Path) -> None:
    path = study(tmp_path / "s", [record("A"), record("B"), record("B", seed=1)])
    assert "nothing to mend, 3 records" in evnas("repair", tmp_path / "s").stdout
    spoil(path, 2)
    damaged = path.read_bytes()
    done = evnas("repair", tmp_path / "s")
    assert done.exit_code == 0 and "2 records kept, 1 lost" in done.stdout, done.stdout
    assert [(r.label, r.seed) for r in held(path)] == [("A", 0), ("B", 1)]
    (kept,) = tmp_path.glob("s/study.damaged.*.db")
    assert kept.read_bytes() == damaged
    with Store.append_to(path) as store:  # the lost work is done again
        (noted,) = store.meta("repairs")
        assert noted["records"] == [2]
        store.append(record("B"))
    assert evnas("check", tmp_path / "s").exit_code == 0


def test_a_study_that_forgot_what_it_is_of_is_told_by_the_file_beside_it(tmp_path: Path) -> None:
    path = study(tmp_path / "s", [record("A")])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '{}' WHERE key IN ('sweep', 'identity')")
    db.close()
    with pytest.raises(StoreError, match="nothing says any more what it is a study of"):
        repair(path)
    assert evnas("repair", tmp_path / "s").exit_code != 0
    (tmp_path / "s" / "sweep.resolved.yaml").write_text(json.dumps(ABLATION))
    assert evnas("repair", tmp_path / "s").exit_code == 0
    with Store.read(path) as store:
        assert store.meta("identity") == json.loads(json.dumps(sweep_of(ABLATION).identity()))


def test_a_backup_beside_a_running_writer_is_whole(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_store_tools import record\n"
        "from evnas.store import Store\n"
        "store = Store.append_to(pathlib.Path(sys.argv[1]))\n"
        "for i in range(10**6):\n"
        "    store.append(record(str(i)))\n"
        "    print(i, flush=True)\n"
    )
    path = study(tmp_path / "s", [])
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(path), str(Path(__file__).parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    try:
        for copy in range(5):
            promised = [int(writer.stdout.readline()) for _ in range(20)][-1]
            count = backup(path, tmp_path / f"{copy}.db")
            assert count > promised
            assert [r.label for r in held(tmp_path / f"{copy}.db")] == [
                str(i) for i in range(count)
            ]
    finally:
        writer.kill()
        writer.communicate()
    with pytest.raises(StoreError, match=r"0\.db: is there already"):
        backup(path, tmp_path / "0.db")
    assert evnas("backup", tmp_path / "s", tmp_path / "kept").exit_code == 0
    assert held(tmp_path / "kept" / "study.db") == held(path)


def test_a_backup_of_a_damaged_study_leaves_no_copy_and_names_the_study(tmp_path: Path) -> None:
    path = study(tmp_path / "s", [record("A"), record("B")])
    spoil(path, 2)
    with pytest.raises(StoreError, match=rf"^{path}: damaged.*repair {tmp_path / 's'}`"):
        backup(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_json_lines_hold_all_of_every_record(tmp_path: Path) -> None:
    records = [record("A"), speed("B", "here", error="x")]
    study(tmp_path / "s", records)
    assert evnas("export", tmp_path / "s", tmp_path / "out.jsonl").exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line.pop("id") for line in lines] == [1, 2]
    assert [Record.from_dict(line) for line in lines] == records
    with Store.read(tmp_path / "s" / "study.db") as store:
        with pytest.raises(StoreError, match=r"must end in \.jsonl or \.parquet"):
            export(store, tmp_path / "out.csv")
        if importlib.util.find_spec("pyarrow") is None:
            with pytest.raises(StoreError, match="Parquet needs pyarrow, which is not installed"):
                export(store, tmp_path / "out.parquet")


def test_parquet_holds_numbers_as_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with Store.read(study(tmp_path / "s", [record("A"), speed("B", "here")])) as store:
        assert export(store, tmp_path / "out.parquet") == 2
    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["value.params"] for row in table] == [5.0, None]
    assert [row["median.latency_ms"] for row in table] == [None, 2.0]
    assert json.loads(table[1]["arch"]) == {"timm": "B"}


def test_two_machines_rows_become_one_table(tmp_path: Path) -> None:
    mine = study(tmp_path / "a", [record("A"), speed("A", "one")])
    its = study(tmp_path / "b", [record("A"), record("B"), speed("B", "two")])
    done = merge(mine, its)
    assert (done.added, done.doubles, done.not_comparable) == (2, 1, 0)
    assert [(r.label, r.phase) for r in held(mine)] == [
        ("A", "count"),
        ("A", "speed"),
        ("B", "count"),
        ("B", "speed"),
    ]
    assert merge(mine, its).added == 0
    assert len(held(its)) == 3


def test_candidates_of_two_searches_get_numbers_of_their_own(tmp_path: Path) -> None:
    def of(label: str, digest: str, **more: Any) -> Record:
        return record(label, digest=digest, **more)

    mine = study(
        tmp_path / "a", [of("0", "d0"), of("1", "d1"), speed("0", "one", digest="d0")], SEARCH
    )
    its = study(
        tmp_path / "b",
        [
            of("0", "d7"),
            of("1", "d0"),
            of("2", "d8", origin="mutation of 0"),
            speed("1", "two", digest="d0"),
            speed("2", "two", "b", digest="d8"),
        ],
        SEARCH,
    )
    done = merge(mine, its)
    found = [(r.label, r.digest, r.phase, r.status) for r in held(mine)[3:]]
    assert found == [
        ("2", "d7", "count", "complete"),
        ("3", "d8", "count", "complete"),
        ("3", "d8", "speed", "lost"),  # timed on another kind of processor
    ]
    assert held(mine)[4].origin == "mutation of 2"
    assert (done.added, done.doubles, done.not_comparable) == (3, 2, 1)


def test_studies_of_different_sweeps_are_not_merged(tmp_path: Path) -> None:
    mine = study(tmp_path / "a", [record("A")])
    its = study(tmp_path / "b", [record("A")], ABLATION | {"base": "efficientvim_m2"})
    with pytest.raises(StoreError, match=r"another sweep.*base: 'efficientvim_m1' -> 'effi"):
        merge(mine, its)
    with pytest.raises(StoreError, match="with another study than itself"):
        merge(mine, mine)
