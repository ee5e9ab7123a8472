"""The store: durable, append-only, one writer, many readers, the same work never twice."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from evnas.errors import StoreError
from evnas.record import Measurement, Record
from evnas.store import Store


def record(label: str = "A", **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "label": label,
        "digest": f"digest of {label}",
        "arch": {"timm": label},
        "phase": "speed",
        "status": "complete",
        "target": "cpu",
        "measurements": {"latency_ms": Measurement("latency_ms", (1.5, 2.5), {"load": 0.1})},
        "curve": ({"epoch": 1.0, "loss": 2.0},),
    }
    return Record(**(fields | changes))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s" / "study.db"


def test_what_is_appended_is_read_in_order(path):
    with Store.create(path, sweep={"name": "s"}, environment={"cpu": 2}) as store:
        ids = [store.append(record(label)) for label in "BAC"]
        assert ids == sorted(ids)
    with Store.read(path) as store:
        assert [(i, r) for i, r in store.records()] == list(
            zip(ids, map(record, "BAC"), strict=True)
        )
        assert [r.label for _, r in store.records(after=ids[0])] == ["A", "C"]
        assert store.last_id() == ids[-1]
        assert store.meta("sweep") == {"name": "s"}
        assert store.meta("nothing") is None


def test_the_same_work_twice_is_refused_and_nothing_is_kept_of_it(path):
    with Store.create(path, sweep={}, environment={}) as store:
        store.append(record())
        with pytest.raises(StoreError, match="is recorded already"):
            store.append(record(status="failed"))
        store.append(record(seed=1))
        assert [r.status for _, r in store.records()] == ["complete", "complete"]


def test_a_reader_sees_what_a_writer_adds(path):
    with Store.create(path, sweep={}, environment={}) as writer, Store.read(path) as reader:
        assert reader.last_id() == 0
        writer.append(record())
        assert [r.label for _, r in reader.records()] == ["A"]


def test_one_writer_at_a_time(path):
    with (
        Store.create(path, sweep={}, environment={}),
        pytest.raises(StoreError, match="another process is writing"),
    ):
        Store.append_to(path)
    Store.append_to(path).close()


def test_notes_are_replaced(path):
    with Store.create(path, sweep={}, environment={}) as store:
        store.note("time", {"wall_s": 1})
        store.note("time", {"wall_s": 2})
        assert store.meta("time") == {"wall_s": 2}


def test_what_is_no_study_is_said_so(path, tmp_path):
    (tmp_path / "file.html").touch()
    with pytest.raises(StoreError, match=r"must be a study's folder, it is a file$"):
        Store.read(tmp_path / "file.html" / path.name)
    with pytest.raises(StoreError, match="no study is here"):
        Store.read(path)
    (tmp_path / "text.db").write_text("hello, this is no database at all")
    with pytest.raises(StoreError, match="not a study of evnas"):
        Store.read(tmp_path / "text.db")
    with Store.create(path, sweep={}, environment={}) as store:
        store.note("schema_version", 99)
    for opened in (Store.append_to, Store.read):
        with pytest.raises(StoreError, match="written with schema 99, by a newer evnas"):
            opened(path)
    with pytest.raises(StoreError, match="a study is here already"):
        Store.create(path, sweep={}, environment={})
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="must be a writable folder"):
        Store.create(tmp_path / "file" / "study.db", sweep={}, environment={})


def test_a_study_is_born_whole_or_not_at_all(path, monkeypatch):
    def torn(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt  # a kill between writing and naming it

    monkeypatch.setattr(Path, "rename", torn)
    with pytest.raises(KeyboardInterrupt):
        Store.create(path, sweep={}, environment={})
    assert not path.exists()
    monkeypatch.undo()
    with Store.create(path, sweep={"a": 1}, environment={}) as store:
        assert store.meta("sweep") == {"a": 1}
    assert sorted(p.name for p in path.parent.iterdir()) == ["study.db", "study.lock"]


def test_a_writer_killed_without_warning_loses_nothing(path):
    script = (
        "import sys, pathlib\n"
        "from evnas.store import Store\n"
        "from evnas.record import Record\n"
        "store = Store.create(pathlib.Path(sys.argv[1]), sweep={}, environment={})\n"
        "for i in range(10**6):\n"
        "    store.append(Record(label=str(i), digest='d', arch={}, phase='count',"
        " status='complete'))\n"
        "    print(i, flush=True)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(20)]
    os.kill(writer.pid, signal.SIGKILL)
    said += writer.stdout.readlines()
    writer.communicate()
    promised = int(said[-1]) if said[-1].endswith("\n") else int(said[-2])
    with Store.append_to(path) as store:  # its lock went with it
        labels = [r.label for _, r in store.records()]
        store.append(record())
    assert labels[: promised + 1] == [str(i) for i in range(promised + 1)]
    assert len(labels) <= promised + 2
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_readers_leave_nothing_behind(path):
    with Store.create(path, sweep={}, environment={}) as store:
        store.append(record())
    born = files(path.parent)
    with Store.read(path) as first:
        with Store.read(path) as second:
            assert second.last_id() == 1
        assert [r.label for _, r in first.records()] == ["A"]
    assert files(path.parent) == born


def test_a_reader_that_ends_takes_nothing_from_a_writer(path):
    with Store.create(path, sweep={}, environment={}) as writer:
        writer.append(record())
        Store.read(path).close()
        writer.append(record("B"))
        with Store.read(path) as reader:
            assert [r.label for _, r in reader.records()] == ["A", "B"]
    assert files(path.parent) == ["study.db", "study.lock"]


@pytest.fixture
def read_only(monkeypatch):
    """Makes a folder read-only, also to root, who is nobody meanwhile."""
    if os.getuid() == 0:  # whose TMPDIR nobody else may be let into
        monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    folder = Path(tempfile.mkdtemp())  # not below pytest's own, which nobody else may enter
    yielded = folder / "s"
    try:
        yield yielded
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        yielded.chmod(0o755)
        shutil.rmtree(folder)


def lock_up(folder: Path) -> None:
    folder.parent.chmod(0o755)
    folder.chmod(0o555)
    if os.getuid() == 0:
        os.seteuid(65534)


def test_a_study_in_a_read_only_folder_is_read(read_only):
    path = read_only / "study.db"
    with Store.create(path, sweep={"a": 1}, environment={}) as store:
        store.append(record())
    lock_up(read_only)
    with Store.read(path) as reader:
        assert [r.label for _, r in reader.records()] == ["A"]
    with pytest.raises(StoreError, match=r"s: must be a writable folder"):
        Store.append_to(path)


def test_what_lies_in_the_log_is_read_in_a_read_only_folder_too(read_only):
    path = read_only / "study.db"
    with Store.create(path, sweep={"a": 1}, environment={}) as store:
        store.append(record())
        kept = path.with_name("study.db-wal").read_bytes()
    path.with_name("study.db-wal").write_bytes(kept)  # as a kill leaves it
    before = files(read_only)
    lock_up(read_only)
    with Store.read(path) as reader:
        assert [r.label for _, r in reader.records()] == ["A"]
    assert files(read_only) == before


def test_a_file_that_nobody_may_read_is_not_called_damaged(read_only):
    path = read_only / "study.db"
    Store.create(path, sweep={}, environment={}).close()
    path.chmod(0o000)
    lock_up(read_only)
    with pytest.raises(StoreError, match="must be a file that can be read"):
        Store.read(path)


def test_a_folder_that_nobody_may_enter_is_not_called_damaged(read_only):
    Store.create(read_only / "study.db", sweep={}, environment={}).close()
    lock_up(read_only)
    if os.getuid() == 0:
        os.seteuid(0)
    read_only.chmod(0o000)
    if os.getuid() == 0:
        os.seteuid(65534)
    with pytest.raises(StoreError, match="must be a file that can be read"):
        Store.read(read_only / "study.db")


def as_before_checksums(path: Path) -> None:
    """What a study was before there were checksums."""
    with sqlite3.connect(path) as db:
        db.executescript(
            "CREATE TABLE m (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
            "INSERT INTO m SELECT key, value FROM meta WHERE key NOT IN ('tally', 'noted');"
            "DROP TABLE meta; ALTER TABLE m RENAME TO meta; DROP TABLE set_aside;"
            "ALTER TABLE archs DROP COLUMN checksum; ALTER TABLE records DROP COLUMN checksum;"
            "UPDATE meta SET value = '1' WHERE key = 'schema_version';"
        )
    db.close()


@pytest.fixture
def old(path):
    with Store.create(path, sweep={"name": "old"}, environment={}) as store:
        for label in "AB":
            store.append(record(label))
        store.note("time", {"wall_s": 2.0})
    as_before_checksums(path)
    return path


def test_a_study_from_before_checksums_is_read_as_it_is(old):
    raw = old.read_bytes()
    with Store.read(old) as store:
        assert [r for _, r in store.records()] == [record("A"), record("B")]
        assert store.meta("sweep") == {"name": "old"} and store.meta("nothing") is None
        assert store.last_id() == 2 and not store.has_checksums
    assert old.read_bytes() == raw


def test_a_study_from_before_checksums_gains_them_when_it_is_written(old):
    with Store.append_to(old) as store:
        store.append(record("C"))
        assert store.has_checksums
    with Store.read(old) as store:
        assert [r.label for _, r in store.records()] == ["A", "B", "C"]
        assert store.notes("time") == {"time": {"wall_s": 2.0}}
    with Store.read(old.with_name("study.schema1.db")) as kept:
        assert [r.label for _, r in kept.records()] == ["A", "B"] and not kept.has_checksums
    with sqlite3.connect(old) as db:
        db.execute("UPDATE records SET payload = replace(payload, '1.5', '1.6') WHERE id = 1")
    db.close()
    with (
        Store.read(old) as store,
        pytest.raises(StoreError, match="record 1 is not what was written"),
    ):
        list(store.records())


def test_a_damaged_study_from_before_checksums_stays_as_it_is(old):
    with sqlite3.connect(old) as db:
        db.execute("DELETE FROM records WHERE id = 1")
    db.close()
    raw = old.read_bytes()
    with pytest.raises(StoreError, match="records 1 to 1 are missing"):
        Store.append_to(old)
    assert old.read_bytes() == raw


def test_what_is_set_aside_is_done_again_and_kept(path):
    with Store.create(path, sweep={}, environment={}) as store:
        store.append(record("A"))
        store.append(record("B", status="lost", error="gone"))
        assert store.set_aside(["oom"]) == 0 and store.meta("retries") is None
        assert store.set_aside(["lost", "oom"]) == 1
        assert [r.label for _, r in store.records()] == ["A"] and store.last_id() == 1
        again = store.append(record("B"))
        assert again == 3  # no number stands for two records
    with Store.read(path) as store:
        assert [(i, r.status) for i, r in store.records()] == [(1, "complete"), (3, "complete")]
        assert [(i, r.error) for i, r in store.records_set_aside()] == [(2, "gone")]
        assert [(r["statuses"], r["records"]) for r in store.meta("retries")] == [
            (["lost", "oom"], 1)
        ]


def test_values_that_sqlite_rounds_verify(path):
    odd = record("Ω\x1f\U0001f600", seconds=-0.0, started=1e300, seed=-(2**63), budget=12)
    with Store.create(path, sweep={}, environment={}) as store:
        store.append(odd)
    with Store.read(path) as store:
        assert [r for _, r in store.records()] == [odd]


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(path):
    script = (
        "import resource, sys, pathlib\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_store import record\n"
        "from evnas.store import Store\n"
        "from evnas.errors import StoreError\n"
        "with Store.create(pathlib.Path(sys.argv[1]), sweep={}, environment={}) as store:\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "    try:\n"
        "        for i in range(10**6):\n"
        "            store.append(record(str(i)))\n"
        "            print(i, flush=True)\n"
        "    except StoreError as e:\n"
        "        print(e)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
    )
    *said, sentence = ended.stdout.splitlines()
    assert ended.returncode == 0 and not ended.stderr
    assert "the disk lets it not be written" in sentence or "the disk is full" in sentence
    with Store.append_to(path) as store:
        assert [r.label for _, r in store.records()] == said
        store.append(record("more"))


@pytest.mark.skipif(os.getuid() != 0, reason="a small disk needs the right to mount one")
def test_a_disk_without_room_says_how_much_is_needed(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "small", str(small)]).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        with (
            Store.create(small / "study.db", sweep={}, environment={}) as store,
            pytest.raises(StoreError, match=r"the disk is full: [\d,]+ bytes are free and about"),
        ):
            for i in range(10_000):
                store.append(record(str(i)))
        with Store.read(small / "study.db") as store:
            assert [r.label for _, r in store.records()] == [str(n) for n in range(i)]
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
