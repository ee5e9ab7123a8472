"""One meaning a name: over all of the package, no class is called as another one is."""

import re
from collections import defaultdict
from pathlib import Path

import evnas

ROOT = Path(evnas.__file__).parent


def test_no_two_classes_have_one_name() -> None:
    places = defaultdict(list)
    for file in sorted(ROOT.rglob("*.py")):
        for name in re.findall(r"^class (\w+)", file.read_text(), re.MULTILINE):
            places[name].append(str(file.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
