"""The notebook runs from its first cell to its last in a kernel of its own, and is kept without
what it shows."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "table_c.ipynb"


def test_the_notebook_runs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = {cell["id"]: cell for cell in notebook.cells if cell.cell_type == "code"}
    assert not any(cell.outputs or cell.execution_count for cell in cells.values())
    place = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=120, resources=place).execute()
    shown = {name: "".join(map(str, cell.outputs)) for name, cell in cells.items()}
    assert "predicted_top1_percent" in shown["load"] and "throughput_ratio" in shown["front"]
    assert "application/vnd.plotly.v1+json" in shown["figure"]
    assert "cpu-torch-64-b1-float32" in shown["bench"]
    assert "here and now" in shown["compare"] and "NaN" not in shown["compare"]
