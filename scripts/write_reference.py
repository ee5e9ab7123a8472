"""Writes the pages of docs/reference/ that are made from the code, and the notebook's page.

To be run after a change of a sweep's keys, of what phases find, of a command or of the notebook; a
test compares.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from evnas.cli import app
from evnas.phases.base import Phase, Quantity
from evnas.sweep.shipped import shipped_sweeps
from evnas.sweep.sweep import load_sweep, sweep_schema
from evnas.tables import phases

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
NOTEBOOK = ROOT / "examples" / "table_c.ipynb"
MADE = "<!-- Made by scripts/write_reference.py; change the code, then run it again. -->"
COSTS: Mapping[str, str] = {
    "speed": "the target's `budget_s` at most: 2.5 s a search's candidate, 8 s a row",
    "proxy": "a short training: a minute or more, by epochs, width and resolution",
}
"""Of phases whose cost a sweep's file decides."""
BETTER = {"max": "more", "min": "less", "": ""}
PARTS = {
    "AblationSpec": ("A sweep of rows", "Every key that a file with `rows` may have."),
    "SearchSpec": ("A search", "Every key that a file with `space` may have."),
    "TargetSpec": ("`targets`, each", ""),
    "ProxySpec": ("`proxy`", ""),
    "FolderSpec": ("`proxy.data`, a folder", ""),
    "PredictSpec": ("`predict`", ""),
    "PublishedSpec": ("`published`", ""),
    "EngineSpec": ("`engine`", ""),
    "FailuresSpec": ("`failures`", ""),
    "RetriesSpec": ("`failures.retries`", ""),
    "SpaceSpec": ("`space`", ""),
    "IntBounds": ("`{int: ...}`", ""),
    "FloatBounds": ("`{float: ...}`", ""),
    "ObjectiveSpec": ("`objectives`, each", ""),
    "BudgetSpec": ("`budget`", ""),
    "ConfirmSpec": ("`confirm`", ""),
    "WarmStartSpec": ("`warm_start`, each", ""),
}
"""Parts of the schema, in the order of the page: heading, and what stands below it."""

ABOUT_QUANTITIES = """\
Every quantity that `objectives` and `constraints` may name. Phases run in the order of this table:
a candidate that breaks a constraint in one is spared all that come later. Costs are of two slow
cores.

`NAME@TARGET` takes one target, by its id, its beginning or a name (`latency_ms@b1`). FLOPs are
multiply-adds (MACs), as the papers of this field print them. A constraint may also read fields of
the architecture, which costs nothing: `sum(stages[*].depth) <= 16`. What they can tell is said of
[measuring](measuring.md), the [prediction](prediction.md), the [scores](prediction.md#signals) and
the [proxy](proxy.md)."""
ABOUT_KEYS = """\
An editor that knows YAML schemas shows the same while one types: put
`# yaml-language-server: $schema=space.schema.json` into the first line, beside the file that
`evnas schema > space.schema.json` writes. An unknown key is refused with its line."""
ABOUT_STRATEGIES = """\
## `strategy`

One of these kinds; its name alone is short for `{kind: NAME}`."""
ABOUT_COMMANDS = """\
stdout is data, stderr is talk; `--json` prints data alone. A mistake of yours is one line and exit
code 2. `evnas --install-completion` makes the shell complete commands and options."""

ABOUT_SWEEPS = """\
They run by name from any folder: `evnas sweep table_c`; `check`, `plan` and `space` take a name
too. The files lie under `sweeps/` in the repository, to copy and to change."""


def pages() -> dict[str, str]:
    """Path from docs/reference -> its text."""
    return {
        "../guide/notebook.md": notebook_page(json.loads(NOTEBOOK.read_text(encoding="utf-8"))),
        "keys.md": keys_page(sweep_schema()),
        "quantities.md": quantities_page(),
        "commands.md": commands_page(),
        "sweeps.md": sweeps_page(),
    }


def quantities_page() -> str:
    """Everything that may be an objective or stand in a constraint."""
    rows = [
        (
            f"`{quantity.name}`",
            quantity.heading,
            quantity.unit,
            BETTER[quantity.goal],
            phase.name,
            COSTS.get(phase.name, f"about {phase.guess_s:g} s"),
        )
        for phase, quantity in _quantities()
    ]
    head = ("name", "what it is", "unit", "better", "phase", "what it costs, of one candidate")
    parts = ["# Objectives and constraints", MADE, ABOUT_QUANTITIES, _table(head, rows)]
    return "\n\n".join(parts) + "\n"


def _quantities() -> Iterator[tuple[Phase, Quantity]]:
    for phase in phases():
        for quantity in phase.quantities:
            yield phase, quantity


def keys_page(schema: Mapping[str, Any]) -> str:
    """Every key of a sweep's file."""
    models = schema["$defs"]
    parts = [_model_part(models[name], *PARTS[name]) for name in PARTS]
    whole = ["# Keys of a sweep's file", MADE, ABOUT_KEYS, *parts, ABOUT_STRATEGIES]
    return "\n\n".join([*whole, *_strategies(models["StrategySpec"])]) + "\n"


def _model_part(model: Mapping[str, Any], heading: str, below: str) -> str:
    said = below or model.get("description", "")
    return f"## {heading}\n\n{' '.join(said.split())}\n\n{_properties(model)}"


