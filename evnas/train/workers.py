"""How many processes load images where nobody says."""

import os

from evnas.measure.timing.cpu_limits import usable_cores

MOST = 8
"""Beyond that a device rarely waits for images."""


def image_workers(asked: int | None) -> int:
    """Loaders of one device: as asked, else a share of the cores that this process may run on.

    Below `torchrun` the processes of a machine share its cores.
    """
    if asked is not None:
        return asked
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(MOST, usable_cores() // processes))
