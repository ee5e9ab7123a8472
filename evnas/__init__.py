"""evnas: architecture search and ablation sweeps over efficient vision state-space backbones.

Importing this loads neither torch nor anything heavy; the names below load on first use.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "ArchSpec": "evnas.space.arch",
    "build": "evnas.blocks.backbone",
    "deploy": "evnas.blocks.deploy",
    "load_official": "evnas.blocks.official",
    "load_state": "evnas.blocks.official",
    "to_official": "evnas.blocks.official",
    "register_timm": "evnas.blocks.timm_models",
    "load_study": "evnas.report.notebook.study",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'evnas' has no attribute {name!r}")
