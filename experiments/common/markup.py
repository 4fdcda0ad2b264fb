r"""Names and numbers as text of Markdown and LaTeX, whatever characters a name holds."""

import re
from collections.abc import Iterable, Sequence

#: What LaTeX takes for a command, and what its oldest font encoding prints as something else.
LATEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # after the end of a row it would begin an option
    "*": "{*}",  # likewise
    "±": r"$\pm$",
    **{character: f"\\{character}" for character in "_&%#{}$"},
}


def escape_latex(text: str) -> str:
    r"""Text as a cell of a LaTeX table; line breaks become spaces.

    Args:
        text: Plain text.

    Example:
        >>> from experiments.common.markup import escape_latex
        >>> escape_latex("a_b^c")
        'a\\_b\\textasciicircum{}c'
    """
    return "".join(LATEX.get(character, character) for character in _one_line(text))


def escape_markdown(text: str) -> str:
    r"""Text as a cell of a Markdown table or a part of a paragraph; line breaks become spaces.

    An underscore within a word means nothing in Markdown and stays as it is.

    Args:
        text: Plain text.

    Example:
        >>> from experiments.common.markup import escape_markdown
        >>> escape_markdown("a_b|c")
        'a_b\\|c'
    """
    escaped = re.sub(r"([\\`*~$<|\[\]])", r"\\\1", _one_line(text))
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\_", escaped)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A Markdown table of cells in Markdown; bars that are not escaped yet are.

    Example:
        >>> from experiments.common.markup import markdown_table
        >>> print(markdown_table(["a", "b"], [("1", "x|y")]))
        | a | b |
        | --- | --- |
        | 1 | x\|y |
    """
    lines = [headings, ["---"] * len(headings), *rows]
    escaped = [[re.sub(r"(?<!\\)\|", r"\|", cell) for cell in row] for row in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def _one_line(text: str) -> str:
    return re.sub(r"\s*[\r\n\v\f\x85\u2028\u2029]\s*", " ", text)
