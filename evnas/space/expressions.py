"""Conditions over an architecture's fields: `stages[1].dim >= stages[0].dim`, `params_m <= 12`.

A small language on Python's grammar: comparisons, arithmetic, and/or/not, min, max, sum, len, abs;
paths as in `evnas.arch.paths`, where `stages[*].dim` is a list; names of measured or counted
quantities, `latency_ms@gpu` for one target. A field that an architecture lacks (the states of a
scan) is unknown, as in Kleene's logic, and a condition that stays unknown holds.

Numbers are the decimals that they are written as, and are worked out as fractions: a bound that
is met exactly holds, and so does `0.1 + 0.2 <= 0.3`. Two that are compared as they are need no
fraction: see `_compares_as_written`.
"""

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from evnas.arch.spec import ArchSpec, HeadSpec, StageSpec, StemSpec
from evnas.errors import SpecError, nearest
from evnas.mixers import MIXERS
from evnas.tables import broken_phases, quantity_of

Names = Mapping[str, Any]
"""What the names of an expression stand for: fields of the plain architecture, and quantities."""
_Node = Callable[[Names], Any]

MOST_CHARACTERS = 2000
MOST_DEEP = 50
"""Brackets within each other."""
MOST_LEVELS = 200
"""Of operations within each other."""
LEAST, MOST = 1e-30, 1e30
"""Sizes of a number other than 0."""
_WHOLE = 2**53
"""Up to here each whole number is a float."""
_AT = re.compile(r"\b([A-Za-z_]\w*)@([\w.-]*\w)")
_FIELDS = frozenset(
    name for spec in (ArchSpec, StageSpec, StemSpec, HeadSpec) for name in spec.model_fields
)


def as_written(number: float) -> float | Fraction:
    """The decimal that a number is written as, exactly; whole, and infinite or NaN, as it is."""
    if not isinstance(number, float) or not math.isfinite(number):
        return number
    return Fraction(Decimal(repr(number)))  # a third of the time that reading the text takes


def _quotient(a: Any, b: Any) -> Any:
    """Of whole numbers too a fraction: a float would round."""
    return Fraction(a, b) if isinstance(a, int) and isinstance(b, int) else a / b


