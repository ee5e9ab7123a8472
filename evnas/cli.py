"""The command line: parse, call, print. Heavy imports are lazy, so `evnas --help` answers at once.

stdout is data, stderr is talk; a user's mistake is one line and exit code 2, a failure of our
own keeps its traceback.
"""

import functools
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from evnas import __version__
from evnas.commands import (
    audit,
    bench,
    calibrate,
    check,
    compare,
    convert,
    dashboard,
    diff,
    doctor,
    erf,
    eval,
    export,
    figure,
    finish,
    front,
    init,
    lut,
    models,
    plan,
    recipes,
    report,
    schema,
    show,
    signals,
    space,
    store,
    sweep,
    train,
    verify,
)
from evnas.errors import ClusterGone, EvnasError
from evnas.files import NO_ROOM, NOT_ALLOWED, expanded, no_room

COMMANDS: tuple[Callable[..., None], ...] = (
    init.init,
    sweep.sweep,
    plan.plan,
    check.check,
    show.show,
    front.front,
    diff.diff,
    models.models,
    export.export,
    convert.convert,
    bench.bench,
    calibrate.calibrate,
    verify.verify,
    train.train,
    recipes.recipes,
    eval.eval,
    finish.finish,
    doctor.doctor,
    report.report,
    figure.figure,
    compare.compare,
    dashboard.dashboard,
    audit.audit,
    erf.erf,
    signals.signals,
    space.space,
    schema.schema,
)
"""In the order of `evnas --help`."""
GROUPS: dict[str, tuple[str, tuple[Callable[..., None], ...]]] = {
    "lut": (lut.HELP, (lut.export,)),
    "store": (store.HELP, store.ACTIONS),
}
"""Commands of two words: the first, its help, and functions called like the second."""

USAGE_ERROR = cast(type[typer.BadParameter], typer.BadParameter.__base__)
"""What typer raises at wrong words of a command; it has no public name in all its versions."""


@contextmanager
def _usage_in_a_line() -> Iterator[None]:
    """A wrong option, argument or command as one sentence of ours, in place of typer's lines."""
    try:
        yield
    except USAGE_ERROR as e:
        if type(e).__name__ == "NoArgsIsHelpError" or e.ctx is None:
            raise  # `evnas` alone prints its help
        what = e.format_message().rstrip(".").replace("Value error, ", "")
        got = [one for one in _refused(e) if one not in what]
        said = ", got " + ", ".join(got) if got else ""
        asked = f"`{e.ctx.command_path} --help` says what it takes"
        raise EvnasError(f"{what}{said}; {asked}") from None


def _refused(error: typer.BadParameter) -> list[str]:
    """The values that pydantic refused, where typer asks it: its message leaves them out."""
    refused: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    return [repr(one["input"]) for one in refused]


class _Commands(TyperGroup):
    """All commands: what they are given is parsed within these two."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _usage_in_a_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _usage_in_a_line():
            return super().invoke(ctx)


app = typer.Typer(
    name="evnas",
    cls=_Commands,
    help="Architecture search and ablation sweeps over efficient vision state-space backbones.",
    no_args_is_help=True,
    context_settings={"max_content_width": 200},  # as wide as the terminal, to a readable end
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _with_paths(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with `~` and `${NAME}` replaced in every path that it is given."""

    @functools.wraps(command)
    def run(**options: Any) -> None:
        command(**{name: _expanded(value) for name, value in options.items()})

    return run


def _expanded(value: Any) -> Any:
    if isinstance(value, list):
        return [_expanded(one) for one in value]
    return expanded(value) if isinstance(value, Path) else value


for command in COMMANDS:
    app.command()(_with_paths(command))
for first, (text, commands) in GROUPS.items():
    group = typer.Typer(name=first, help=text, no_args_is_help=True)
    for second in commands:
        group.command()(_with_paths(second))
    app.add_typer(group)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"evnas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Options of evnas itself."""


def main() -> None:
    """The entry point of the console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale may lack signs that names have
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except EvnasError as e:
        print(f"evnas: {' '.join(str(e).split())}", file=sys.stderr, flush=True)
        if isinstance(e, ClusterGone):
            os._exit(2)  # Ray's own leaving waits a minute, and ends the process in another way
        sys.exit(2)
    except BrokenPipeError:
        if not _reader_has_gone():
            raise  # another pipe: ours to mend
        sys.stderr.close()  # whoever read our output has gone: nothing to tell
        sys.exit(1)
    except OSError as e:
        place = Path(e.filename or ".")
        if e.errno in NO_ROOM:
            print(f"evnas: {no_room(place, e, needed=None)}", file=sys.stderr)
        elif e.errno in NOT_ALLOWED:
            must = "must be a place where this user may read and write"
            print(f"evnas: {place}: {must}, got: {e.strerror}", file=sys.stderr)
        else:
            raise
        sys.exit(2)


def _reader_has_gone() -> bool:
    """Whether stdout or stderr is a pipe that nobody reads any more."""
    asked = select.poll()
    for number in (1, 2):
        asked.register(number, 0)
    return bool(asked.poll(0))  # errors and hang-ups are reported unasked


if __name__ == "__main__":
    main()
