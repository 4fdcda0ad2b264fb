import pytest

from experiments.common.markup import escape_latex, escape_markdown


@pytest.mark.parametrize(
    ("character", "escaped"),
    [
        ("\\", r"\textbackslash{}"), ("^", r"\textasciicircum{}"), ("~", r"\textasciitilde{}"),
        ("_", r"\_"), ("&", r"\&"), ("%", r"\%"), ("#", r"\#"), ("{", r"\{"), ("}", r"\}"),
        ("$", r"\$"), ("|", r"\textbar{}"), ("<", r"\textless{}"), (">", r"\textgreater{}"),
        ("[", "{[}"), ("*", "{*}"), ("±", r"$\pm$"), ("\n", " "), ("\r\n", " "), ("é", "é"),
    ],
)  # fmt: skip
def test_each_character_that_means_something_in_latex_is_escaped(character, escaped):
    assert escape_latex(f"a{character}b") == f"a{escaped}b"


@pytest.mark.parametrize("character", "\\`*~$<|[]")
def test_each_character_that_means_something_in_markdown_is_escaped(character):
    assert escape_markdown(f"a{character}b") == f"a\\{character}b"


@pytest.mark.parametrize("character", ["\n", "\r\n", "\r", "\u2028"])
def test_a_line_break_does_not_end_the_row_of_a_markdown_table(character):
    assert escape_markdown(f"a{character}b") == "a b"


def test_an_underscore_is_escaped_where_it_could_begin_or_end_emphasis():
    assert escape_markdown("_a_b_") == r"\_a_b\_"
    assert escape_markdown("79.08 ± 1.20 (isbi2012)") == "79.08 ± 1.20 (isbi2012)"
