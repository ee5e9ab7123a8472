"""YAML with lines: what is read, and where each complaint stands."""

import pytest

from evnas.errors import SpecError
from evnas.sweep.yaml_lines import parse_yaml, read_yaml

TEXT = """\
name: x
rows:
  A: {}
  I: {"stages[*].mixer.states": [9, 25, 49]}
fragment: &f {lr: 1e-3, off: yes}
mixed: {<<: *f, lr: 3}
seeds:
  - 0
  - 1
"""


def test_plain_data_with_lines():
    document = parse_yaml(TEXT, source="x.yaml")
    assert document.data["mixed"] == {"lr": 3, "off": True}
    assert document.data["fragment"]["lr"] == 0.001
    assert document.line("rows.I.stages[*].mixer.states") == 4
    assert document.line("seeds[1]") == 9
    assert document.line("rows.I.nothing.of[3].this") == 4


def test_a_complaint_gets_its_line():
    document = parse_yaml(TEXT, source="x.yaml")
    error = document.blame(SpecError("must be odd, got 1", "seeds[1]"))
    assert str(error) == "x.yaml:9: seeds[1]: must be odd, got 1"
    assert document.blame(error) is error


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "x.yaml:1: is empty"),
        ("# nothing\n", "x.yaml:1: is empty"),
        ("- a\n", "x.yaml:1: must be a mapping"),
        ("a: [\n", "x.yaml:2: must be YAML"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "x.yaml:4: b.c: this key stands twice, first in line 3"),
        ("a: !!python/object:os.system 1\n", "x.yaml:1: must be YAML"),
        ("a: \x00\n", "x.yaml:1: must be YAML, got control characters"),
        ("a: &a\n  b: *a\n", "a.b: must not hold itself"),
        ("? [a]\n: b\n", "a key must be text"),
        ("a: 1\n---\nb: 2\n", "x.yaml:2: must be YAML"),
        ("\ta: b\n", "x.yaml:1: must be YAML"),
    ],
)
def test_what_is_not_a_mapping_is_refused(text, complaint):
    with pytest.raises(SpecError) as e:
        parse_yaml(text, source="x.yaml")
    assert complaint in str(e.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SpecError, match=r"nothing\.yaml: must be a readable YAML file"):
        read_yaml(tmp_path / "nothing.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(SpecError, match="must be YAML in UTF-8"):
        read_yaml(tmp_path / "bytes.yaml")
