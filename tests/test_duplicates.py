"""No module repeats six or more consecutive lines of another."""

import ast
from collections import defaultdict
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).parent.parent
LONGEST_REPEAT = 5


def code_lines(path):
    """Numbers and texts of a module's lines, without those that say what it shares or offers.

    Left out are imports and `__all__`, docstrings, headers of functions (both packages' functions
    of one name have the same arguments on purpose), and lines of fewer than three characters.
    """
    source = path.read_text()
    ignored: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            ignored.update(range(node.lineno, node.body[0].lineno))
        elif (
            isinstance(node, ast.Import | ast.ImportFrom)
            or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        ):
            ignored.update(range(node.lineno, node.end_lineno + 1))
    for number, line in enumerate(source.splitlines(), 1):
        words = " ".join(line.split())
        if number not in ignored and len(words) >= 3:
            yield number, words


def repeats(files, longest=LONGEST_REPEAT):
    """Pairs of places that begin with the same `longest + 1` lines, in different files."""
    places = defaultdict(list)
    for path in files:
        lines = list(code_lines(path))
        for start in range(len(lines) - longest):
            window = tuple(words for _, words in lines[start : start + longest + 1])
            places[window].append((path, lines[start][0]))
    for found in places.values():
        for (path, line), (other, other_line) in combinations(found, 2):
            if path != other:
                yield f"{path.relative_to(ROOT)}:{line} and {other.relative_to(ROOT)}:{other_line}"


def test_repeats_are_found_whatever_their_indentation(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.test_duplicates.ROOT", tmp_path)
    body = [f"    value = value + {number}" for number in range(6)]
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    files[0].write_text("\n".join(["import os", "def first(value):", *body, "    return value"]))
    nested = [f"    {line}" for line in body]
    files[1].write_text("\n".join(["def second(value):", "    if value:", *nested]))
    assert list(repeats(files)) == ["a.py:3 and b.py:3"]
    assert not list(repeats(files, longest=6))


def test_no_module_repeats_six_lines_of_another():
    packages = ("melanet", "sharpunet", "experiments")
    files = [path for name in packages for path in sorted((ROOT / name).rglob("*.py"))]
    assert not list(repeats(files))
