"""What stands above figures that are weaker than they look."""

from collections.abc import Sequence
from typing import Any

import pytest

from evnas.record import Measurement, Record
from evnas.report.table.cautions import about_speeds, spoilers


def speed(label: str, *, warnings: Sequence[str] = (), rounds: int = 9, **more: Any) -> Record:
    conditions = {"warnings": list(warnings), **more}
    ratio = Measurement("throughput_ratio", (1.0,) * rounds, conditions)
    return Record(
        label=label,
        digest=label,
        arch={},
        phase="speed",
        status="complete",
        measurements={"throughput_ratio": ratio},
        details={"conditions": conditions},
    )


def test_what_spoiled_kept_rounds_is_named_once_a_kind():
    warned = "rounds kept although spoiled"
    twice = "foreign load of 83% of the CPU (cc1); foreign load of 9% of the CPU"
    noisy = [
        speed("A", warnings=[f"2 of 9 {warned}: {twice}"]),
        speed("B", warnings=[f"1 of 9 {warned}: 12% of the CPU stolen by the hypervisor"]),
        speed("C", warnings=["the warm-up did not settle within its time"]),
    ]
    assert about_speeds(noisy) == [
        "not quiet: 2 of 3 speeds keep rounds that something else on the machine disturbed: "
        "foreign load, the CPU stolen by the hypervisor"
    ]


def test_the_cpu_s_own_state_is_said_once():
    said = "the frequency governor is powersave, so the clock follows the load"
    assert about_speeds([speed("A", cpu=[said]), speed("B", cpu=[said])]) == [said]


def test_one_given_up_beyond_a_limit_has_not_too_few_rounds():
    (text,) = about_speeds([speed("A", rounds=4), speed("B", rounds=4, beyond_a_limit=True)])
    assert text.startswith("fewer than 5 rounds: A; ")


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ("foreign load of 83% of the CPU (cc1, python)", "foreign load"),
        ("12% of the CPU stolen by the hypervisor", "the CPU stolen by the hypervisor"),
        ("the CPU quota throttled this process", "the CPU quota throttled this process"),
        ("the clock moved from 2000 to 2400 MHz", "the clock moved"),
        (
            "samples of one forward 45% apart in one round",
            "samples of one forward apart in one round",
        ),
        ("2 foreign processes on the GPU", "foreign processes on the GPU"),
    ],
)
def test_spoilers_are_counted_by_kind(why: str, kind: str):
    again = {"retaken": [{"why": why}, {"why": why}]}
    assert spoilers([again, {}]) == f"rounds taken again, and what spoiled them: {kind} (2)"
