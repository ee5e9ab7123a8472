"""Sweep files and `--set` texts with faults put in: valid, or a sentence with its place; no
traceback, and nothing that takes long."""

import contextlib
import io
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_counts import Cases

from evnas.arch.paths import leaves, spell
from evnas.commands.check import check
from evnas.errors import EvnasError
from evnas.sweep.sweep import load_sweep

SWEEPS = Path(__file__).parents[2] / "sweeps"
LONGEST_S = 2.0
"""Of processor time."""
WORDS = (
    ".inf -.inf .nan -1 -3 0 1e400 1e308 1e-320 -0.0 0x10 010 1:30 ~ '' {} [] [[]] *a yes true '='"
    " 2026-11-29 stages[0].dim none auto é <<:1 99999999999999999"
)
VALUES = (
    *WORDS.split(), "9" * 30, "9" * 5000, '"\\uD800"', '"\\0"', "{a: 1}", "!!int abc", "!!float x",
    "!!timestamp 2020-99-99", "!!binary a", "!!python/object:os.system a", "!!set {a}", "&a [*a]",
    "<<: 1", "? x", "x" * 3000, "[" * 500, "{a: " * 200, "\u0000", "\u2028", "\ufeff", "- 1",
    "'\U0001f600'", "|\n  text", "params_m <= 1e400", "'\"a\" * 10**12 == 1'", "'%999999999d'",
)  # fmt: skip
"""What is put in the place of a value."""
CONDITIONS = (
    "'x' * 999999999 == 'a'", "'%999999999d' % 1 == 'a'", "stages[*].dim * 99999999 == 1",
    "9" * 5000 + " > 1", "1e400 > 1", "-" * 1500 + "1 < 2", "(" * 300 + "1" + ")" * 300 + " < 2",
    "not " * 400 + "1 < 2", "1 < 2 < " * 200 + "3", "1e308 * " * 200 + "1 > 2",
    "1.7e-308 * " * 150 + "1 > 2", "stages[::0].dim == 1", "stages['a'].dim == 1", "len(5) > 1",
    "min() > 1", "abs(stages) > 1", "1 // 0 > 1", "1 % 0.0 > 1", "\x00 > 1", "lambda: 1", "a := 1",
    "__import__('os') == 1", "stages[0].__class__ == 1", "'\\d' == 1", "f'{1}' == 1", "b'a' == 1",
    "1j > 1", "sum([[1]]) > 1", "max('a', 1) > 1", "stages > 1", "stem < head", "'a' in 1",
    "stages[99999999999999999999].dim > 1", "stages[-99].dim > 1", "1 in stages", "... == 1",
    "1 < 2 < " * 190 + "stages[0].dim",
)  # fmt: skip


class TookLong(Exception):
    """More processor time than a person would wait."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """End what takes longer, counted by this process's own time."""

    def end(number: int, frame: object) -> None:
        raise TookLong

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def checked(path: Path, *overrides: str) -> str:
    """What `evnas check` says: "" of a file that is valid, else its sentence."""
    try:
        with within(LONGEST_S), contextlib.redirect_stdout(io.StringIO()):
            check(path, list(overrides), json=True)
    except EvnasError as e:
        return str(e)
    return ""


def other_byte(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]


def cut(raw: bytes, rng: random.Random) -> bytes:
    return raw[: rng.randrange(len(raw))]


def lines_moved(raw: bytes, rng: random.Random) -> bytes:
    lines = raw.split(b"\n")
    one, other = (rng.randrange(len(lines)) for _ in range(2))
    match rng.randrange(4):
        case 0:
            lines[one], lines[other] = lines[other], lines[one]
        case 1:
            lines.insert(one, lines[other])
        case 2:
            del lines[one]
        case 3:
            lines[one] = b" " * rng.randrange(9) + lines[one].lstrip()
    return b"\n".join(lines)


def other_value(raw: bytes, rng: random.Random) -> bytes:
    """A value in some line is another one."""
    lines = raw.split(b"\n")
    at = rng.choice([i for i, line in enumerate(lines) if b":" in line] or [0])
    key, _, _ = lines[at].rpartition(b":")
    lines[at] = key + b": " + rng.choice(VALUES).encode()
    return b"\n".join(lines)


def put_in(raw: bytes, rng: random.Random) -> bytes:
    """Something stands where it should not."""
    at = rng.randrange(len(raw))
    return raw[:at] + rng.choice(VALUES).encode() + raw[at:]


def other_number(raw: bytes, rng: random.Random) -> bytes:
    """A digit more, or another sign."""
    digits = [i for i, byte in enumerate(raw) if byte in b"0123456789"] or [0]
    at = rng.choice(digits)
    return raw[:at] + rng.choice((b"-", b"9" * 40, b"e9", b".", b"e400", b"0")) + raw[at:]


WAYS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    other_byte, cut, lines_moved, other_value, other_value, put_in, other_number,
)  # fmt: skip


