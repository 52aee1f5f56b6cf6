"""A document as LaTeX that pdflatex compiles: booktabs tables, each a float with its own caption."""

import re
import unicodedata
from collections.abc import Iterable

from initbench.render.blocks import Block, Code, Heading, Paragraph, Table, shown, without_figures
from initbench.render.terminal import fitting, sizes

_HEAD = r"""\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{lmodern,textcomp,amssymb}
\usepackage[a4paper,margin=22mm]{geometry}
\usepackage{booktabs,adjustbox,array,longtable,float}
\setlength{\parindent}{0pt}\setlength{\parskip}{6pt}
\begin{document}
"""
# A float of more rows than this would not fit a page.
_MOST_ROWS = 45
# Characters of the smallest print on a line, the space between columns counted as three.
_WIDTH = 125
_ASCII = {
    **{"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%"},
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}"},
    **{"|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}"},
}
_MATH = {
    **{"±": r"\pm", "√": r"\surd", "·": r"\cdot", "−": "-", "∞": r"\infty", "≤": r"\le", "≥": r"\ge", "×": r"\times"},
    **{"→": r"\to", "½": r"\frac12", "σ": r"\sigma", "μ": r"\mu", "α": r"\alpha", "β": r"\beta", "γ": r"\gamma"},
    **{
        "δ": r"\delta",
        "ε": r"\varepsilon",
        "φ": r"\varphi",
        "π": r"\pi",
        "χ": r"\chi",
        "λ": r"\lambda",
        "Σ": r"\Sigma",
    },
    **{
        "²": "^2",
        "³": "^3",
        "ⁿ": "^n",
        "¹": "^1",
        "⁻": "^-",
        "∈": r"\in",
        "≈": r"\approx",
        "∼": r"\sim",
        "∏": r"\prod",
    },
    **{"ᵀ": r"^\top", "∑": r"\sum", "‖": r"\|", "⟨": r"\langle", "⟩": r"\rangle", "ℓ": r"\ell"},
}
# What the font encoding T1 has, of ASCII and of the Latin letters beyond it.
_T1 = set(map(chr, [*range(0x20, 0x7F), *range(0xA1, 0x180)])) - set("ĦħĸĿŀŉŦŧſ")
_TEXT = {"–": "--", "—": "---", "…": r"\ldots{}", "“": "``", "”": "''", "‘": "`", "’": "'", "\u00a0": "~"}


def to_latex(blocks: Iterable[Block]) -> str:
    """A whole document, figures as their tables; ``--figures`` writes the figures."""
    return _HEAD + "\n\n".join(_latex(shown(block)) for block in without_figures(blocks)) + "\n\\end{document}\n"


def _latex(block: Heading | Paragraph | Table | Code) -> str:
    if isinstance(block, Heading):
        return rf"\section*{{{tex(block.text)}}}"
    if isinstance(block, Code):
        lines = "\\par ".join(_breakable(tex(line)) for line in block.lines)
        return rf"{{\footnotesize\ttfamily\raggedright {lines}\par}}"
    if isinstance(block, Paragraph):
        return tex(block.text)
    return _table(block)


def _table(table: Table) -> str:
    about = " ".join(filter(None, [rf"\textbf{{{tex(table.title)}.}}" if table.title else "", tex(table.caption)]))
    if len(table.rows) > _MOST_ROWS:
        note = (f"\n{{\\small {about}\\par}}" if about else "") + (f"\n{_context(table)}" if table.context else "")
        return "\n".join([r"{\scriptsize", *map(_long, fitting(table, _WIDTH)), "}" + note])
    columns = "".join("l" if i in table.left else "r" for i in range(len(table.header)))
    lines = [r"\begin{table}[H]\centering\footnotesize"]
    lines += [rf"\begin{{adjustbox}}{{max width=\textwidth}}\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += [_line(table.header), r"\midrule", *_body(table), r"\bottomrule", r"\end{tabular}\end{adjustbox}"]
    if about:
        lines.append(rf"\caption{{{about}}}")
    if table.context:
        lines.append(_context(table))
    return "\n".join([*lines, r"\end{table}"])


def _long(table: Table) -> str:
    """A table over several pages; where its texts are too wide for one, they are folded."""
    widths = sizes(table)
    columns = ["l" if i in table.left else "r" for i in range(len(table.header))]
    if sum(widths) > _WIDTH:
        for i in table.left[1:]:
            columns[i] = rf">{{\raggedright\arraybackslash}}p{{{0.8 * widths[i] / sum(widths):.3f}\textwidth}}"
    lines = [rf"\begin{{longtable}}{{{''.join(columns)}}}", r"\toprule", _line(table.header), r"\midrule\endhead"]
    return "\n".join([*lines, *_body(table), r"\bottomrule", r"\end{longtable}"])


def _body(table: Table) -> list[str]:
    rows = [_line(row) for row in table.rows]
    first = len(rows) - table.n_summary
    return [*rows[:first], *([r"\midrule", *rows[first:]] if table.n_summary else [])]


def _line(cells: Iterable[str]) -> str:
    line = " & ".join(map(tex, cells)) + r" \\"
    # The end of the line before would take these for its options.
    return f"{{}}{line}" if line.lstrip().startswith(("[", "*")) else line


def _context(table: Table) -> str:
    return rf"\par\smallskip\parbox{{\textwidth}}{{\scriptsize {tex(table.context)}}}"


def tex(text: str) -> str:
    """A text with everything that LaTeX would take for its own, or does not know, spelled out."""
    # Between two hyphens, which would become a dash.
    return "{}".join("".join(map(_character, part)) for part in re.split("(?<=-)(?=-)", text))


def _character(char: str) -> str:
    if char in _ASCII:
        return _ASCII[char]
    if char in _MATH:
        return rf"\ensuremath{{{_MATH[char]}}}"
    if char in _TEXT:
        return _TEXT[char]
    if char in _T1:
        return char
    plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    return "".join(_ASCII.get(c, c) for c in plain if c.isprintable()) or "?"


def _breakable(text: str) -> str:
    return re.sub(r"([,=])", r"\1\\allowbreak{}", text)
