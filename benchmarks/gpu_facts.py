"""Device, versions, and what cannot be imported here, as one line of JSON.

python benchmarks/gpu_facts.py MODULE...
"""

import importlib
import json
import platform
import sys
from typing import Any


def missing(modules: list[str]) -> dict[str, str]:
    """Module -> why it cannot be imported."""
    found = {}
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a broken package raises is what is asked for
            found[name] = f"{type(error).__name__}: {error}"
    return found


def main() -> None:
    """Print the facts."""
    absent = missing(sys.argv[1:])
    found: dict[str, Any] = {"missing": absent, "device": "", "versions": {}}
    if not absent:
        import torch

        from evnas.measure.timing.conditions import gpu_facts, versions

        found["versions"] = {"python": platform.python_version(), **versions()}
        if torch.cuda.is_available():
            found["device"] = torch.cuda.get_device_name()
            found["gpus"] = gpu_facts()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
