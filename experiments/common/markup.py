r"""Names and numbers as text of Markdown and LaTeX, whatever characters a name holds."""

import re

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


def _one_line(text: str) -> str:
    return re.sub(r"\s*[\r\n\v\f\x85\u2028\u2029]\s*", " ", text)
