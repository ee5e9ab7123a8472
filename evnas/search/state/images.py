"""The images of a study: known from its first run on, and never mixed with others."""

from pathlib import Path

from evnas.errors import StoreError
from evnas.proxy.fingerprint import KnownImages, known_images
from evnas.store import Store
from evnas.sweep.sweep import Sweep

NOTE = "images"
"""Where the store keeps them."""


def images_of(sweep: Sweep, path: Path | None) -> KnownImages:
    """The images that a sweep trains on, as they are now.

    Args:
        path: the store of the study that goes on, if there is one: what that knows spares reading
            all files again, and files become pixels as they did in it. None for a fresh study.

    Raises:
        DataError: they are not there, or cannot be understood.
        StoreError: what lies at `path` is no study.
    """
    assert sweep.spec.proxy is not None
    data = sweep.spec.proxy.model_dump(mode="json")["data"]
    return known_images(data, before=None if path is None else _noted_at(path))


def noted(store: Store) -> KnownImages | None:
    """The images that a study knows; None of one from before they were noted."""
    raw = store.meta(NOTE)
    return None if raw is None else KnownImages.from_dict(raw)


def note(store: Store, now: KnownImages) -> list[str]:
    """Keep the images of an opened study; what is to be said of them.

    Raises:
        StoreError: its rows were trained on others.
    """
    before = noted(store)
    store.note(NOTE, now.to_dict())
    if before is not None:
        doubt = now.cannot_tell(before)
        return [doubt] if doubt else []
    if any(record.phase == "proxy" for _, record in store.records()):
        return [
            "the images of this study were not noted when it was made: whether they are the same "
            "now is not known"
        ]
    return [f"images: {now.about}"] if now.about else []


def must_be_the_same(store: Store, now: KnownImages) -> None:
    """The study's images are those of now. Raises StoreError with what changed."""
    before = noted(store)
    changes = "" if before is None else now.changes_since(before)
    if changes:
        raise StoreError(
            f"{store.path}: its rows were trained on other images ({changes}); put them back, or "
            "--fresh starts over and keeps the old study aside, --name NAME starts another study"
        )


def _noted_at(path: Path) -> KnownImages | None:
    if not path.is_file():
        return None
    with Store.read(path) as store:
        known = noted(store)
        if known is None and "images" not in (store.meta("identity") or {}):
            return KnownImages(fingerprint="")  # an old study's are not known, but their reading
        return known