def _of_numbers(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Arithmetic, which Python has for texts and lists too, and then without end: `"a" * 10**12`,
    `"%999999999d" % 1`."""

    def worked_out(a: Any, b: Any) -> Any:
        for side in (a, b):
            if not isinstance(side, int | float | Fraction):
                raise TypeError(f"arithmetic is of numbers, got {side!r:.60}")
        return function(as_written(a), as_written(b))

    return worked_out


def _compares_as_written(number: Any) -> bool:
    """Whether a number stands to another such one as do the decimals that they are written as.

    Floats do: the shortest decimal of each rounds to it, and rounding never turns an order round.
    """
    return type(number) is float or (type(number) is int and -_WHOLE <= number <= _WHOLE)


def _of_decimals(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A comparison of what is written. A search asks thousands, mostly of a float and a bound."""

    def compared(a: Any, b: Any) -> Any:
        if _compares_as_written(a) and _compares_as_written(b):
            return function(a, b)
        return function(_exact(a), _exact(b))

    return compared


_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: _of_numbers(operator.add),
    ast.Sub: _of_numbers(operator.sub),
    ast.Mult: _of_numbers(operator.mul),
    ast.Div: _of_numbers(_quotient),
    ast.FloorDiv: _of_numbers(operator.floordiv),
    ast.Mod: _of_numbers(operator.mod),
    ast.Eq: _of_decimals(operator.eq),
    ast.NotEq: _of_decimals(operator.ne),
    ast.Lt: _of_decimals(operator.lt),
    ast.LtE: _of_decimals(operator.le),
    ast.Gt: _of_decimals(operator.gt),
    ast.GtE: _of_decimals(operator.ge),
}
_FUNCTIONS: dict[str, Callable[[list[Any]], Any]] = {"min": min, "max": max, "sum": sum}


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition that was read: its text, what it looks at, and how to ask it."""

    text: str
    quantities: frozenset[str]
    """Names that are not fields of an architecture: `params_m`, `latency_ms@gpu`."""
    fields: tuple[str, ...]
    """The paths it reads, as spelt, without their quantities."""
    _ask: _Node
    _apart: _Node | None = None
    """Those of its parts, all of which must hold, that read nothing; None without such."""
    path: str = ""
    """Where it stands in its file: `space.require[1]`."""

    def holds(self, arch: Mapping[str, Any], quantities: Mapping[str, float]) -> bool | None:
        """Whether it holds for the plain form of an architecture; None where that is unknown."""
        return self._answer(self._ask, {**arch, **quantities} if quantities else arch)

    @property
    def never_holds(self) -> bool:
        """Whether it is false whatever it reads: `1 > 2 and stages[0].dim > 8`."""
        return self._apart is not None and self._answer(self._apart, {}) is False

    def _answer(self, ask: _Node, names: Names) -> bool | None:
        try:
            answer = ask(names)
        except (TypeError, ArithmeticError) as e:
            raise SpecError(f"{self.text!r:.90}: cannot be worked out ({e})", self.path) from None
        return None if answer is None else bool(answer)


def parse_expression(text: str, quantities: Sequence[str] = ()) -> Expression:
    """Read a condition.

    Args:
        text: the condition.
        quantities: names it may use besides the fields, without their `@target`.

    Raises:
        SpecError: it does not parse, or names something that nothing is called.
    """
    targets: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        name = f"{match[1]}__at_{len(targets)}"
        targets[name] = f"{match[1]}@{match[2]}"
        return name

    _must_be_short(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's opinion of a text's style
            tree = ast.parse(_AT.sub(plain, text).replace("[*]", "[:]").strip(), mode="eval")
    except SyntaxError as e:
        raise SpecError(f"must be a condition such as stages[1].dim >= 64 ({e.msg})", text) from e
    except (ValueError, RecursionError, MemoryError) as e:
        raise SpecError(f"must be a condition such as stages[1].dim >= 64 ({e})", text) from e
    _must_be_flat(tree, text)
    reader = _ConditionReader(text, frozenset(quantities), targets)
    if not isinstance(tree.body, ast.Compare | ast.BoolOp | ast.UnaryOp):
        raise SpecError("must compare something, such as stages[1].dim >= 64", text)
    ask = reader.node(tree.body)
    apart = [reader.node(part) for part in _must_all_hold(tree.body) if not _reads_something(part)]
    return Expression(
        text,
        frozenset(reader.quantities),
        tuple(reader.fields),
        ask,
        _joined(apart, True) if apart else None,
    )


def _must_all_hold(tree: ast.expr) -> Iterator[ast.expr]:
    """The parts of a condition that must all hold for it to hold."""
    match tree:
        case ast.BoolOp(op=ast.And(), values=values):
            for value in values:
                yield from _must_all_hold(value)
        case ast.Compare(left=left, ops=ops, comparators=rest):
            for a, op, b in zip([left, *rest], ops, rest, strict=False):
                yield ast.Compare(a, [op], [b])
        case _:
            yield tree


def _must_be_short(text: str) -> None:
    """A condition is asked of thousands of draws: what bounds its text bounds its time."""
    if len(text) > MOST_CHARACTERS:
        raise SpecError(
            f"a condition must have at most {MOST_CHARACTERS} characters, got {len(text)}",
            f"{text[:40]}...",
        )
    depth = most = 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        most = max(most, depth)
    if most > MOST_DEEP:
        raise SpecError(f"a condition must be at most {MOST_DEEP} brackets deep, got {most}", text)


def _must_be_flat(tree: ast.AST, text: str) -> None:
    """Each level is a call in a call when it is read, asked and spelt."""
    level, depth = [tree], 0
    while level:
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        depth += 1
    if depth > MOST_LEVELS:
        raise SpecError(f"a condition must be at most {MOST_LEVELS} operations deep", text)


def _bounded(number: float, text: str) -> float:
    """A number of a condition: such that products of many of them still take no time."""
    if number and not LEAST <= abs(number) <= MOST:
        raise SpecError(
            f"numbers must lie between {LEAST:g} and {MOST:g}, got {number!s:.20}", text
        )
    return number


class _ConditionReader:
    """Turns the tree of one condition into closures, and notes what it looks at."""

    def __init__(self, text: str, known: frozenset[str], targets: Mapping[str, str]) -> None:
        self.text = text
        self.known = known
        self.targets = targets
        self.quantities: set[str] = set()
        self.fields: list[str] = []

    def node(self, tree: ast.expr) -> _Node:
        """What a part of the condition comes to; once and for all where it reads nothing."""
        worked_out = self._node(tree)
        if isinstance(tree, ast.Constant) or _reads_something(tree):
            return worked_out
        return _once(worked_out)

    def _node(self, tree: ast.expr) -> _Node:
        match tree:
            case ast.Constant(value=bool() | str() as value):
                return lambda names: value
            case ast.Constant(value=int() | float() as value):
                number = _bounded(value, self.text)
                return lambda names: number
            case ast.Name(id=name):
                return self._name(name)
            case ast.Attribute() | ast.Subscript():
                return self._path(tree)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _lifted(_OPERATORS[type(op)], self.node(left), self.node(right))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _negated(self.node(operand))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _lifted(_OPERATORS[ast.Sub], lambda names: 0, self.node(operand))
            case ast.BoolOp(op=op, values=values):
                parts = [(self.node(value), _reads_something(value)) for value in values]
                return _joined_of(parts, isinstance(op, ast.And))
            case ast.Compare(left=left, ops=ops, comparators=rest):
                return self._comparison([left, *rest], ops)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(name, args)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                each = [self.node(item) for item in items]
                return lambda names: [item(names) for item in each]
        raise SpecError(f"cannot use {ast.unparse(tree)!r} in a condition", self.text)

    def _name(self, name: str) -> _Node:
        name = self.targets.get(name, name)
        if name in ArchSpec.model_fields:
            self.fields.append(name)
            return lambda names: names[name]
        if quantity_of(name) not in self.known:
            choices = [*self.known, *ArchSpec.model_fields]
            hint = f"{nearest(name, choices)}{broken_phases()}"
            raise SpecError(f"nothing is called {name!r}{hint}", self.text)
        self.quantities.add(name)
        return lambda names: names.get(name)

    def _path(self, tree: ast.Attribute | ast.Subscript) -> _Node:
        steps: list[str | int | slice] = []
        here: ast.expr = tree
        while not isinstance(here, ast.Name):
            if isinstance(here, ast.Attribute):
                steps.insert(0, self._known_field(here.attr))
                here = here.value
            elif isinstance(here, ast.Subscript):
                steps.insert(0, self._index(here.slice))
                here = here.value
            else:
                raise SpecError(f"cannot use {ast.unparse(tree)!r} in a condition", self.text)
        if here.id not in ArchSpec.model_fields:
            hint = nearest(here.id, ArchSpec.model_fields)
            raise SpecError(f"an architecture has no {here.id!r}{hint}", self.text)
        self.fields.append(ast.unparse(tree).replace("[:]", "[*]"))
        return _walker((here.id, *steps))

    def _known_field(self, name: str) -> str:
        known = _FIELDS.union(*(mixer.fields() for mixer in MIXERS.usable().values()))
        if name not in known:
            hint = nearest(name, known)
            raise SpecError(f"no field of an architecture is called {name!r}{hint}", self.text)
        return name

    def _index(self, tree: ast.expr) -> int | slice:
        try:
            if isinstance(tree, ast.Slice):
                ends = [
                    None if e is None else ast.literal_eval(e) for e in (tree.lower, tree.upper)
                ]
                return slice(*ends)
            index = ast.literal_eval(tree)
        except ValueError:
            index = None
        if not isinstance(index, int):
            raise SpecError(
                f"an index must be a number, a slice or *, got [{ast.unparse(tree)}]", self.text
            )
        return index

    def _comparison(self, sides: list[ast.expr], ops: list[ast.cmpop]) -> _Node:
        pairs: list[tuple[_Node, bool]] = []
        for left, op, right in zip(sides, ops, sides[1:], strict=False):
            both = self.node(left), self.node(right)
            if isinstance(op, ast.In | ast.NotIn):
                found = _lifted(lambda a, b: _exact(a) in _exact(b), *both)
                found = found if isinstance(op, ast.In) else _negated(found)
            elif type(op) in _OPERATORS:
                found = _lifted(_OPERATORS[type(op)], *both)
            else:
                raise SpecError("a condition compares with ==, !=, <, <=, >, >=, in", self.text)
            pairs.append((found, _reads_something(left, right)))
        return _joined_of(pairs, True)

    def _call(self, name: str, args: list[ast.expr]) -> _Node:
        inner = [self.node(arg) for arg in args]
        if name in ("len", "abs") and len(inner) == 1:
            function: Callable[[Any], Any] = len if name == "len" else abs
            return lambda names: None if (x := inner[0](names)) is None else function(x)
        if name in _FUNCTIONS and inner:
            reduce = _FUNCTIONS[name]

            def reduced(names: Names) -> Any:
                values = [arg(names) for arg in inner]
                if len(values) == 1 and isinstance(values[0], list):
                    values = values[0]
                present = [_exact(v) for v in values if v is not None]
                return reduce(present) if present else None

            return reduced
        raise SpecError(f"a condition may call min, max, sum, len, abs, got {name}", self.text)


def _walker(steps: tuple[str | int | slice, ...]) -> _Node:
    """What reads a path: a search asks tens of conditions of each draw, mostly of fields that are
    there."""
    at = next((i for i, step in enumerate(steps) if isinstance(step, slice)), len(steps))
    plain: Any = steps[:at]
    if at < len(steps):
        many, inner = steps[at], _walker(steps[at + 1 :])

    def walked(names: Any) -> Any:
        here = names
        try:
            for step in plain:
                here = here[step]
            if at < len(steps):
                return [inner(item) for item in here[many]]
        except (KeyError, IndexError, TypeError):  # a field or a stage that is not there
            here = _walk(names, steps)
        return here

    return walked


def _walk(here: Any, steps: Sequence[str | int | slice]) -> Any:
    for i, step in enumerate(steps):
        if here is None:
            return None
        if isinstance(step, slice):
            return [_walk(item, steps[i + 1 :]) for item in here[step]]
        if isinstance(step, str):
            here = here.get(step) if isinstance(here, dict) else None
        else:
            here = here[step] if -len(here) <= step < len(here) else None
    return here


def _exact(value: Any) -> Any:
    """Numbers as they are written, within lists too."""
    if isinstance(value, float):
        return as_written(value)
    return [_exact(item) for item in value] if isinstance(value, list) else value


def _reads_something(*trees: ast.AST) -> bool:
    return any(isinstance(node, ast.Name) for tree in trees for node in ast.walk(tree))


def _once(constant: _Node) -> _Node:
    """Worked out when it is first asked, where it also says what is wrong with it."""
    found: list[Any] = []

    def known(names: Names) -> Any:
        if not found:
            found.append(constant(names))
        return found[0]

    return known


def _lifted(function: Callable[[Any, Any], Any], left: _Node, right: _Node) -> _Node:
    def lifted(names: Names) -> Any:
        a, b = left(names), right(names)
        return None if a is None or b is None else function(a, b)

    return lifted


def _negated(inner: _Node) -> _Node:
    return lambda names: None if (x := inner(names)) is None else not x


def _joined_of(parts: Sequence[tuple[_Node, bool]], conjunction: bool) -> _Node:
    """`_joined` of parts and whether each reads something: all that do not are worked out once."""
    reading = [part for part, reads in parts if reads]
    constants = [part for part, reads in parts if not reads]
    if constants:
        reading.append(_once(_joined(constants, conjunction)))
    return _joined(reading, conjunction)


def _joined(parts: Sequence[_Node], conjunction: bool) -> _Node:
    """Kleene's and (or): decided by one false (true) part, unknown if any is, else the other."""
    if len(parts) == 1:
        return parts[0]

    def joined(names: Names) -> bool | None:
        answers = [part(names) for part in parts]
        if any(a is not None and bool(a) is not conjunction for a in answers):
            return not conjunction
        return None if None in answers else conjunction

    return joined