@pytest.mark.parametrize("part", range(4))
def test_damaged_files_are_valid_or_a_sentence(tmp_path, part, cases: Cases):
    files = sorted(SWEEPS.glob("*.yaml"))
    path = tmp_path / "damaged.yaml"
    for seed in cases(240, 20_000, minutes=7, part=part, parts=4):
        rng = random.Random(f"file {seed}")
        raw = rng.choice(files).read_bytes()
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            raw = rng.choice(WAYS)(raw or b"a: 1\n", rng)
        path.write_bytes(raw)
        try:
            said = checked(path)
        except Exception as e:
            raise AssertionError(f"seed {seed}: {e!r}") from e
        assert not said or said.startswith(str(path)), f"seed {seed}: {said}"


@pytest.mark.parametrize("part", range(2))
def test_damaged_overrides_are_valid_or_a_sentence(part, cases: Cases):
    files = [SWEEPS / name for name in ("table_c.yaml", "search_cpu.yaml")]
    places = {
        file: [spell(place) for place, _ in leaves(load_sweep(file).spec.to_dict())]
        for file in files
    }
    for seed in cases(120, 5000, minutes=4, part=part, parts=2):
        rng = random.Random(f"set {seed}")
        file = rng.choice(files)
        path, value = rng.choice(places[file]), rng.choice((*VALUES, *CONDITIONS))
        text = f"{path}={value}".encode()
        if rng.random() < 0.5:
            text = rng.choice((other_byte, cut, put_in, other_number))(text + b"0", rng)
        try:
            said = checked(file, text.decode("utf-8", "surrogateescape"))
        except Exception as e:
            raise AssertionError(f"seed {seed}: {text[:200]!r}: {e!r}") from e
        assert not said or "--set" in said or str(file) in said, f"seed {seed}: {said}"


@pytest.mark.parametrize("condition", CONDITIONS, ids=range(len(CONDITIONS)))
def test_conditions_are_worked_out_at_once_or_refused(tmp_path, condition):
    text = (SWEEPS / "search_cpu.yaml").read_text()
    path = tmp_path / "s.yaml"
    said = checked(SWEEPS / "search_cpu.yaml", f"space.require=[{quoted(condition)}]")
    assert "--set" in said or not said, said
    path.write_text(f"{text}\nconstraints: [{quoted(condition)}]\n")
    assert str(path) in checked(path) or not checked(path)


def quoted(text: str) -> str:
    """A text as YAML takes it; what it cannot hold is left for it to refuse."""
    return "'" + text.replace("'", "''") + "'"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seeds: [100000000000000000000000000000]", ":4: seeds[0]: must be a whole number of at"),
        ("engine: {workers: 0}", ":4: engine.workers: must be at least 1"),
        ("engine: {workers: -3}", ":4: engine.workers: must be at least 1"),
        ("engine: {timeout_s: 1e300}", ":4: engine.timeout_s: must be at most"),
        ("targets: [{budget_s: .inf}]", ":4: targets[0].budget_s: must be a finite number"),
        ("targets: [{budget_s: 1e300}]", ":4: targets[0].budget_s: must be at most"),
        ('title: "\\uD800"', ":4: title: must be Unicode text, got half a character"),
        ("title: !!timestamp 2020-99-99", ":4: title: must have no tag !!timestamp"),
        ("proxy: {lr: 1e400}", ":4: proxy.lr: must be a finite number"),
        ("proxy: {epochs: 99999999999}", ":4: proxy.epochs: must be at most"),
    ],
)
def test_what_could_not_begin_is_not_valid(tmp_path, text, said):
    path = tmp_path / "s.yaml"
    path.write_text(f"name: x\nbase: efficientvim_m2\nrows: {{A: {{}}}}\n{text}\n")
    assert f"{path}{said}" in checked(path)


def test_a_file_that_is_not_utf_8_is_named_with_the_place_of_its_byte(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_bytes(b"name: x\ntitle: caf\xe9\n")
    assert f"{path}:2: must be YAML in UTF-8, got byte 0xe9 at offset 18" in checked(path)


def test_a_file_without_end_is_refused():
    assert "must be a YAML file of at most" in checked(Path("/dev/zero"))


@pytest.mark.parametrize("value", ["{a: 1}", "[1]", "~", "1", "true"])
@pytest.mark.parametrize(
    "path",
    ["strategy.kind", "strategy", "base", "proxy.data", "engine.kind", "targets[0].runtime"],
)
def test_what_stands_in_a_names_place_is_a_sentence(path, value):
    said = checked(SWEEPS / "search_cpu.yaml", f"{path}={value}")
    assert said.startswith(f"--set {path}={value}: "), said


def test_an_axis_that_fits_nowhere_is_said_at_once(tmp_path):
    path, text = tmp_path / "s.yaml", (SWEEPS / "search_gpu.yaml").read_text()
    assert "head.fusion: [hidden, none]" in text
    path.write_text(text.replace("head.fusion: [hidden, none]", "head.fusion: [-1, none at all]"))
    assert "the space is empty: of 4000 draws none can be built" in checked(path)
