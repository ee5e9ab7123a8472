"""YAML with a line number for every node, so that a complaint says where its cause stands.

Stricter than plain YAML: a key twice in one mapping is refused, keys are always text, and a value
that people and YAML 1.1 read differently (`010`, `1:30`) is refused rather than guessed at.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from evnas.arch.paths import Concrete, spell
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError

MOST_BYTES = 4 * 1024 * 1024
"""Of a file."""
MOST_SPELT = 20_000_000
"""Characters of all paths of one file together."""
MOST_DEEP = 50
"""Collections within each other."""
MOST_VALUES = 100_000
"""Of one file, once its aliases are written out."""
MOST_DIGITS = 18
"""Of a whole number: more do not fit a store, nor 64 bits."""
_TAG = "tag:yaml.org,2002:"
_TAGS = frozenset(_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map"))
"""What JSON has too."""
_SEXAGESIMAL = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?")
_LEADING_ZERO = re.compile(r"[-+]?0[\d_]+")


_OTHER_FILES = frozenset({"rows", "space", "members"})
"""Keys of files that people name in an architecture's place."""


class YamlSpecError(SpecError):
    """A SpecError that knows its place: `sweeps/x.yaml:12: rows.I: ...`."""

    def __init__(self, error: SpecError, where: str) -> None:
        super().__init__(error.reason, error.path)
        self.where = where
        self.args = (f"{where}: {error}",)


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """A mapping read from YAML, and the line of each of its nodes."""

    source: str
    """The file's name as the user gave it."""
    data: dict[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)
    """Spelt path (`rows.I`, `seeds[0]`) -> line, from 1; a key's line, an item's line."""
    overridden: Mapping[str, str] = field(default_factory=dict)
    """Spelt path -> `--set PATH=VALUE`, where that and not the file says what stands there."""
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Spelt path -> a value as Python has it and as the file does (`True`, `yes`), where those
    differ."""

    def line(self, path: str) -> int:
        """The line of `path`, or of the nearest thing around it that the file spells out."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = _shorter(path)
        return 1

    def blame(self, error: SpecError) -> YamlSpecError:
        """`error`, whose path lies in this file, with file and line before it."""
        if isinstance(error, YamlSpecError):
            return error
        reason = self._in_its_words(error.reason, error.path)
        return YamlSpecError(SpecError(reason, error.path), self.where(error.path))

    def _in_its_words(self, reason: str, path: str) -> str:
        """`reason` with what was got as the file has it: who wrote `yes` looks for no `True`."""
        while path and path not in self.lines and path not in self.words:
            path = _shorter(path)
        said = {
            (value, word)
            for place, (value, word) in self.words.items()
            if (place == path or place.startswith((f"{path}.", f"{path}[")))
            and re.search(rf"\bgot {re.escape(value)}(?![\w.])", reason)
        }
        if len(said) != 1:
            return reason
        ((value, word),) = said
        return reason.replace(f"got {value}", f"got {word}", 1)

    def where(self, path: str) -> str:
        """File and line of `path`, or the override that set it."""
        for place, text in self.overridden.items():
            if path == place or path.startswith((f"{place}.", f"{place}[")):
                return text
        return f"{self.source}:{self.line(path)}"


