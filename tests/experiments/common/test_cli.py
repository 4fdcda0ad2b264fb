import argparse
import warnings
from pathlib import Path

import pytest

from experiments.common.cli import add_common_arguments, run_cli, shard
from melanet.console import Parser


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), RuntimeError("UnavailableError REPLACED BY KeyboardInterrupt: <EMPTY>")],
)
def test_an_interrupt_ends_with_code_130_wherever_it_comes_from(error, capsys):
    def interrupted():
        raise error

    assert run_cli(interrupted) == 130
    assert capsys.readouterr().err == "\nstopped; the same command resumes where it stopped\n"


def test_other_runtime_errors_are_raised():
    def broken():
        raise RuntimeError("another")

    with pytest.raises(RuntimeError, match="another"):
        run_cli(broken)


def test_a_warning_is_one_line(capsys):
    assert run_cli(lambda: warnings.warn("5 images found", stacklevel=1)) == 0
    assert capsys.readouterr().err == "warning: 5 images found\n"


def test_a_wrong_argument_is_one_line(capsys):
    parser = Parser(prog="python -m experiments.table_0_0")
    add_common_arguments(parser, Path("results"))
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["--batch-size", "0"])
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: argument --batch-size: 0 is not between 1 and ")
    assert line.endswith("see python -m experiments.table_0_0 --help")


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "-1/2", "1/0", "1/2/3"])
def test_an_impossible_shard_is_an_error(text):
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        shard(text)
    assert shard("2/3") == (2, 3)
