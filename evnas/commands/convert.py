"""`evnas convert`: weights under other names."""

from pathlib import Path
from typing import Annotated

import typer

from evnas.arch.catalog import entry
from evnas.commands.options import Names
from evnas.commands.output import AsJson, emit
from evnas.words import counted


def convert(
    arch: Annotated[str, typer.Argument(metavar="NAME", help="A name of `evnas models`.")],
    source: Annotated[Path, typer.Argument(metavar="FROM", help="A state dict's file.")],
    output: Annotated[Path, typer.Argument(metavar="TO", help="The file to write.")],
    to: Annotated[Names, typer.Option("--to", help="Whose names TO has.")] = "ours",
    json: AsJson = False,
) -> None:
    """Turn released weights into ours, or ours into the release's names.

    \b
    Examples:
      evnas convert efficientvim_m1 released.pth m1.pt
    """
    entry(arch)
    from evnas.commands.exporting import convert_weights

    tensors = convert_weights(arch, source, output, to=to)
    data = {"output": str(output), "tensors": tensors, "names": to}
    emit(data, f"{output}: {counted(tensors, 'tensor')} under {to} names", json)
