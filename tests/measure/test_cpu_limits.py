"""What a process may use of the CPU, read from made-up /proc and /sys."""

import os
from pathlib import Path

import pytest
import torch

from evnas.measure.timing import cpu_limits
from evnas.measure.timing.conditions import sentences_about
from evnas.measure.timing.cpu_limits import (
    cpu_quota,
    governors,
    heed_quota,
    physical_cores,
    throttled_periods,
    usable_cores,
)
from evnas.measure.timing.noise_monitor import running_others


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def made(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


V2 = {"proc/self/cgroup": "0::/pods/mine", "sys/fs/cgroup/cpu.stat": "usage_usec 7"}
V1 = {
    "proc/self/cgroup": "9:name=systemd:/\n1:cpu,cpuacct:/docker/abc\n0::/",
    "sys/fs/cgroup/cpu,cpuacct/cpu.shares": "1024",
}


@pytest.mark.parametrize(
    ("files", "quota", "cores"),
    [
        ({}, None, 8),
        (V2 | {"sys/fs/cgroup/pods/mine/cpu.max": "max 100000"}, None, 8),
        (V2 | {"sys/fs/cgroup/pods/mine/cpu.max": "250000 100000"}, 2.5, 2),
        (V2 | {"sys/fs/cgroup/pods/mine/cpu.max": "50000 100000"}, 0.5, 1),
        (  # the tightest of those around it
            V2
            | {
                "sys/fs/cgroup/pods/mine/cpu.max": "600000 100000",
                "sys/fs/cgroup/pods/cpu.max": "400000 100000",
            },
            4.0,
            4,
        ),
        (V2 | {"sys/fs/cgroup/cpu.max": "300000 100000"}, 3.0, 3),  # a container's own mount
        (V2 | {"sys/fs/cgroup/cpu.max": "9900000 100000"}, 99.0, 8),
        (
            V1
            | {
                "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "150000",
                "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000",
            },
            1.5,
            1,
        ),
        (
            V1
            | {
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
            },
            None,
            8,
        ),
    ],
)
def test_the_quota_is_that_of_the_tightest_cgroup(files, quota, cores, tmp_path):
    root = made(tmp_path, files)
    assert cpu_quota(root) == quota
    assert usable_cores(root) == cores


def test_torch_takes_no_more_threads_than_the_quota_unless_told(tmp_path, monkeypatch):
    for name in cpu_limits.OWN_CHOICE:
        monkeypatch.delenv(name, raising=False)
    took: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: took[-1] if took else 8)
    monkeypatch.setattr(torch, "set_num_threads", took.append)
    root = made(tmp_path, V2 | {"sys/fs/cgroup/cpu.max": "250000 100000"})
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert heed_quota(root) == 8 and not took
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert heed_quota(root) == 2
    assert heed_quota(root) == 2 and took == [2]


def test_periods_that_ran_into_the_quota_are_counted_in_both_versions(tmp_path):
    stat = "nr_periods 10\nnr_throttled 4\nthrottled_usec 5"
    assert throttled_periods(made(tmp_path / "2", V2 | {"sys/fs/cgroup/cpu.stat": stat})) == 4
    old = V1 | {"sys/fs/cgroup/cpu,cpuacct/cpu.stat": stat}
    assert throttled_periods(made(tmp_path / "1", old)) == 4
    assert throttled_periods(tmp_path / "none") == 0


def test_siblings_and_governors(tmp_path):
    cpu = "sys/devices/system/cpu/cpu{}/{}"
    siblings = {
        cpu.format(i, "topology/thread_siblings_list"): f"{i % 4},{i % 4 + 4}" for i in range(8)
    }
    root = made(tmp_path, siblings)
    assert physical_cores(root) == 4
    assert governors(root) == []
    made(root, {cpu.format(i, "cpufreq/scaling_governor"): "powersave" for i in (0, 1)})
    assert governors(root) == ["powersave"]
    assert physical_cores(tmp_path / "unknown") is None


def test_what_makes_a_speed_doubtful_is_said():
    quiet = {"threads": 2, "quota": 2.0, "physical": 2, "governors": ["performance"]}
    assert sentences_about(**quiet) == []
    said = sentences_about(threads=8, quota=2.5, physical=4, governors=["powersave"])
    assert [text.split(",")[0] for text in said] == [
        "8 threads share a quota of 2.5 cores",
        "8 threads share 4 cores: some are siblings on one core",
        "the frequency governor is powersave",
    ]
    assert sentences_about(threads=8, quota=None, physical=None, governors=[]) == []


def test_others_that_run_are_named(tmp_path):
    root = made(
        tmp_path,
        {
            "proc/11/stat": "11 (cc1 (plus)) R 1 11",
            "proc/12/stat": "12 (sleep) S 1 12",
            f"proc/{os.getpid()}/stat": f"{os.getpid()} (pytest) R 1 1",
            "proc/self/stat": "1 (x) R",
        },
    )
    assert running_others(root) == ["cc1 (plus)"]
