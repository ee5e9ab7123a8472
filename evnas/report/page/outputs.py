"""What a study leaves beside its store: the table in every form, and the page."""

from dataclasses import dataclass
from pathlib import Path

from evnas.errors import SpecError, StoreError
from evnas.files import write_whole
from evnas.registry import PluginError
from evnas.report.page.one_file import write_report
from evnas.report.table.ablation import AblationTable
from evnas.report.table.formats import as_csv, as_latex, as_markdown
from evnas.report.table.study_table import load_table
from evnas.store import Store


@dataclass(frozen=True, slots=True)
class StudyOutputs:
    """Files that were written, and the table in them; a search has none, nor a study
    whose rows name what no installed package knows."""

    files: list[Path]
    table: AblationTable | None


def write_outputs(folder: Path, out: Path | None = None) -> StudyOutputs:
    """Write table.md, table.csv, table.tex and the page, into the study's folder or `out`.

    Raises:
        StoreError: there is no study, or `out` cannot be written.
    """
    Store.read(folder / "study.db").close()  # before anything is made
    out = out or folder
    try:
        out.mkdir(parents=True, exist_ok=True)
        return _written(folder, out)
    except OSError as e:
        raise StoreError(
            f"{out}: must be a folder that can be written, got: {e.strerror}; --output names "
            "another"
        ) from e


def _written(folder: Path, out: Path) -> StudyOutputs:
    try:
        table = load_table(folder)
    except (SpecError, PluginError):  # of a package that is not here, or broken: a page is drawn
        table = None
    files: list[Path] = []
    if table is not None:
        for suffix, text in (
            ("md", as_markdown(table)),
            ("csv", as_csv(table)),
            ("tex", as_latex(table)),
        ):
            files.append(out / f"table.{suffix}")
            write_whole(files[-1], text)
    return StudyOutputs([*files, *write_report(folder, out)], table)
