"""Targets as `evnas bench --target` is given them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from evnas.errors import SpecError, nearest
from evnas.files import expanded
from evnas.sweep.parts import is_openvino_device
from evnas.tables import RUNTIMES

DEVICES = ("auto", "cpu", "cuda")
"""Kinds of device; one of several is `cuda:N`."""


def target_fields(text: str, usual: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a `TargetSpec`.

    Args:
        text: the name of a runtime or a device; `key=value,key=value`; a YAML file that holds a
            mapping; "" for what the other options say.
        usual: what the other options say, for keys that the text leaves open.

    Raises:
        SpecError: it is none of these, or the file does not hold a mapping.
    """
    said = _said(text)
    if said.get("kind") == "command":  # what runs here is none of its affair
        usual = {key: value for key, value in usual.items() if key not in ("device", "runtime")}
    return {**usual, **said}


def _said(text: str) -> dict[str, Any]:
    if not text:
        return {}
    if text.endswith((".yaml", ".yml")):
        return _of_file(expanded(text))
    if "=" not in text:
        return _of_word(text)
    pairs = [part.partition("=") for part in text.split(",")]
    broken = [key for key, equals, _ in pairs if not equals]
    if broken:
        raise SpecError(f"--target must be KEY=VALUE,KEY=VALUE, got {broken[0]!r} in {text!r}")
    return {key.strip(): yaml.safe_load(value) for key, _, value in pairs}


def _of_word(text: str) -> dict[str, Any]:
    if text in RUNTIMES:
        return {"runtime": text}
    if text.partition(":")[0] in DEVICES:
        return {"device": text}
    if is_openvino_device(text):
        return {"device": text, "runtime": "openvino"}
    known = [*RUNTIMES, *DEVICES]
    raise SpecError(
        "--target must be a runtime, a device, KEY=VALUE,KEY=VALUE or a YAML file "
        f"({', '.join(known)}), got {text!r}{nearest(text, known)}"
    )


def _of_file(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as e:
        raise SpecError(f"{path}: must be a readable YAML file of one target ({e})") from None
    if not isinstance(found, dict):
        raise SpecError(f"{path}: must hold the keys of one target, got {type(found).__name__}")
    return found