def read_yaml(path: Path) -> YamlDocument:
    """Read a file that must hold one mapping.

    Raises:
        SpecError: no such file, or not text.
        YamlSpecError: not YAML, empty, no mapping, or a key that appears twice.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as e:
        raise SpecError(f"{path}: must be a readable YAML file ({e.strerror})") from e
    if len(raw) > MOST_BYTES:
        raise SpecError(f"{path}: must be a YAML file of at most {MOST_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = raw.count(b"\n", 0, e.start) + 1
        raise SpecError(
            f"{path}:{line}: must be YAML in UTF-8, got byte 0x{raw[e.start]:02x} at offset "
            f"{e.start} ({e.reason})"
        ) from e
    return parse_yaml(text, source=str(path))


def _hint(text: str, error: yaml.MarkedYAMLError) -> str:
    """How to mend a path such as `stages[0].dim` that stands in braces as it is."""
    mark = error.problem_mark
    if mark is None or not re.search(r"\w$", text[: mark.index]) or text[mark.index :][:1] != "[":
        return ""
    return '; within { } a path with brackets stands in quotes, such as {"stages[0].dim": 64}'


def parse_yaml(text: str, *, source: str) -> YamlDocument:
    """`read_yaml` of text that is here already; `source` names it in complaints."""
    if yaml.SafeLoader.NON_PRINTABLE.search(text):
        raise YamlSpecError(SpecError("must be YAML, got control characters"), f"{source}:1")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            reason = "is empty; it must hold a mapping (`evnas init` writes a sweep)"
            raise YamlSpecError(SpecError(reason), f"{source}:1")
        reading = _Reading(source, loader)
        data = reading.value(node, ())
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        reason = f"must be YAML: {e.problem}{_hint(text, e)}"
        raise YamlSpecError(SpecError(reason), f"{source}:{line}") from e
    except yaml.YAMLError as e:
        raise YamlSpecError(SpecError(f"must be YAML: {e}"), f"{source}:1") from e
    finally:
        loader.dispose()
    if not isinstance(data, dict):
        line = node.start_mark.line + 1
        raise YamlSpecError(
            SpecError(f"must be a mapping of keys to values, got {data!r:.60}"),
            f"{source}:{line}",
        )
    return YamlDocument(source, data, reading.lines, words=reading.words)


class _Loader(yaml.SafeLoader):
    """Safe YAML without timestamps: what a sweep holds is JSON."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Like YAML's own, which has no floor."""
        if self._depth > MOST_DEEP:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem=f"must be at most {MOST_DEEP} collections deep", problem_mark=mark
            )
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Mix in what `<<` names, each key once: fragments of fragments would grow without end."""
        super().flatten_mapping(node)
        last = {key.value: i for i, (key, _) in enumerate(node.value)}
        node.value = [node.value[i] for i in sorted(last.values())]


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in pairs if tag != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# YAML 1.1 reads 1e-3 as text; everybody means the number
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


@dataclass(slots=True)
class _Reading:
    """Turns nodes into plain data, noting lines on the way."""

    source: str
    loader: _Loader
    lines: dict[str, int] = field(default_factory=dict)
    words: dict[str, tuple[str, str]] = field(default_factory=dict)
    open: list[int] = field(default_factory=list)
    """Nodes that are being read: one that holds itself is refused."""
    values: int = 0
    """Read so far."""
    spelt: int = 0
    """Characters of their paths."""

    def value(self, node: yaml.Node, place: Concrete) -> Any:
        path = spell(place)
        self.lines.setdefault(path, node.start_mark.line + 1)
        self.values += 1
        self.spelt += len(path)
        if self.spelt > MOST_SPELT:
            reason = f"must hold at most {MOST_SPELT:,} characters of paths, aliases written out"
            self._refuse(reason, node, ())
        if self.values > MOST_VALUES:
            reason = f"must hold at most {MOST_VALUES:,} values, aliases written out"
            self._refuse(reason, node, ())
        if node.tag not in _TAGS:
            tag = node.tag.replace(_TAG, "!!")
            self._refuse(f"must have no tag {tag}: what a sweep holds is JSON", node, place)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if id(node) in self.open:
            self._refuse("must not hold itself", node, place)
        self.open.append(id(node))
        if isinstance(node, yaml.MappingNode):
            read: Any = self._mapping(node, place)
        elif isinstance(node, yaml.SequenceNode):
            read = [self.value(item, (*place, i)) for i, item in enumerate(node.value)]
        self.open.pop()
        return read

    def _scalar(self, node: yaml.ScalarNode, place: Concrete) -> Any:
        text = node.value
        if node.style is None and (trap := _trap(text)):
            reason = f"got {text}, {trap}; quote it to mean the text"
            self._refuse(f"must be plain to read, {reason}", node, place)
        self._must_be_utf8(text, node, place)
        if node.tag == f"{_TAG}int" and len(text.lstrip("-+")) > MOST_DIGITS:
            must = f"must be a whole number of at most {MOST_DIGITS} digits"
            self._refuse(f"{must}, got one of {len(text.lstrip('-+'))}", node, place)
        try:
            value = self.loader.construct_object(node)
        except (ValueError, LookupError, AttributeError, OverflowError, TypeError):
            kind = node.tag.removeprefix(_TAG)
            self._refuse(f"must be what its tag !!{kind} says, got {text!r:.60}", node, place)
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(f"must be a finite number, got {text}", node, place)
        if not isinstance(value, str) and repr(value) != text:
            self.words[spell(place)] = repr(value), text or "nothing"
        return value

    def _must_be_utf8(self, text: str, node: yaml.Node, place: Concrete) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            self._refuse(f"must be Unicode text, got half a character in {text!r}", node, place)

    def _mapping(self, node: yaml.MappingNode, place: Concrete) -> dict[str, Any]:
        first_at: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._refuse("a key must be text", key, place)
            name, line = key.value, key.start_mark.line + 1
            self._must_be_utf8(name, key, place)
            if name in first_at:
                self._refuse(
                    f"this key appears twice, first in line {first_at[name]}", key, (*place, name)
                )
            first_at[name] = line
        self.loader.flatten_mapping(node)  # `<<: *fragment` mixes a fragment in; own keys win
        data = {}
        for i, (key, child) in enumerate(node.value):
            here = (*place, key.value)
            self.lines[spell(here)] = first_at.get(key.value, node.start_mark.line + 1)
            # objectives are a list, also where the file spells them as a mapping
            self.lines.setdefault(spell((*place, i)), self.lines[spell(here)])
            data[key.value] = self.value(child, here)
        return data

    def _refuse(self, reason: str, node: yaml.Node, place: Concrete) -> NoReturn:
        where = f"{self.source}:{node.start_mark.line + 1}"
        raise YamlSpecError(SpecError(reason, spell(place)), where)


def _trap(text: str) -> str:
    """Why YAML 1.1 and people read a plain value differently; "" where they do not."""
    if _SEXAGESIMAL.fullmatch(text):
        return "which is a number of base 60 to YAML 1.1"
    return "which may be octal to YAML 1.1" if _LEADING_ZERO.fullmatch(text) else ""


def _shorter(path: str) -> str:
    """`a.b[1]` -> `a.b` -> `a` -> ""."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def read_arch(path: Path) -> ArchSpec:
    """The architecture that a YAML or JSON file spells out, or holds as `arch`, as the files of a
    front do.

    Raises:
        YamlSpecError: with file and line, when it cannot be.
    """
    document = read_yaml(path)
    inside = document.data.get("arch") if "stages" not in document.data else None
    if inside is None and _OTHER_FILES & document.data.keys():
        reason = "must spell an architecture out, this is a sweep's file or a front's"
        raise document.blame(SpecError(reason))
    try:
        return ArchSpec.from_dict(inside if isinstance(inside, dict) else document.data)
    except SpecError as e:
        at = "" if inside is None else f"arch.{e.path}".rstrip(".")
        raise document.blame(SpecError(e.reason, at or e.path)) from None
