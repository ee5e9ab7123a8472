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
    ("text", "path", "python", "said"),
    [
        ("a: {b: yes}", "a.b", "True", "got yes"),
        ("a: {b: off}", "a.b", "False", "got off"),
        ("a: {b: }", "a.b", "None", "got nothing"),
        ("a: {b: ~}", "a.b", "None", "got ~"),
        ("a: {b: 1e-9}", "a.b", "1e-09", "got 1e-9"),
        ("a: {b: 1_000}", "a.b", "1000", "got 1_000"),
        ("a: [no, 3]", "a[0]", "False", "got no"),
        ("a: {'s[*].b': yes}", "a.s[1].b", "True", "got yes"),  # spelt otherwise, in that place
        ("a: {b: true}", "a.b", "True", "got true"),
        ("a: {b: 'yes'}", "a.b", "'yes'", "got 'yes'"),
        ("a: {b: yes}", "a.b", "Trueish", "got Trueish"),
        ("a: {c: yes, d: on}", "a.b", "True", "got True"),  # which of the two is not known
        ("a: 1\nb: yes", "a", "True", "got True"),  # said elsewhere
    ],
)
def test_a_complaint_quotes_the_file(text, path, python, said):
    document = parse_yaml(text, source="x.yaml")
    error = document.blame(SpecError(f"must be good, got {python}", path))
    assert error.reason == f"must be good, {said}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "x.yaml:1: is empty"),
        ("# nothing\n", "x.yaml:1: is empty"),
        ("- a\n", "x.yaml:1: must be a mapping"),
        ("a: [\n", "x.yaml:2: must be YAML"),
        ("a: {b[0].c: 1}\n", "got '['; within { } a path with brackets stands in quotes"),
        ("a: [b", "x.yaml:1: must be YAML"),
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "x.yaml:4: b.c: this key appears twice, first in line 3"),
        ("a: !!python/object:os.system 1\n", "x.yaml:1: a: must have no tag !!python/object:os"),
        ("a:\n  b: !!int abc\n", "x.yaml:2: a.b: must be what its tag !!int says, got 'abc'"),
        ("a: !!float abc\n", "a: must be what its tag !!float says"),
        ("a: !!bool abc\n", "a: must be what its tag !!bool says"),
        ("a: !!timestamp 2020-99-99\n", "a: must have no tag !!timestamp"),
        ("a: !!binary aaaa\n", "a: must have no tag !!binary"),
        ("a: !!set {b, c}\n", "a: must have no tag !!set"),
        ("a: !mine b\n", "a: must have no tag !mine"),
        (
            f"a: 1\nb: {'9' * 5000}\n",
            "x.yaml:2: b: must be a whole number of at most 18 digits, g",
        ),
        (f"a: -{'9' * 30}\n", "a: must be a whole number of at most 18 digits, got one of 30"),
        (f"a: 0x{'f' * 30}\n", "a: must be a whole number of at most 18 digits"),
        ("a: .inf\n", "a: must be a finite number, got .inf"),
        ("a: -.INF\n", "a: must be a finite number"),
        ("a: [.nan]\n", "a[0]: must be a finite number"),
        ("a: 1e999\n", "a: must be a finite number, got 1e999"),
        ('a: "\\uD800"\n', "a: must be Unicode text, got half a character"),
        ('"\\uD800": a\n', "must be Unicode text"),
        (
            f"a: 1\nb: {'[' * 2000}{']' * 2000}\n",
            "x.yaml:2: must be YAML: must be at most 50 coll",
        ),
        (f"a: {'{b: ' * 2000}{'}' * 2000}\n", "must be at most 50 collections deep"),
        (
            "a: 010\n",
            "a: must be plain to read, got 010, which may be octal to YAML 1.1",
        ),
        ("a: 08\n", "a: must be plain to read, got 08"),
        ("a: [-007]\n", "a[0]: must be plain to read, got -007"),
        ("a: 1:30\n", "a: must be plain to read, got 1:30, which is a number of base 60 to YAML"),
        ("a: 1:30:00.5\n", "a: must be plain to read, got 1:30:00.5"),
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


LAUGHS = "\n".join(
    f"{name}: &{name} [{', '.join([f'*{inner}' if inner else 'x'] * 9)}]"
    for inner, name in zip(["", *"abcdefgh"], "abcdefghi", strict=True)
)


def test_aliases_of_aliases_end():
    with pytest.raises(SpecError, match="must hold at most 100,000 values, aliases written out"):
        parse_yaml(LAUGHS, source="x.yaml")


def test_fragments_of_fragments_are_mixed_in_once():
    lines = ["a: &a {k0: 0, k: 0}"]
    for i, (inner, name) in enumerate(zip("abcdefghij", "bcdefghijk", strict=True), start=1):
        lines.append(
            f"{name}: &{name} {{<<: [{', '.join([f'*{inner}'] * 9)}], k{i}: {i}, k: {i}}}"
        )
    data = parse_yaml("\n".join(lines), source="x.yaml").data
    assert data["k"] == {"k": 10, **{f"k{i}": i for i in range(11)}}


def test_of_several_fragments_the_first_wins_and_own_keys_before_it():
    text = "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc: {z: 3, <<: [*a, *b]}\n"
    assert parse_yaml(text, source="x.yaml").data["c"] == {"x": 1, "y": 1, "z": 3}


def test_what_is_quoted_means_its_text_and_plain_numbers_stay():
    text = """{a: "010", b: '1:30', c: 0, d: 0.5, e: 1_000, f: 2026-11-29, g: -0.1, h: 0e0}"""
    assert parse_yaml(text, source="x.yaml").data == {
        "a": "010", "b": "1:30", "c": 0, "d": 0.5, "e": 1000, "f": "2026-11-29", "g": -0.1,
        "h": 0.0,
    }  # fmt: skip


def test_a_byte_order_mark_and_windows_lines_change_nothing(tmp_path):
    plain, marked = tmp_path / "plain.yaml", tmp_path / "marked.yaml"
    plain.write_text(TEXT)
    marked.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    assert read_yaml(marked).data == read_yaml(plain).data
    assert read_yaml(marked).lines == read_yaml(plain).lines


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SpecError, match=r"nothing\.yaml: must be a readable YAML file"):
        read_yaml(tmp_path / "nothing.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe")
    with pytest.raises(SpecError, match="must be YAML in UTF-8"):
        read_yaml(tmp_path / "bytes.yaml")
