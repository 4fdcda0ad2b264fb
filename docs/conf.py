"""The site: `make docs` builds it, and a broken link or reference fails."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

project = "MelaNet and Sharp U-Net"
author = "the authors of this repository"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # types are written as readers write them
default_role = "code"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
napoleon_use_ivar = True
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # their outputs are stored
html_theme = "furo"
html_title = project
html_static_path = []
html_theme_options = {"top_of_page_buttons": []}

#: A link to a file of the checkout that is no page of the site.
OUTSIDE = re.compile(r"\[([^\]]+)\]\((\.\./[^)]+)\)")
MERMAID = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)


def copy_notebooks():
    """Copies the notebooks into `docs/tutorials`, their links as seen from there."""
    folder = ROOT / "docs" / "tutorials"
    folder.mkdir(exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8").replace("](../docs/", "](../")
        text = text.replace("](../README.md#your-own-images)", "](../own_images.md)")
        (folder / path.name).write_text(text, encoding="utf-8")


def adapt_docstring(app, what, name, object, options, lines):
    """Makes reStructuredText of a docstring: bars are bars, indented code of modules is code."""
    adapted = []
    for line in lines:
        is_code = what == "module" and line.startswith("    ")
        if is_code and adapted and not adapted[-1] and not adapted[-2].startswith("    "):
            adapted += ["::", ""]
        plain = is_code or "`" in line or line.lstrip().startswith(">>>")
        adapted.append(line if plain else line.replace("|", r"\|"))
    lines[:] = adapted


def name_files_outside(app, name, source):
    """A link to a file of the checkout becomes its name; a page of the site has no such file.

    Raises:
        ValueError: If the file does not exist.
    """

    def named(match):
        path = (Path(app.srcdir) / name).parent / match[2].partition("#")[0]
        if not path.exists():
            raise ValueError(f"docs/{name}: links to {match[2]}, which does not exist")
        return f"{match[1]} (`{path.resolve().relative_to(ROOT)}`)"

    if not name.startswith("tutorials/"):
        source[0] = MERMAID.sub(r"```text\n\1```", OUTSIDE.sub(named, source[0]))


def setup(app):
    """Connects what changes sources before they are read."""
    copy_notebooks()
    app.connect("source-read", name_files_outside)
    app.connect("autodoc-process-docstring", adapt_docstring)
