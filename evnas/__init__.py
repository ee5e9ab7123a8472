"""evnas: architecture search and ablation sweeps over efficient vision state-space backbones.

Importing this loads neither torch nor anything heavy; the names below load on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evnas.api import bench as bench
    from evnas.api import count as count
    from evnas.api import run as run
    from evnas.api import search as search
    from evnas.arch.spec import ArchSpec as ArchSpec
    from evnas.blocks.backbone import build as build
    from evnas.blocks.deploy import deploy as deploy
    from evnas.blocks.official import load_official as load_official
    from evnas.blocks.official import load_state as load_state
    from evnas.blocks.official import to_official as to_official
    from evnas.blocks.timm_models import register_timm as register_timm
    from evnas.errors import EvnasError as EvnasError
    from evnas.proxy.torch_data import add_dataset as add_dataset
    from evnas.report.notebook.study import Study as Study
    from evnas.report.notebook.study import load_study as load_study
    from evnas.sweep.sweep import load_sweep as load_sweep

__version__ = "0.1.0"

_PUBLIC = {
    "ArchSpec": "evnas.arch.spec",
    "EvnasError": "evnas.errors",
    "Study": "evnas.report.notebook.study",
    "add_dataset": "evnas.proxy.torch_data",
    "bench": "evnas.api",
    "build": "evnas.blocks.backbone",
    "count": "evnas.api",
    "deploy": "evnas.blocks.deploy",
    "load_official": "evnas.blocks.official",
    "load_state": "evnas.blocks.official",
    "load_study": "evnas.report.notebook.study",
    "load_sweep": "evnas.sweep.sweep",
    "register_timm": "evnas.blocks.timm_models",
    "run": "evnas.api",
    "search": "evnas.api",
    "to_official": "evnas.blocks.official",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'evnas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
