"""Work that ends badly is tried again as often as the file says for its kind of end."""

from typing import Any

import pytest

from evnas.errors import SpecError
from evnas.phases.work import Event, Finished, Progress, Work
from evnas.record import Record, Status
from evnas.search.engines.retrying import RetryingEngine
from evnas.sweep.sweep import sweep_of

WORK = Work(label="A", digest="d", arch={}, phase="count")
FILE = {"name": "s", "base": "efficientvim_m1", "rows": {"A": {}}, "targets": []}


class Scripted:
    """Its work ends as it is told, one end after the other."""

    slots = 1

    def __init__(self, *ends: Status) -> None:
        self.ends = list(ends)
        self.work: list[Work] = []

    def submit(self, work: Work) -> None:
        self.work.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        work, status = self.work.pop(), self.ends.pop(0)
        error = "" if status == "complete" else f"Traceback\nit was {status}"
        record = work.record(status, error=error, started=100.0 - len(self.ends), seconds=2.0)
        return [Progress(work, 0.5), Finished(work, record, 1.0)]

    def close(self) -> None:
        pass


def ended(retries: dict[str, int], *ends: Status) -> tuple[Record, float, list[str], Scripted]:
    """The record that comes out, its busy seconds, what was said before, and who did it."""
    inner = Scripted(*ends)
    engine = RetryingEngine(inner, retries)  # type: ignore[arg-type]
    engine.submit(WORK)
    said: list[str] = []
    while True:
        for event in engine.wait(0.0):
            if isinstance(event, Finished):
                return event.record, event.busy_s, said, inner
            if event.text:
                said.append(event.text)


def test_each_kind_of_end_has_tries_of_its_own() -> None:
    record, busy_s, said, inner = ended(
        {"timeout": 1, "lost": 2}, "lost", "timeout", "lost", "complete"
    )
    assert record.status == "complete" and not inner.ends
    assert said == [f"again: it ended {s} (it was {s})" for s in ("lost", "timeout", "lost")]
    tries = record.details["earlier_tries"]
    assert [t["status"] for t in tries] == ["lost", "timeout", "lost"]
    assert record.seconds == 8.0 and busy_s == 4.0  # a budget of device minutes pays for all
    assert record.started == 97.0


@pytest.mark.parametrize("end", ["timeout", "oom", "failed", "lost", "diverged", "infeasible"])
def test_what_no_try_mends_ends_as_its_last_try(end: Status) -> None:
    retries = {"timeout": 1, "oom": 1, "failed": 1, "lost": 1}
    record, _, _, inner = ended(retries, end, end, "complete")
    assert record.status == end
    assert len(inner.ends) == (1 if end in retries else 2)


def test_the_next_work_has_all_its_tries() -> None:
    inner = Scripted("failed", "failed", "failed", "complete")
    engine = RetryingEngine(inner, {"failed": 1})
    engine.submit(WORK)
    for _ in range(2):
        found = engine.wait(0.0)[-1]
    assert isinstance(found, Finished) and found.record.status == "failed"
    engine.submit(WORK)
    for _ in range(2):
        found = engine.wait(0.0)[-1]
    assert isinstance(found, Finished) and found.record.status == "complete"


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ({"retries": {"late": 1}}, "failures.retries.late"),
        ({"retries": {"lost": -1}}, "failures.retries.lost: must be at least 0"),
        ({"stop_after": 0}, "failures.stop_after: must be at least 1"),
    ],
)
def test_policies_that_cannot_hold_are_a_sentence(failures: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        sweep_of(FILE | {"failures": failures})


def test_policies_are_free_to_change() -> None:
    changed = FILE | {"failures": {"retries": {"timeout": 3}, "stop_after": None}}
    assert sweep_of(changed).identity() == sweep_of(FILE).identity()
    halves = sweep_of(FILE | {"proxy": {"halve_batch": True}})
    assert halves.identity() != sweep_of(FILE | {"proxy": {}}).identity()
    assert "halve_batch" not in sweep_of(FILE | {"proxy": {}}).identity()["proxy"]
