"""What can be added by name: one table a kind, open to other packages and to scripts.

A name means a place, `module:attribute`, that is imported on first use. Other packages add names
by entry points of the table's group (`evnas.mixers`), scripts by `add`.
"""

import contextlib
import functools
import importlib
import pickle
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any, Generic, TypeVar

from evnas.errors import EvnasError, SpecError, nearest

T = TypeVar("T")
_SortedOut = tuple[tuple[str, ...], dict[str, T], dict[str, "PluginError"]]
"""Names, those that can be loaded, those that cannot."""


class PluginError(EvnasError):
    """A name is taken, or what another package registered cannot be loaded.

    No ValueError: a search takes those of a draw for a design that cannot be, and goes on.
    """


class Registry(Generic[T]):
    """Names of one kind of thing, in order: ours, those of other packages, those of scripts."""

    _tables: "dict[str, Registry[Any]]" = {}  # noqa: RUF012, every table of the process by kind

    def __init__(self, kind: str, builtin: Mapping[str, str], *, of: str = "") -> None:
        """Open a table.

        Args:
            kind: singular, as messages have it (`mixer`); the entry points' group is its plural,
                `evnas.mixers`.
            builtin: name -> `module:attribute` of ours.
            of: place of the class that each thing must be an instance of; "" takes anything.
        """
        self.kind = kind
        self._of = of
        self.group = f"evnas.{_plural(kind).replace(' ', '_')}"
        self._builtin = dict(builtin)
        self._loaded: dict[str, T] = {}
        self._added: dict[str, T] = {}
        self._found: _SortedOut[T] | None = None
        """Kept for its names: counting asks which mixer a module is of."""
        self._names: tuple[str, ...] | None = None
        """Kept until a name is added: searches ask with every value of every trial."""
        Registry._tables[kind] = self

    def names(self) -> tuple[str, ...]:
        """All names; nothing is imported for it."""
        if self._names is None:
            every = [*self._builtin, *self._entry_points(), *self._added]
            self._names = tuple(dict.fromkeys(every))
        return self._names

    def get(self, name: str) -> T:
        """What a name means.

        Raises:
            SpecError: nobody registered it.
            PluginError: another package registered it, and its import fails.
        """
        found = self._loaded.get(name)
        if found is None:
            found = self._added.get(name)
        if found is None:
            found = self._loaded[name] = self._load(name)
        return found

    def must_load(self, name: str) -> None:
        """Raise what `get` would of another package's thing; ours are not imported for it."""
        if name not in self._builtin:
            self.get(name)

    def must_be_valid(self, name: str) -> None:
        """`must_load` for validators: pydantic says where in the file the name stands.

        Raises:
            ValueError: another package registered it, and it cannot be loaded.
        """
        try:
            self.must_load(name)
        except PluginError as e:
            raise ValueError(str(e)) from None

    def usable(self) -> Mapping[str, T]:
        """Name -> thing of all that can be loaded; one that cannot is not tried again."""
        return self._sorted_out()[1]

    def broken(self) -> Mapping[str, PluginError]:
        """Name -> what is wrong with it, of those that `usable` leaves out."""
        return self._sorted_out()[2]

    def _sorted_out(self) -> "_SortedOut[T]":
        names = self.names()
        if self._found is None or self._found[0] is not names:
            usable, broken = {}, {}
            for name in names:
                try:
                    usable[name] = self.get(name)
                except PluginError as e:
                    broken[name] = e
            self._found = names, usable, broken
        return self._found

    def add(self, name: str, thing: T) -> T:
        """Register a thing of one's own; workers of a sweep that is begun later have it too.

        Raises:
            PluginError: the name is taken by another thing, or this is none of the kind.
        """
        thing = self._fitting(name, thing)
        if not name.isidentifier():  # names stand in paths, targets' ids and expressions
            raise PluginError(f"{self.kind} must be named by letters, digits and _, got {name!r}")
        if name in self._builtin or name in self._entry_points():
            raise PluginError(f"{self.kind} {name!r} exists already; choose another name")
        known = self._added.get(name)
        if known is not None and not _is_same(known, thing):
            raise PluginError(f"{self.kind} {name!r} was added before; choose another name")
        self._added[name] = thing
        self._names = None
        return thing

    def added(self) -> dict[str, T]:
        """What this process added by calls."""
        return dict(self._added)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):  # what a file has in a name's place may be anything
            return False
        return name in self._loaded or name in self._builtin or name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def _load(self, name: str) -> T:
        if name in self._builtin:
            thing: T = imported(self._builtin[name])
            return thing
        point = self._entry_points().get(name)
        if point is None:
            known = ", ".join(self.names())
            raise SpecError(
                f"no {self.kind} is named {name!r}{nearest(name, self)}; there are {known}"
            )
        try:
            loaded = point.load()
        except Exception as e:  # whatever their module does when it is imported
            package = point.dist.name if point.dist else point.value
            reason = f"{type(e).__name__}: {e}"
            raise PluginError(
                f"{self.kind} {name!r} of {package} cannot be loaded: {reason}"
            ) from e
        return self._fitting(name, loaded)

    def _fitting(self, name: str, thing: Any) -> T:
        """What is kept of a thing that came from outside; PluginError where it is another kind."""
        if self._of and not isinstance(thing, imported(self._of)):
            must = self._of.replace(":", ".")
            raise PluginError(f"{self.kind} {name!r} must be of {must}, got {thing!r:.60}")
        fitting: T = thing
        return fitting

    def _entry_points(self) -> Mapping[str, EntryPoint]:
        return points_of(self.group)


