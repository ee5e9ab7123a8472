"""Whether a sweep is writing a study now, told without touching its lock."""

from pathlib import Path


def is_running(store: Path, *, locks: Path = Path("/proc/locks")) -> bool:
    """Whether some process holds the study's writer lock.

    Taking the lock to try it would refuse a sweep that starts at that moment, so the kernel's list
    is read instead; where there is none (not Linux), no study counts as running.
    """
    try:
        inode = store.with_suffix(".lock").stat().st_ino
        lines = locks.read_text().splitlines()
    except OSError:
        return False
    return any(
        fields[1:3] != ["->", "FLOCK"] and "FLOCK" in fields and fields[-3].endswith(f":{inode}")
        for fields in (line.split() for line in lines)
        if len(fields) >= 8
    )
