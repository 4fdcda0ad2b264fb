"""A page on this machine that shows what trained models do with an image.

    python -m experiments.demo

It opens the models that `make reproduce` has left, those below another folder (--results), or
single files. For research: it is no medical device.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from experiments.common.cli import run_cli
from experiments.demo.models import Models, find_models, named_models
from melanet.console import Parser
from melanet.data import InputError

RESULTS = Path("results") / "phantom"
#: Of an upload. Larger ones are refused before they are read.
MAX_FILE_SIZE = "20mb"
#: Visitors whose image is remembered; the one who was away longest is forgotten.
MAX_VISITORS = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves the page until it is interrupted; returns the exit code."""
    parser = Parser(prog="python -m experiments.demo", description=__doc__)
    add = parser.add_argument
    add("--results", type=Path, metavar="DIR", help=f"models below it; default: {RESULTS}")
    add("--classifier", type=Path, nargs="+", default=[], metavar="FILE")
    add("--translator", type=Path, nargs="+", default=[], metavar="FILE",
        help="a CycleGAN, or one generator")  # fmt: skip
    add("--segmenter", type=Path, nargs="+", default=[], metavar="FILE")
    add("--host", default="127.0.0.1", help="0.0.0.0: every network; default: %(default)s")
    add("--port", type=int, default=7860, help="default: %(default)s")
    options = parser.parse_args(arguments)
    return run_cli(lambda: serve(options))


def serve(options: argparse.Namespace) -> None:
    """Serves the page until it is interrupted.

    Raises:
        InputError: If there is no model, one cannot be used, or the port is taken.
    """
    models = chosen_models(options)
    with tempfile.TemporaryDirectory(prefix="demo-") as scratch:
        # What is uploaded or shown lies here, and goes with the folder.
        os.environ.update(GRADIO_TEMP_DIR=scratch, GRADIO_ANALYTICS_ENABLED="False")
        from experiments.demo.page import STYLE, THEME, build_page  # Gradio takes seconds

        page = build_page(models).queue(max_size=MAX_VISITORS, default_concurrency_limit=1)
        try:
            _, address, _ = page.launch(
                server_name=options.host,
                server_port=options.port,
                prevent_thread_lock=True,
                quiet=True,
                ssr_mode=False,
                share=False,
                max_file_size=MAX_FILE_SIZE,
                state_session_capacity=MAX_VISITORS,
                footer_links=[],
                theme=THEME,
                css=STYLE,
            )
        except OSError:
            raise InputError(f"--port {options.port}: is taken; choose another") from None
        print(f"Open {address}   (Ctrl-C stops it)", flush=True)
        try:
            page.block_thread()
        finally:
            page.close(verbose=False)


def chosen_models(options: argparse.Namespace) -> Models:
    """The models of the files that are named, or else of a folder.

    Raises:
        InputError: If there is none, or one cannot be used.
    """
    named = named_models(options.classifier, options.translator, options.segmenter)
    if options.results is None and named.count:
        return named
    folder = options.results or RESULTS
    found = find_models(folder) | named
    if not found.count:
        raise InputError(
            f"{folder}: holds no model; run make reproduce first, or a table with --save-models, "
            "or give files by --classifier, --translator or --segmenter"
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
