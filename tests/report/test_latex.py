"""Names of rows in table.tex and table.md: printed as they are written."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evnas.report.table.ablation import build_ablation_table
from evnas.report.table.formats import as_csv, as_latex, as_markdown
from evnas.report.table.latex import tex
from evnas.sweep.sweep import sweep_of


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("x^2", r"x\textasciicircum{}2"),
        ("{a} $b", r"\{a\} \$b"),
        ("50_000 & #1 % ~ \\ done", r"50\_000 \& \#1 \% \textasciitilde{} \textbackslash{} done"),
        ("μ ± 5 ≥ Ω Ε → é", r"\ensuremath{\mu} \ensuremath{\pm} 5 \ensuremath{\geq} "
         r"\ensuremath{\Omega} \ensuremath{\mathrm{E}} \ensuremath{\rightarrow} é"),
        ("[a] *b", r"{[}a] {*}b"),
        ("top-1 --flag", r"top-1 -{}-flag"),
        ("a<b>|c|", r"a\ensuremath{<}b\ensuremath{>}\ensuremath{|}c\ensuremath{|}"),
        ("two\nlines\tx", "two lines x"),
    ],
)  # fmt: skip
def test_signs(text, full):
    assert tex(text) == full


@given(st.text(st.characters(codec="ascii"), max_size=30))
def test_no_sign_of_a_text_is_a_command(text):
    """What is left once our own spellings are taken away is plain."""
    ours = r"\\(text\w+|texttt|ensuremath|ldots)(?![a-z])|\\[{}$&%#_]|\{\}|\{[\[*<>|\"]\}"
    left = re.sub(ours, "", tex(text))
    assert not set(left) & set("\\{}$&%#_^~<>|\"`'\n\t\0")


LABELS = ["A", "x^2", "{a} $b", "μ ± 5 % ~ 50_000 & #1 \\ done", "[x]", "a|b *c*"]


def test_tables_hold_every_label(tmp_path):
    rows = {label: {"stages[*].depth": i + 1} for i, label in enumerate(LABELS)}
    sweep = sweep_of({"name": "x", "base": "efficientvim_m1", "rows": rows, "targets": []})
    table = build_ablation_table(sweep, [], {})
    lines = as_latex(table).splitlines()
    body = lines[lines.index("\\midrule") + 1 : lines.index("\\bottomrule")]
    assert [line.split(" & ")[0] for line in body] == [tex(label) for label in LABELS]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {1 + len(table.columns)}
    assert r"| a\|b \*c\* |" in as_markdown(table)


def test_no_label_is_a_formula_a_link_or_html():
    labels = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "-1.5e3", "<b>x</b>",
              "[a](javascript:alert(1))", "&lt;", "_a_", "a_b"]  # fmt: skip
    rows = {label: {"stages[*].depth": i + 1} for i, label in enumerate(labels)}
    sweep = {"name": "x", "title": "<i>[t](x)", "base": "efficientvim_m1", "rows": rows}
    table = build_ablation_table(sweep_of(sweep | {"targets": []}), [], {})
    cells = [line[0] for line in csv.reader(io.StringIO(as_csv(table)))][1:]
    assert cells == [f"'{label}" for label in labels[:5]] + labels[5:]
    text = as_markdown(table)
    assert text.startswith("# \\<i>[t\\](x)\n")
    for written in ("\\<b>x\\</b>", "[a\\](javascript:alert(1))", "\\&lt;", "\\_a\\_", "a_b"):
        assert f"| {written} |" in text