class ModuleRegistry(Registry[T]):
    """A table of things whose `module` is a class, or the place of one."""

    def of_module(self, module: type[Any]) -> T | None:
        """The thing whose module is exactly this class; None where none is."""
        return next((x for x in self.usable().values() if _made(x) is module), None)


def place_of(place: Any) -> Any:
    """What stands at a place, imported if need be; what is no place is returned.

    Raises:
        PluginError: the module cannot be imported, or has no such attribute.
    """
    if not isinstance(place, str):
        return place
    try:
        return imported(place)
    except (ImportError, AttributeError) as e:
        raise PluginError(f"{place!r} cannot be loaded: {e}") from e


def _made(thing: Any) -> Any:
    """The class of a thing's module, if it is imported; else nobody has made one of it."""
    if not isinstance(thing.module, str):
        return thing.module
    module, _, attribute = thing.module.partition(":")
    return getattr(sys.modules.get(module), attribute, None)


def broken_plugins() -> list[str]:
    """A sentence for each thing of another package that cannot be loaded, of all open tables."""
    tables = Registry._tables.values()
    return [str(error) for table in tables for error in table.broken().values()]


def additions() -> tuple[tuple[str, str, Any], ...]:
    """(kind, name, thing) of all that this process added by calls, for its workers."""
    return tuple(
        (kind, name, thing)
        for kind, table in Registry._tables.items()
        for name, thing in table.added().items()
    )


def adopt(added: tuple[tuple[str, str, Any], ...]) -> None:
    """Add in a worker what its driver had added; kinds that the worker has no use for are left."""
    for kind, name, thing in added:
        table = Registry._tables.get(kind)
        if table is not None and name not in table.added():
            table.add(name, thing)


def pickled_additions() -> bytes:
    """`additions` for a process of one's own: each pickled for itself, without what cannot be."""
    found = []
    for item in additions():
        with contextlib.suppress(pickle.PicklingError, AttributeError, TypeError):
            found.append(pickle.dumps(item))
    return pickle.dumps(found)


def adopt_pickled(added: bytes) -> None:
    """`adopt` what `pickled_additions` made, as far as this process can import it."""
    for item in pickle.loads(added):
        with contextlib.suppress(pickle.UnpicklingError, AttributeError, ImportError):
            adopt((pickle.loads(item),))


def imported(place: str) -> Any:
    """What stands at a place, `module:attribute`."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


@functools.cache
def points_of(group: str) -> Mapping[str, EntryPoint]:
    """Name -> entry point of all installed packages, looked up once."""
    found: EntryPoints = _all_points().select(group=group)
    return {point.name: point for point in sorted(found)}


@functools.cache
def _all_points() -> Any:
    """Of every group: installed packages are read once, which takes milliseconds each time. Their
    type has another name before Python 3.12."""
    return entry_points()


def _plural(kind: str) -> str:
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


def _is_same(a: object, b: object) -> bool:
    """The same thing, also where a script is imported a second time under another name."""
    names = [(getattr(x, "__qualname__", None), getattr(x, "__name__", None)) for x in (a, b)]
    return a is b or a == b or (names[0] == names[1] and names[0] != (None, None))
