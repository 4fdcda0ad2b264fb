"""The command lines `python -m melanet` and `python -m sharpunet`."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from melanet.data.errors import InputError, escape_unprintable

MAX_LISTED = 10


def run(package: str, arguments: Sequence[str] | None = None) -> int:
    """Runs a command of a package.

    Args:
        package: `"melanet"` or `"sharpunet"`.
        arguments: Those of the command line if None.

    Returns:
        The exit code: 0, 2 for bad input or if images were refused, 130 if interrupted.

    Example:
        >>> from melanet.command import run
        >>> run("sharpunet", ["predict", "no.keras", "photos", "--out", "masks"])
        2
    """
    options = make_parser(package).parse_args(arguments)
    try:
        return options.command(package, options)
    except InputError as error:
        print("error:", error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command resumes where it stopped", file=sys.stderr)
        return 130


def make_parser(package: str) -> argparse.ArgumentParser:
    """The parser of a package's commands. It loads neither Keras nor TensorFlow.

    Example:
        >>> from melanet.command import make_parser
        >>> words = ["predict", "a.keras", "b.png", "--out", "c"]
        >>> make_parser("melanet").parse_args(words).batch_size
        16
    """
    parser = argparse.ArgumentParser(prog=package, description=f"Commands of {package}.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    what = {
        "melanet": "classes, their probabilities and Grad-CAM",
        "sharpunet": "masks, outlines and shares of the image",
    }[package]
    title = f"predict new images with a saved model: {what}"
    predict = commands.add_parser("predict", help=title, description=title)
    add = predict.add_argument
    add("model", type=Path, metavar="MODEL.keras", help="as the tables save by --save-models")
    add("images", type=Path, nargs="+", metavar="IMAGES",
        help="folders or files: PNG, JPEG, TIFF, BMP or DICOM")  # fmt: skip
    add("--out", type=Path, required=True, help="folder of the results; interrupted runs resume")
    add("--threshold", type=_probability, help="default: the model's own")
    add("--batch-size", type=_positive, default=16, help="default: %(default)s")
    predict.set_defaults(command=_predict)
    return parser


def _predict(package: str, options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # nothing of TensorFlow's start
    done = importlib.import_module(f"{package}.inference").predict(
        options.model,
        options.images,
        options.out,
        batch_size=options.batch_size,
        threshold=options.threshold,
    )
    if done.count:
        print(escape_unprintable(f"{done.table}: {done.count} images"))
    if not done.refused:
        return 0
    print(f"error: {len(done.refused)} images could not be read:", file=sys.stderr)
    for reason in list(done.refused.values())[:MAX_LISTED]:
        print(" ", reason, file=sys.stderr)
    if len(done.refused) > MAX_LISTED:
        print(f"  and {len(done.refused) - MAX_LISTED} more", file=sys.stderr)
    return 2


def _probability(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value
