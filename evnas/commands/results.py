"""Results that come one by one, over minutes: none is lost where the command ends before the last.

They are printed when they are all there, and also when Ctrl-C, SIGTERM or a fault ends the command
before. What nobody can answer, SIGKILL, costs the one under way where a file is named.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from evnas.commands.output import as_json, emit, talk
from evnas.errors import SpecError
from evnas.files import must_have_a_place, write_whole


@dataclass(slots=True)
class Results:
    """What there is by now."""

    out: Path | None
    """A file that holds it as JSON, or None."""
    json: bool
    """Whether it is printed so too."""
    data: Any = None
    text: str = ""
    count: int = 0
    """Results in it."""

    def __post_init__(self) -> None:
        if self.out is None:
            return
        if self.out.suffix != ".json":
            raise SpecError(f"--out must name a file that ends in .json, got {self.out}")
        must_have_a_place(self.out)

    def take(self, data: Any, text: str, *, count: int) -> None:
        """All that there is, in place of what there was."""
        self.data, self.text, self.count = data, text, count
        if self.out is not None and count:  # nothing yet does not replace an earlier file
            write_whole(self.out, f"{as_json(data)}\n")

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Within, they come; then they are printed, however it ends.

        Raises:
            typer.Exit: with 130, where the command was asked to end.
        """
        from evnas.search.stopping import stopped_by_signals

        try:
            with stopped_by_signals():
                yield
        except KeyboardInterrupt as stop:
            self._print()
            talk("stopped" + (f" by {stop}" if str(stop) else ""))
            raise typer.Exit(130) from None
        except BaseException:
            if self.count:
                self._print()
            raise
        self._print()

    def _print(self) -> None:
        if self.data is not None:
            emit(self.data, self.text, self.json)


def missing_text(missing: int) -> str:
    """That a command was ended before some of its results; "" where it was not."""
    return f"{missing} missing: it was ended before them" if missing else ""
