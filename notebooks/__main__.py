"""Runs the notebooks from top to bottom and stores their outputs.

    python -m notebooks [NAME ...]

A notebook remembers the code that made its outputs, so that a test can tell when they are old.
"""

import argparse
import base64
import hashlib
import io
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parent
#: Seconds that a cell may take.
PATIENCE = 3600


def main(arguments: list[str] | None = None) -> int:
    """Runs the notebooks that are named, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m notebooks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="without .ipynb; default: all")
    options = parser.parse_args(arguments)
    paths = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
    for name in options.names or paths:
        if name not in paths:
            parser.error(f"{name}: is no notebook; choose from {', '.join(paths)}")
        print(f"{paths[name]} ...", flush=True)
        store(paths[name])
    return 0


def store(path: Path) -> None:
    """Runs a notebook and stores it with its outputs."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as scratch:
        run(notebook, Path(scratch))
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
        if cell.cell_type == "code":  # nothing that a program logs belongs on the page
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output.data["image/png"] = smaller(output.data["image/png"])
    notebook.metadata["code_sha256"] = code_hash(notebook)
    nbformat.write(notebook, path)


def smaller(picture: str) -> str:
    """A PNG in 256 colours, in base64 as it came: a notebook stays small enough to keep."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    packed = io.BytesIO()
    image.quantize(256, Image.Quantize.MEDIANCUT).save(packed, "png", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


def run(notebook: nbformat.NotebookNode, scratch: Path) -> None:
    """Runs a notebook in `scratch/notebooks`, so that `../` is empty.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    folder = scratch / "notebooks"
    folder.mkdir()
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=PATIENCE, resources=resources).execute()


def code_hash(notebook: nbformat.NotebookNode) -> str:
    """SHA-256 of the code cells."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\n\n".join(code).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
