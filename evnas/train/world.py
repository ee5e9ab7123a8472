"""The processes of one training: one, or as many as `torchrun` started."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from evnas.errors import SpecError


@dataclass(frozen=True, slots=True)
class World:
    """This process among those of the training."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes and talks."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            moved = values.to(self.device)
            dist.all_reduce(moved)
            values.copy_(moved)
        return values

    def average_together(self, tensors: Sequence[Tensor], numbers: Tensor) -> Tensor:
        """Tensors averaged over all processes in place, and the numbers' averages, at one go.

        Args:
            tensors: of floats, on the device.
            numbers: (n,) float32, on the device.
        """
        if self.size == 1:
            return numbers
        flat = torch.cat([*(t.detach().reshape(-1).float() for t in tensors), numbers])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for tensor in tensors:
            part = flat[start : start + tensor.numel()]
            tensor.detach().copy_(part.view_as(tensor))
            start += tensor.numel()
        return flat[start:]

    def gathered(self, names: set[str]) -> set[str]:
        """What any process has."""
        if self.size == 1:
            return names
        found: list[set[str] | None] = [None] * self.size
        dist.all_gather_object(found, names)
        return set[str]().union(*(part for part in found if part))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(device: str) -> Iterator[World]:
    """The world that `torchrun` describes in the environment, or this process alone.

    Args:
        device: cpu, cuda or cuda:N; below torchrun with cuda, each process takes that of its
            local rank.

    Raises:
        SpecError: more processes than GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        yield World(0, 1, torch.device(device))
        return
    on_gpu = torch.device(device).type == "cuda"
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if on_gpu and local >= torch.cuda.device_count():
        raise SpecError(
            f"torchrun must start at most a process a GPU, {torch.cuda.device_count()} here, got "
            f"local rank {local}; lower --nproc-per-node, or name --device cpu"
        )
    own = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), own)
    finally:
        dist.destroy_process_group()
