"""`evnas diff`: where two architectures differ."""

from evnas.commands.named import ArchName
from evnas.commands.output import AsJson, columns, emit
from evnas.sweep.named import arch_of


def diff(left: ArchName, right: ArchName, json: AsJson = False) -> None:
    """Print where two architectures differ, path by path.

    \b
    Examples:
      evnas diff efficientvim_m1 efficientvim_m2
    """
    from evnas.arch.paths import diff as paths_that_differ

    found = paths_that_differ(arch_of(left), arch_of(right))
    data = [{"path": path, "left": a, "right": b} for path, a, b in found]
    text = columns(("path", left, right), found) if found else "they are one architecture"
    emit(data, text, json)
