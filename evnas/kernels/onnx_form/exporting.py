"""Whether an ONNX graph is being traced, where operators take the form that such a graph holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch

_OWN_NODES: ContextVar[Literal["fixed sides", "open sides"] | None] = ContextVar(
    "own nodes", default=None
)


def exporting() -> bool:
    """Whether torch's ONNX exporter follows."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is None:
        return False  # in eager mode at next to no cost
    return torch.onnx.is_in_onnx_export()


@contextmanager
def own_nodes(*, sides_fixed: bool = False) -> Iterator[None]:
    """Scans may be nodes of our domain, which `nodes.without_own_nodes` then replaces.

    `sides_fixed` tells, as no tracer does, that maps will be no larger or smaller than they are.

    Whoever else exports (timm's script, a user's own call) would be left with a file that no
    runtime reads: there a scan is as many nodes as it has steps.
    """
    token = _OWN_NODES.set("fixed sides" if sides_fixed else "open sides")
    try:
        yield
    finally:
        _OWN_NODES.reset(token)


def as_one_node() -> bool:
    """Whether a scan is to be a node of ours."""
    return exporting() and _OWN_NODES.get() is not None


def sides_are_fixed() -> bool:
    """Whether the sides of maps, as they are now, may be written into the graph."""
    return _OWN_NODES.get() == "fixed sides"
