"""Checkpoints and weights with flipped bytes, wiped blocks and cut ends: a sentence or the same
tensors, never others."""

import random
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from damage import cut, flipped, swapped, wiped
from fault_counts import Cases
from tiny_training import tiny_arch

from evnas.blocks.official import read_checkpoint
from evnas.errors import DataError
from evnas.proxy import checkpoint as of_proxy
from evnas.proxy.handed_down import Lineage, Weights
from evnas.train import checkpoint as of_training

WAYS = (flipped, flipped, flipped, cut, partial(wiped, size=64), partial(swapped, size=64))
IDENTITY = {"seed": 0, "budget.lr": 2e-3}


def tensors() -> dict[str, torch.Tensor]:
    """Some, of several sizes: a file has pages of weights alone, and pages of their names."""
    draw = torch.Generator().manual_seed(0)
    return {f"stages.{i}.weight": torch.randn(7 * 4**i, 5, generator=draw) for i in range(4)}


def training() -> dict[str, Any]:
    """What `evnas train` writes, as far as it is read again."""
    plain = {"recipe": {"epochs": 3}, "recipe_name": "made", "epoch": 2, "metrics": {"top1": 7.5}}
    data = {"classes": ["a", "b"], "resolution": 16, "crop_fraction": 0.9, "origin": {}}
    data |= {"interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.25] * 3, "format": 1}
    return plain | data | {"arch": tiny_arch().to_dict(), "model": tensors(), "progress": {"n": 1}}


def of_a_training(path: Path) -> Any:
    held = of_training.load_checkpoint(path)
    return {name: getattr(held, name) for name in type(held).__slots__ if name != "path"}


def newest_of_a_training(path: Path) -> Any:
    """As `evnas train` goes on; the file lies where it looks for it."""
    place = path.parent / of_training.FOLDER / of_training.checkpoint_name(2, 0)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(path.read_bytes())
    found = of_training.newest_whole(path.parent, lambda said: None)
    assert found is not None
    return found[1]


def handed_down(path: Path) -> Any:
    held = Weights.load(path, whose="parent 1f718ccb763e")
    return {"arch": held.arch, "state": held.state, "lineage": held.lineage}


def of_a_proxy(path: Path) -> Any:
    return of_proxy.load(path, IDENTITY, device=torch.device("cpu"))


def write_handed_down(path: Path) -> None:
    lineage = Lineage(digests=("1f718ccb763e",), presentations=64.0)
    Weights(arch=tiny_arch().to_dict(), state=tensors(), lineage=lineage).save(path)


KINDS: dict[str, tuple[Callable[[Path], object], Callable[[Path], Any]]] = {
    "a training's weights": (lambda p: of_training.save(p, training()), of_a_training),
    "a training's checkpoint": (lambda p: of_training.save(p, training()), newest_of_a_training),
    "released weights": (lambda p: torch.save({"model": tensors()}, p), read_checkpoint),
    "weights handed down": (write_handed_down, handed_down),
    "a proxy's checkpoint": (
        lambda p: of_proxy.save(p, {"identity": IDENTITY, "model": tensors(), "steps": 3}),
        of_a_proxy,
    ),
}
"""Name -> how a file is written, and how it is read."""


def same(one: Any, other: Any) -> bool:
    """Whether two things are equal, tensors to the last bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_of_a_damaged_file_is_the_truth_or_a_sentence(
    kind: str, tmp_path: Path, cases: Cases
) -> None:
    write, read = KINDS[kind]
    path = tmp_path / "file.pt"
    write(path)
    raw, truth = path.read_bytes(), read(path)
    ends: Counter[str] = Counter()
    for seed in cases(60, 500, minutes=0.5):
        rng = random.Random(f"{kind} {seed}")
        path.write_bytes(rng.choice(WAYS)(raw, rng))
        try:
            assert same(read(path), truth), seed
            ends["the truth"] += 1
        except DataError as e:
            assert str(tmp_path) in str(e) and "\n" not in str(e), seed
            ends["a sentence"] += 1
    assert ends["a sentence"] > ends["the truth"] / 4, ends  # else nothing was damaged


def test_each_bit_that_tells_where_tensors_lie_counts(tmp_path: Path, cases: Cases) -> None:
    """Torch reads by them, and would take a tensor for an empty one."""
    write, read = KINDS["weights handed down"]
    path = tmp_path / "file.pt"
    write(path)
    raw, truth = path.read_bytes(), read(path)
    bits = [(at, 1 << bit) for at in outside_of_members(path, raw) for bit in range(8)]
    random.Random(0).shuffle(bits)
    for number in cases(200, len(bits), minutes=1):
        at, bit = bits[number]
        path.write_bytes(raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :])
        try:
            assert same(read(path), truth), (at, bit)
        except DataError as e:
            assert str(path) in str(e), (at, bit)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_that_is_called_a_folder_is_damage(kind: str, tmp_path: Path) -> None:
    """One bit of a file's attributes; torch reads an empty tensor then, of whatever was there."""
    write, read = KINDS[kind]
    path = tmp_path / "file.pt"
    write(path)
    raw = path.read_bytes()
    begins = raw.rindex(b"PK\x01\x02", 0, raw.rindex(b"/data/"))
    path.write_bytes(raw[: begins + 38] + bytes([raw[begins + 38] | 0x10]) + raw[begins + 39 :])
    with pytest.raises(DataError, match="damaged"):
        read(path)


def outside_of_members(path: Path, raw: bytes) -> list[int]:
    """Places in an archive that hold no content: headers, names, the directory."""
    inside: set[int] = set()
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            lengths = raw[member.header_offset + 26 : member.header_offset + 30]
            name, extra = struct.unpack("<HH", lengths)
            begins = member.header_offset + 30 + name + extra
            inside |= set(range(begins, begins + member.file_size))
    return [at for at in range(len(raw)) if at not in inside]