def _strategies(strategy: Mapping[str, Any]) -> list[str]:
    kinds = strategy["anyOf"][1:]
    return [
        f"### `{kind['properties']['kind']['const']}`\n\n"
        f"{' '.join(kind.get('description', '').split())}\n\n{_properties(kind, skip='kind')}"
        for kind in kinds
    ]


def _properties(model: Mapping[str, Any], *, skip: str = "") -> str:
    needed = model.get("required", ())
    rows = [
        (
            f"`{key}`",
            _type(value),
            "**needed**" if key in needed else _default(value),
            value.get("description", ""),
        )
        for key, value in model["properties"].items()
        if key != skip
    ]
    return _table(("key", "value", "unless given", "what it says"), rows)


def _type(value: Mapping[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in value:
        return _named(value["$ref"].rpartition("/")[2])
    if "const" in value or "enum" in value:
        return ", ".join(f"`{one}`" for one in value.get("enum", [value.get("const")]))
    if "anyOf" in value or "oneOf" in value:
        several = value.get("anyOf") or value["oneOf"]
        return " or ".join(dict.fromkeys(_type(one) for one in several))
    kind = value.get("type", "")
    if kind == "array":
        return f"list: {_type(value.get('items', {})) or 'values'}"
    names = {"integer": "whole number", "number": "number", "string": "text"}
    words = {**names, "boolean": "true or false", "object": "mapping", "null": "null"}
    return f"{words.get(str(kind), '')}{_bounds(value)}"


def _named(model: str) -> str:
    if model == "StrategySpec":
        return "[a kind](#strategy)"
    if model not in PARTS:
        return "a domain"
    heading = PARTS[model][0]
    slug = re.sub(r"[^\w\s-]", "", heading).lower().replace(" ", "-")
    return f"[{heading.partition(',')[0]}](#{slug})"


def _bounds(value: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {value[key]:g}" for key, sign in signs.items() if key in value]
    return (
        ""
        if any(abs(value.get(key, 0)) > 1e15 for key in signs) or not bounds
        else (f" {' and '.join(bounds)}")
    )


def _default(value: Mapping[str, Any]) -> str:
    if "default" not in value:
        return ""
    usual = value["default"]
    if isinstance(usual, Mapping) or (isinstance(usual, list) and usual and not _plain(usual)):
        return "its own defaults"
    return f"`{'null' if usual is None else usual}`" if usual != "" else '`""`'


def _plain(values: Sequence[object]) -> bool:
    return not any(isinstance(value, Mapping) for value in values)


def commands_page() -> str:
    """Every command with its options."""
    group: Any = typer.main.get_command(app)  # of typer's own copy of click, or of click
    parts = [_command_part(name, command) for name, command in _leaves(group)]
    return "\n\n".join(["# Commands", MADE, ABOUT_COMMANDS, *parts]) + "\n"


def _leaves(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Commands by their words: `sweep`, `store check`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def sweeps_page() -> str:
    """Every sweep that comes along."""
    loaded = {name: load_sweep(path).spec for name, path in shipped_sweeps().items()}
    rows = [(f"`{name}`", spec.title, spec.in_words) for name, spec in loaded.items()]
    parts = ["# Sweeps that come along", MADE, ABOUT_SWEEPS, _table(("name", "of", "is"), rows)]
    return "\n\n".join(parts) + "\n"


def notebook_page(notebook: Mapping[str, Any]) -> str:
    """The notebook's words and code; what it shows is made by whoever runs it."""
    heading, *parts = (_cell(cell) for cell in notebook["cells"])
    title, _, about = heading.partition("\n\n")
    where = (
        f"It is `examples/{NOTEBOOK.name}`: open it with Jupyter (`pip install notebook`) or an "
        "editor that knows notebooks. A test runs it from its first cell to its last. "
        "[Python](../reference/python.md) has every function."
    )
    return "\n\n".join([title, MADE, about, where, *parts]) + "\n"


def _cell(cell: Mapping[str, Any]) -> str:
    text = "".join(cell["source"])
    return f"```python\n{text}\n```" if cell["cell_type"] == "code" else text


def _command_part(name: str, command: Any) -> str:
    text, _, examples = (command.help or "").partition("\b")
    lines = [line.strip() for line in examples.splitlines() if line.strip().startswith("evnas ")]
    rows = [_parameter(parameter) for parameter in command.params if parameter.name != "help"]
    block = "```bash\n" + "\n".join(lines) + "\n```"
    return "\n\n".join(
        [
            f"## `evnas {name}`",
            " ".join(text.split()),
            block,
            _table(("argument or option", "unless given", "what it says"), rows) if rows else "",
        ]
    ).rstrip()


def _parameter(parameter: Any) -> tuple[str, str, str]:
    said = getattr(parameter, "help", "") or ""
    if parameter.param_type_name == "option":
        names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
        return names, _usual(parameter), said
    return f"`{parameter.metavar or parameter.name}`", _usual(parameter), said


def _usual(parameter: Any) -> str:
    if parameter.required:
        return "**needed**"
    usual = parameter.default
    plain = isinstance(usual, str | int | float | Path) and not isinstance(usual, bool)
    return f"`{usual}`" if plain and str(usual) else ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in cells) + " |"

    return "\n".join([line(head), line(["---"] * len(head)), *map(line, rows)])


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
