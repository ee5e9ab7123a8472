"""The live view of a sweep, on stderr: a rich table on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Protocol, TextIO

from evnas.phases.work import Event, Finished, Progress, Work
from evnas.search.terminal.progress_state import ProgressState, sentence_of

PLAIN_EVERY_S = 15.0
"""Between two lines about work under way, where there is no terminal."""


class SweepView(Protocol):
    """Shows how a sweep goes."""

    def say(self, text: str) -> None:
        """A line that stays."""
        ...

    def started(self, work: Work) -> None:
        """A piece of work has begun."""
        ...

    def take(self, event: Event) -> None:
        """Something happened."""
        ...

    def tick(self) -> None:
        """Time has passed."""
        ...

    def close(self) -> None:
        """The sweep is over, or broken off."""
        ...


def view_for(state: ProgressState, stream: TextIO | None = None) -> "SweepView":
    """The view that suits a stream; None is stderr as it is now."""
    stream = sys.stderr if stream is None else stream
    return RichView(state) if stream.isatty() else PlainView(state, stream)


class PlainView:
    """A line a result, and now and then one about what is under way."""

    def __init__(self, state: ProgressState, stream: TextIO) -> None:
        self._state = state
        self._stream = stream
        self._next = 0.0

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=self._stream, flush=True)

    def started(self, work: Work) -> None:
        """Nothing is printed; the first progress will say it."""
        self._state.start(work, time.monotonic())
        self._next = time.monotonic() + PLAIN_EVERY_S

    def take(self, event: Event) -> None:
        """Results are printed, progress at most every `PLAIN_EVERY_S`."""
        self._state.take(event)
        now = time.monotonic()
        if isinstance(event, Finished):
            self.say(f"{sentence_of(event)}; {clock(self._state.left_s(now))} left")
        elif now >= self._next:
            self._next = now + PLAIN_EVERY_S
            self.say(f"{event.work.label} {event.work.phase}: {_doing(event)}")

    def tick(self) -> None:
        """Nothing moves here."""

    def close(self) -> None:
        """Nothing is open."""


class RichView:
    """A table that fills, and a line about what is under way."""

    def __init__(self, state: ProgressState) -> None:
        from rich.console import Console
        from rich.live import Live

        self._state = state
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        self._next = 0.0

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(text, highlight=False, markup=False)

    def started(self, work: Work) -> None:
        """The row shows it."""
        self._state.start(work, time.monotonic())
        self._draw()

    def take(self, event: Event) -> None:
        """The table shows it."""
        self._state.take(event)
        self.tick()

    def tick(self) -> None:
        """Draw again, a few times a second."""
        if time.monotonic() >= self._next:
            self._draw()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._draw()
        self._live.stop()

    def _draw(self) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        self._next = now + 0.25
        table = Table("row", box=None, pad_edge=False, header_style="bold")
        for head in ("params M", "FLOPs M", "images/s", "ratio", "top-1 %"):
            table.add_column(head, justify="right")
        table.add_column("now")
        for label, row in self._state.rows.items():
            progress = self._state.now.get(label)
            doing = f"{progress.work.phase} {_doing(progress)}" if progress else ""
            figures = (row.params_m, row.flops_m, row.throughput_img_s, row.ratio, row.top1)
            table.add_row(Text(label), *figures, Text(doing, style="cyan"))
        left = Text(f" {clock(self._state.left_s(now))} left", style="bold")
        done = ProgressBar(total=1.0, completed=self._state.done_fraction(now), width=40)
        grid = Table.grid()
        grid.add_row(done, left)
        self._live.update(Group(table, grid), refresh=True)


def clock(seconds: float) -> str:
    """75 -> "1:15"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _doing(progress: Progress) -> str:
    text = f"{progress.fraction:.0%} {progress.text}" if progress.fraction else progress.text
    return text.strip()
