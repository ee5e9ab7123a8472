"""Text for LaTeX, to be printed as it is written: by pdfLaTeX, XeLaTeX and LuaLaTeX."""

import re
import unicodedata
from collections.abc import Mapping

_SIGNS: Mapping[str, str] = {
    "\\": "\\textbackslash{}",
    "{": "\\{",
    "}": "\\}",
    "$": "\\$",
    "&": "\\&",
    "%": "\\%",
    "#": "\\#",
    "_": "\\_",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
    # these print as other signs in LaTeX's usual encoding, or join up
    "<": "\\ensuremath{<}",
    ">": "\\ensuremath{>}",
    "|": "\\ensuremath{|}",
    '"': '\\texttt{"}',
    "`": "\\textasciigrave{}",
    "'": "\\textquotesingle{}",
    # after the \\ of the line before, these would be its arguments
    "[": "{[}",
    "*": "{*}",
    "…": "\\ldots{}",
    "–": "\\textendash{}",
    "—": "\\textemdash{}",
    "−": "\\ensuremath{-}",
    "±": "\\ensuremath{\\pm}",
    "×": "\\ensuremath{\\times}",
    "·": "\\ensuremath{\\cdot}",
    "≤": "\\ensuremath{\\leq}",
    "≥": "\\ensuremath{\\geq}",
    "≠": "\\ensuremath{\\neq}",
    "≈": "\\ensuremath{\\approx}",
    "→": "\\ensuremath{\\rightarrow}",
    "←": "\\ensuremath{\\leftarrow}",
    "∞": "\\ensuremath{\\infty}",
    "√": "\\ensuremath{\\surd}",
    "°": "\\ensuremath{^{\\circ}}",
    "²": "\\ensuremath{^{2}}",
    "³": "\\ensuremath{^{3}}",
    "µ": "\\ensuremath{\\mu}",
    "ς": "\\ensuremath{\\varsigma}",
}
_LOOKS_LATIN = "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"
"""Greek letters for which LaTeX has no command, since they look like these:"""
_LATIN = "ABEZHIKMNOPTYXo"


def tex(text: str) -> str:
    """A text with everything that LaTeX would take for a command spelt out.

    Greek letters and the usual signs become mathematics; accented Latin letters stay. Other
    scripts stay too, and need XeLaTeX or LuaLaTeX with a font that has them.
    """
    spelt = "".join(_sign(sign) for sign in " ".join(text.split()))
    return re.sub("-(?=-)", "-{}", spelt)  # two would be one long dash


def _sign(sign: str) -> str:
    if sign in _SIGNS:
        return _SIGNS[sign]
    if sign in _LOOKS_LATIN:
        return f"\\ensuremath{{\\mathrm{{{_LATIN[_LOOKS_LATIN.index(sign)]}}}}}"
    return _greek(sign) or ("" if unicodedata.category(sign) == "Cc" else sign)


def _greek(sign: str) -> str:
    """`\\ensuremath{\\mu}` of a Greek letter; "" of all others."""
    words = unicodedata.name(sign, "").split()
    if words[:1] != ["GREEK"] or words[2:3] != ["LETTER"] or len(words) != 4:
        return ""
    name = words[3].lower().replace("lamda", "lambda")
    return f"\\ensuremath{{\\{name.capitalize() if words[1] == 'CAPITAL' else name}}}"
