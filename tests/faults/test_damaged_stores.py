"""Studies with flipped bytes, wiped blocks and cut ends: a sentence or the same figures, never
others."""

import random
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from damage import cut, flipped, swapped, wiped
from fault_counts import Cases

from evnas.errors import StoreError
from evnas.record import Measurement, Record
from evnas.store import Store
from evnas.store.repair import repair
from evnas.store.salvage import salvage

RECORDS = 60
NOTES = {"time": {"wall_s": 3.5, "busy_s": 2.25}, "search": {"ended": "60 trials", "trials": 60}}


def record(number: int, **changes: Any) -> Record:
    """One whose text needs pages of its own now and then."""
    rng = random.Random(number)
    samples = tuple(rng.uniform(1, 9) for _ in range(rng.choice((3, 30, 300))))
    fields: dict[str, Any] = {
        "label": str(number // 3),
        "digest": f"{number // 3:012x}",
        "arch": {"stages": [{"depth": number % 5, "dim": 8 * k} for k in range(4)]},
        "phase": ("count", "speed", "proxy")[number % 3],
        "status": "complete",
        "values": {"params": rng.uniform(1e6, 9e6)},
        "measurements": {"latency_ms": Measurement("latency_ms", samples, {"load": 0.5})},
        "curve": tuple({"epoch": float(e), "loss": rng.random()} for e in range(3)),
        "started": 1.7e9 + number,
        "seconds": rng.random(),
    }
    return Record(**(fields | changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: Any) -> bytes:
    """The file of a study as a sweep leaves it."""
    path = tmp_path_factory.mktemp("whole") / "study.db"
    with Store.create(path, sweep={"name": "s"}, environment={"cpu": 2}, identity={"a": 1}) as s:
        for number in range(RECORDS):
            s.append(record(number, status="lost" if number == 7 else "complete"))
        s.set_aside(["lost"])
        s.append(record(7))
        for key, value in NOTES.items():
            s.note(key, value)
    raw: bytes = path.read_bytes()
    assert len(raw) > 30 * 4096
    return raw


def all_of(path: Path) -> dict[str, Any]:
    """Everything that anybody may be shown of a study."""
    with Store.read(path) as store:
        return {
            "records": [(i, r.to_dict()) for i, r in store.records()],
            "aside": [(i, r.to_dict()) for i, r in store.records_set_aside()],
            "notes": store.notes(""),
            "sweep": store.meta("sweep"),
            "nothing": store.meta("nothing"),
            "last": store.last_id(),
        }


@pytest.fixture
def path(tmp_path: Path, whole: bytes) -> Path:
    found = tmp_path / "s" / "study.db"
    found.parent.mkdir()
    found.write_bytes(whole)
    return found


@pytest.fixture
def truth(path: Path) -> dict[str, Any]:
    found = all_of(path)
    assert len(found["records"]) == RECORDS and len(found["aside"]) == 1
    return found


def damage(raw: bytes, seed: int) -> bytes:
    rng = random.Random(seed)
    return rng.choice((flipped, flipped, flipped, wiped, swapped))(raw, rng)


def test_what_is_read_of_a_damaged_study_is_the_truth_or_a_sentence(
    path, whole, truth, cases: Cases
):
    ends: Counter[str] = Counter()
    for seed in cases(300, 2000, minutes=3):
        path.write_bytes(damage(whole, seed))
        try:
            assert all_of(path) == truth, seed
            ends["the truth"] += 1
        except StoreError as e:
            assert str(path) in str(e), seed
            ends["a sentence"] += 1
        clean(path)
    assert ends["a sentence"] > ends["the truth"] / 4, ends  # else nothing was damaged


def test_a_damaged_study_goes_on_right_or_says_why_not(path, whole, truth, cases: Cases):
    for seed in cases(150, 1000, minutes=3):
        path.write_bytes(damage(whole, seed))
        try:
            with Store.append_to(path) as store:
                before = [(i, r.to_dict()) for i, r in store.records()]
                assert before == truth["records"], seed
                store.note("time", NOTES["time"])
                store.append(record(RECORDS))
            assert all_of(path)["records"][:-1] == truth["records"], seed
        except StoreError:
            pass
        clean(path)


@pytest.mark.parametrize("twentieth", range(20))
def test_a_study_cut_short_is_a_sentence(path, whole, twentieth):
    path.write_bytes(whole[: len(whole) * twentieth // 20])
    for look in (all_of, resumed):
        with pytest.raises(StoreError, match=r"study\.db"):
            look(path)
        clean(path)
        path.write_bytes(whole[: len(whole) * twentieth // 20])


def test_studies_cut_anywhere_are_sentences(path, whole, cases: Cases):
    for seed in cases(50, 500, minutes=1):
        path.write_bytes(cut(whole, random.Random(seed)))
        with pytest.raises(StoreError):
            all_of(path)
        clean(path)


def resumed(path: Path) -> None:
    with Store.append_to(path) as store:
        list(store.records())


def clean(path: Path) -> None:
    """Nothing of one case may be read with the next."""
    for beside in path.parent.iterdir():
        if beside != path:
            beside.unlink()


@pytest.mark.parametrize("table", ["records", "archs", "meta", "set_aside"])
def test_emptied_tables_are_damage(path, table):
    with sqlite3.connect(path) as db:
        db.execute(f"DELETE FROM {table}")
    db.close()
    with pytest.raises(StoreError, match="damaged"):
        all_of(path)


@pytest.mark.parametrize(
    "lost", [(1,), (30,), (RECORDS + 1,), (RECORDS, RECORDS + 1)], ids=lambda lost: f"{lost}"
)
def test_missing_records_are_damage_with_their_numbers(path, lost):
    with sqlite3.connect(path) as db:
        db.executemany("DELETE FROM records WHERE id = ?", [(i,) for i in lost])
    db.close()
    with pytest.raises(StoreError, match=rf"{lost[0]}.* missing.*evnas store repair"):
        all_of(path)
    with Store.read(path) as store:
        with pytest.raises(StoreError, match="missing"):
            list(store.records())
        if RECORDS + 1 in lost:  # what a page asks again and again
            with pytest.raises(StoreError, match="missing"):
                store.last_id()


def test_what_a_repair_keeps_is_the_truth(path, whole, truth, cases: Cases):
    known = {str(r) for _, r in (*truth["records"], *truth["aside"])}
    kept_most = tried = 0
    for seed in cases(60, 500, minutes=3):
        tried += 1
        path.write_bytes(damage(whole, seed))
        try:
            done = repair(path)
        except StoreError:
            clean(path)
            continue
        found = all_of(path)
        records = [str(r) for _, r in (*found["records"], *found["aside"])]
        assert set(records) <= known and len(set(records)) == len(records) == done.kept, seed
        if done.damaged is None:
            assert found == truth, seed
        else:
            assert len(records) + len(done.lost_records) >= len(known), (seed, done)
            assert salvage(path).findings() == [], seed
        kept_most += done.kept >= len(known) - 12
        clean(path)
    assert kept_most > 0.8 * tried


def test_a_changed_definition_of_a_table_is_found_and_mended(path, whole, truth):
    """One byte: asked for one record it gives it, asked for all it gives one."""
    at = whole.index(b"id INTEGER PRIMARY KEY", whole.index(b"TABLE records")) + 3
    path.write_bytes(whole[:at] + b"\x99" + whole[at + 1 :])
    with pytest.raises(StoreError, match="damaged"):
        all_of(path)
    assert not salvage(path).is_whole
    assert repair(path).damaged is not None
    assert all_of(path)["records"] == truth["records"]
