"""Trains in children of this process and kills them at random instants, time and again.

python kill_often.py DATA OUTPUT KILLS: prints how many were killed before one came to the end.
Torch is loaded once; it has started no threads when the children are forked.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from tiny_training import tiny_config

from evnas.train.training import train

torch.set_num_threads(1)
data, output, kills = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
# a checkpoint after every step, so that kills fall within writing as well
config = tiny_config(data, output, recipe={"epochs": 9}, checkpoint_minutes=1e-9, keep=2)
draw = random.Random(5)


def child() -> int:
    """Start a training; its process."""
    pid = os.fork()
    if pid == 0:
        train(config)
        os._exit(0)
    return pid


def ended(pid: int, within_s: float) -> bool:
    """Whether it came to its end by then."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    return False


began = time.monotonic()
pid = child()
os.waitpid(pid, 0)
whole_s = time.monotonic() - began  # an unbroken run, for scale
curve = (output / "curve.json").read_text()
os.rename(output, output.with_name("unbroken"))
killed = 0
while True:
    pid = child()
    if killed < kills and not ended(pid, draw.uniform(0.02, 0.25) * whole_s):
        os.kill(pid, signal.SIGKILL)
        killed += 1
        os.waitpid(pid, 0)
        continue
    if killed < kills:
        break
    assert os.waitpid(pid, 0)[1] == 0
    break
assert (output / "curve.json").read_text() == curve
print(killed)
