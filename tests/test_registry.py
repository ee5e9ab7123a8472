"""What a table takes, refuses, and hands to workers."""

import pytest

from evnas.errors import SpecError
from evnas.registry import PluginError, Registry, additions, adopt


@pytest.fixture
def table() -> Registry[object]:
    return Registry("test thing", {"path": "pathlib:Path", "gone": "no_such_module:x"})


def test_a_name_is_imported_when_it_is_asked_for(table: Registry[object]) -> None:
    from pathlib import Path

    assert table.names() == ("path", "gone")
    assert table.get("path") is Path
    with pytest.raises(SpecError, match=r"no test thing is named 'pth'; did you mean 'path'\?"):
        table.get("pth")


def test_a_name_is_taken_once(table: Registry[object]) -> None:
    thing = object()
    assert table.add("mine", thing) is thing
    table.add("mine", thing)
    for name in ("mine", "path"):
        with pytest.raises(PluginError, match="choose another name"):
            table.add(name, object())


def test_a_name_can_stand_in_a_path(table: Registry[object]) -> None:
    with pytest.raises(PluginError, match="must be named by letters, digits and _, got 'a-b'"):
        table.add("a-b", 1)


def test_a_worker_adopts_what_its_driver_added(table: Registry[object]) -> None:
    table.add("mine", 7)
    sent = tuple(item for item in additions() if item[0] == "test thing")
    assert sent == (("test thing", "mine", 7),)
    worker: Registry[object] = Registry("test thing", {})
    adopt((*sent, ("a kind that nobody has", "x", 1)))
    adopt(sent)  # each piece of work brings it again
    assert worker.get("mine") == 7
