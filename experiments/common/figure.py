"""The command of a figure that belongs to no table: its flags, PDF and PNG, exit code."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.common.cli import Parser, check_writable, run_cli
from experiments.common.report import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run_figure(
    name: str,
    docstring: str | None,
    draw: Callable[[argparse.Namespace], Figure],
    arguments: Sequence[str] | None = None,
    *,
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    out: Path = Path("results"),
) -> int:
    """Draws a figure from the command line into `OUT/figures`.

    Args:
        name: Name of the command and of the files.
        docstring: Its first line describes the command in `--help`.
        draw: From the options to the figure.
        arguments: Of the command line.
        add_arguments: Adds flags besides `--out`.
        out: Default of `--out`.

    Returns:
        The exit code, see `run_cli`.
    """
    parser = Parser(
        prog=f"python -m experiments.{name}", description=(docstring or "").split("\n")[0]
    )
    add_arguments(parser)
    where = "folder of results; the figure lands in its folder figures; default: %(default)s"
    parser.add_argument("--out", type=Path, default=out, help=where)
    options = parser.parse_args(arguments)

    def command() -> None:
        check_writable(options.out)
        save_figure(options.out, name, draw(options))
        print(f"Open {options.out / 'figures' / name}.png, or .pdf for print")

    return run_cli(command)
