"""A plan that is kept beside its study, or where its study will be, for the dashboard."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from evnas.errors import StoreError
from evnas.files import write_whole

PLAN = "sweep.plan.json"
"""In a study's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPlan:
    """What `evnas plan` said at one moment."""

    plan: Mapping[str, Any]
    """What `evnas plan --json` prints."""
    command: str
    """That starts the sweep."""
    sweep: Mapping[str, Any]
    """The resolved sweep."""
    made: float
    """Seconds since the epoch."""

    def write(self, folder: Path) -> Path:
        """Keep it in a study's folder, which is made where it is not there yet."""
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / PLAN, json.dumps(asdict(self)))
        return folder / PLAN

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The plan that is kept in a folder.

        Raises:
            StoreError: the file cannot be read, or is no plan.
        """
        path = folder / PLAN
        try:
            raw = json.loads(path.read_bytes())
            plan = raw["plan"]
            checked = {"trials": int(plan["trials"]), "seconds": float(plan["seconds"])}
            return cls(
                plan={**plan, **checked, "steps": list(plan["steps"])},
                command=str(raw["command"]),
                sweep=dict(raw["sweep"]),
                made=float(raw["made"]),
            )
        except OSError as e:
            raise StoreError(f"{path}: must be a file that can be read ({e.strerror})") from e
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            raise StoreError(
                f"{path}: must be a plan as `evnas plan --keep` writes it; write it again"
            ) from e
