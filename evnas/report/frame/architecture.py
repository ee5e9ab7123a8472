"""An architecture's plain form as the report shows it: short texts, and a picture by stage.

It reads plain data, not an ArchSpec, since a peer from timm has none and validating 100,000
architectures again would take minutes.
"""

from collections.abc import Mapping
from typing import Any

from evnas.mixers import MIXERS

_ALWAYS_TOLD = ("states", "heads", "d_state")


def summarize(arch: Mapping[str, Any]) -> dict[str, str]:
    """`mixers`, `blocks`, `dims` and `depths` in a few characters each."""
    if "timm" in arch:
        return {"mixers": "timm", "blocks": "", "dims": "", "depths": ""}
    list_stages = arch.get("stages", [])
    return {
        "mixers": _gathered([(s.get("mixer") or {}).get("kind", "none") for s in list_stages]),
        "blocks": _gathered([str(s.get("block")) for s in list_stages]),
        "dims": "-".join(str(s.get("dim")) for s in list_stages),
        "depths": "-".join(str(s.get("depth")) for s in list_stages),
    }


def _gathered(names: list[str]) -> str:
    """One name when all stages agree, else a name per stage."""
    return names[0] if len(set(names)) == 1 else " · ".join(names)


def _telling(kind: str, knobs: Mapping[str, Any]) -> list[str]:
    """The knobs worth a place in a small picture: the size ones, and what is not as usual."""
    known = MIXERS.usable().get(kind)
    usual = {} if known is None else known.fields()
    return [n for n, v in knobs.items() if n in _ALWAYS_TOLD or v != usual.get(n)]


def spelt(name: str, value: Any) -> str:
    """A knob in words: `heads 4`, `expand 0.5`, `no gate`."""
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def list_stages(arch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a stage for the picture: `depth`, `dim`, `block`, `mixer` and the mixer's knobs."""
    rows = []
    for stage in arch.get("stages", []):
        mixer = dict(stage.get("mixer") or {"kind": "none"})
        kind = mixer.pop("kind", "none")
        knobs = ", ".join(spelt(name, mixer[name]) for name in _telling(kind, mixer))
        rows.append(
            {
                "depth": stage.get("depth", 0),
                "dim": stage.get("dim", 0),
                "block": stage.get("block", ""),
                "mixer": kind,
                "knobs": knobs,
                "mlp_ratio": stage.get("mlp_ratio", 0),
            }
        )
    return rows
