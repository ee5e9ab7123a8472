"""Every command of evnas, those of two words among them."""

from typing import Any

import typer

from evnas.cli import app


def known_commands(group: Any, before: str = "") -> dict[str, Any]:
    """Commands by their words: `sweep`, `store check`."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        below = hasattr(command, "commands")
        words = f"{before}{name}"
        found |= known_commands(command, f"{words} ") if below else {words: command}
    return found


COMMANDS = known_commands(typer.main.get_command(app))
