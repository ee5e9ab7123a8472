"""A whole copy of a study, also while it is being written."""

from pathlib import Path

from evnas.errors import StoreError
from evnas.files import make_folder_of
from evnas.store.faults import DamagedStudy, as_sentences
from evnas.store.store import Store


def backup(path: Path, output: Path) -> int:
    """Copy a study as it is at one moment, and read the copy back.

    A file copy of a study that runs lacks what lies in SQLite's log; this one does not.

    Args:
        output: the copy's file, which must not be there yet; its folder is made.

    Returns:
        How many records the copy has.

    Raises:
        StoreError: the study is damaged, or the copy cannot be written.
    """
    if output.exists():
        raise StoreError(f"{output}: is there already; a backup goes to a new file")
    make_folder_of(output)
    with Store.read(path) as store, as_sentences(output, needed=path.stat().st_size):
        store.copy_to(output)
    try:
        with Store.read(output) as copy:
            return sum(1 for _ in copy.rows())
    except DamagedStudy as e:  # pages are copied as they are: the study wants mending
        output.unlink()
        raise DamagedStudy(path, e.what) from e
