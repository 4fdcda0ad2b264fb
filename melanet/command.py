"""The command lines `python -m melanet` and `python -m sharpunet`."""

import argparse
import importlib
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from melanet.console import Parser, quiet_tensorflow
from melanet.data.errors import InputError, escape_unprintable, one_line_warnings
from melanet.precision import PRECISIONS

if TYPE_CHECKING:
    from melanet.evaluation import Evaluation
    from melanet.inference import Predictions

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
    quiet_tensorflow()
    try:
        with one_line_warnings():
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
    parser = Parser(prog=package, description=f"Commands of {package}.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(package, commands)
    _add_predict(package, commands)
    _add_evaluate(package, commands)
    _add_export(commands)
    if package == "melanet":
        _add_translate(commands)
    return parser


def _add_predict(package: str, commands: Any) -> None:
    what = {
        "melanet": "classes, their probabilities and Grad-CAM",
        "sharpunet": "masks, outlines and shares of the image",
    }[package]
    title = f"predict new images with a saved model: {what}"
    predict = commands.add_parser("predict", help=title, description=title)
    add = predict.add_argument
    add("model", type=Path, metavar="MODEL.keras", help="as the tables save by --save-models")
    _add_new_images(predict, "; NIfTI for a model of volumes" if package == "sharpunet" else "")
    add("--threshold", type=_probability, help="default: the model's own")
    predict.set_defaults(command=_predict)


def _add_train(package: str, commands: Any) -> None:
    title = "train one model on your own images, and test it on a fifth of them"
    train = commands.add_parser("train", help=title, description=title)
    add = train.add_argument
    _add_data(package, train)
    add("--out", type=Path, required=True,
        help="folder of the model and its scores; interrupted runs resume")  # fmt: skip
    default = {"melanet": "vgg_gap", "sharpunet": "sharp_unet"}[package]
    add("--model", default=default, metavar="NAME", help=f"of {package}; default: %(default)s")
    add("--image-size", type=_positive, nargs=2, metavar=("H", "W"),
        help="in pixels; default: the dataset's own, 256 256 of your own images")  # fmt: skip
    add("--epochs", type=_positive, default=100,
        help="at most, early stopping may end sooner; default: %(default)s")  # fmt: skip
    add("--batch-size", type=_positive, default=8, help="default: %(default)s")
    files = ", FILE" if package == "melanet" else ""
    add("--weights", default="imagenet",
        help=f"initial weights, where the model takes some: imagenet{files} or none; default: "
        "%(default)s")  # fmt: skip
    add("--precision", default="auto", choices=PRECISIONS,
        help="auto: the fastest that the hardware computes natively")  # fmt: skip
    add("--seed", type=_seed, default=0, help="of the split and the weights; default: %(default)s")
    add("--tensorboard", action="store_true",
        help="log every epoch in OUT/tensorboard, which TensorBoard shows")  # fmt: skip
    if package == "sharpunet":
        add("--patch-size", type=_positive, nargs=3, metavar=("D", "H", "W"),
            help="of volumes (NIfTI), in voxels, for --model sharp_unet3d or unet3d; default: "
            "16 32 32")  # fmt: skip
    if package == "melanet":
        add("--positive", metavar="CLASS", help="default: the class with the fewest images")
    train.set_defaults(command=_train)


def _add_evaluate(package: str, commands: Any) -> None:
    title = "score a saved model on images whose truth is known, with 95% intervals"
    # argparse formats help by "%", and a description not.
    evaluate = commands.add_parser("evaluate", help=title.replace("%", "%%"), description=title)
    add = evaluate.add_argument
    add("model", type=Path, metavar="MODEL.keras", help="as train saves it")
    _add_data(package, evaluate)
    add("--out", type=Path, required=True, help="folder of the scores")
    add("--threshold", type=_probability, help="default: the model's own")
    add("--batch-size", type=_positive, default=16, help="default: %(default)s")
    evaluate.set_defaults(command=_evaluate)


def _add_export(commands: Any) -> None:
    title = "export a saved model for other programs, checked against Keras's outputs"
    export = commands.add_parser("export", help=title, description=title)
    add = export.add_argument
    add("model", type=Path, metavar="MODEL.keras", help="a saved model of images")
    add("--format", choices=("onnx", "tflite", "saved_model"), required=True)
    add("--out", type=Path, required=True, metavar="FILE", help="of a SavedModel a folder")
    export.set_defaults(command=_export)


def _add_translate(commands: Any) -> None:
    title = "translate new images to the other class with a saved generator"
    translate = commands.add_parser("translate", help=title, description=title)
    add = translate.add_argument
    add("model", type=Path, metavar="GENERATOR.keras",
        help="a generator, or a whole CycleGAN or StarGAN")  # fmt: skip
    _add_new_images(translate)
    add("--image-size", type=_positive, nargs=2, metavar=("H", "W"),
        help="in pixels, at which it translates; default: the generator's own")  # fmt: skip
    add("--target", metavar="CLASS", help="of a StarGAN: the class to translate to")
    translate.set_defaults(command=_translate)


def _add_new_images(parser: argparse.ArgumentParser, more: str = "") -> None:
    add = parser.add_argument
    add("images", type=Path, nargs="+", metavar="IMAGES",
        help=f"folders or files: PNG, JPEG, TIFF, BMP, GIF or DICOM{more}")  # fmt: skip
    add("--out", type=Path, required=True, help="folder of the results; interrupted runs resume")
    add("--batch-size", type=_positive, default=16, help="default: %(default)s")


def _add_data(package: str, parser: argparse.ArgumentParser) -> None:
    """The folder of images, and what its files do not say by themselves."""
    add = parser.add_argument
    if package == "sharpunet":
        add("data", type=Path, metavar="DIR", help="has images and masks, or is a dataset")
        importlib.import_module("sharpunet.data.folder").add_own_arguments(parser)
        return
    add("data", type=Path, metavar="DIR",
        help="has a folder per class, or images and labels.csv, or is a dataset")  # fmt: skip
    group_by_help = importlib.import_module("melanet.data.groups").GROUP_BY_HELP
    add("--group-by", default="", metavar="REGEX", help=group_by_help)


def _train(package: str, options: argparse.Namespace) -> int:
    done = importlib.import_module(f"{package}.fitting").train_model(
        options.data,
        options.out,
        model=options.model,
        image_size=options.image_size and tuple(options.image_size),
        epochs=options.epochs,
        batch_size=options.batch_size,
        weights=None if options.weights == "none" else options.weights,
        precision=options.precision,
        seed=options.seed,
        tensorboard=options.tensorboard,
        **_own_training(package, options),
        **_own_options(package, options),
    )
    _print_scores(f"held-out {done.test.unit}", done.test)
    print(escape_unprintable(f"{done.model_path}: trained; python -m {package} predict takes it"))
    return 0


def _evaluate(package: str, options: argparse.Namespace) -> int:
    done = importlib.import_module(f"{package}.evaluation").evaluate_model(
        options.model,
        options.data,
        options.out,
        batch_size=options.batch_size,
        threshold=options.threshold,
        **_own_options(package, options),
    )
    _print_scores(str(options.data), done)
    return 0


def _own_training(package: str, options: argparse.Namespace) -> dict[str, Any]:
    if package == "melanet":
        return {"positive": options.positive}
    return {"patch_size": options.patch_size and tuple(options.patch_size)}


def _own_options(package: str, options: argparse.Namespace) -> dict[str, Any]:
    if package == "melanet":
        return {"group_by": options.group_by}
    return {"options": importlib.import_module("sharpunet.data.folder").own_options(options)}


def _print_scores(title: str, scores: "Evaluation") -> None:
    print(escape_unprintable(f"{title}:"))
    for line in str(scores).splitlines():
        print(" ", escape_unprintable(line))


def _predict(package: str, options: argparse.Namespace) -> int:
    done = importlib.import_module(f"{package}.inference").predict(
        options.model,
        options.images,
        options.out,
        batch_size=options.batch_size,
        threshold=options.threshold,
    )
    return _report(done)


def _translate(package: str, options: argparse.Namespace) -> int:
    done = importlib.import_module("melanet.translation").translate_images(
        options.model,
        options.images,
        options.out,
        batch_size=options.batch_size,
        image_size=options.image_size and tuple(options.image_size),
        target=options.target,
    )
    return _report(done)


def _export(package: str, options: argparse.Namespace) -> int:
    export_model = importlib.import_module("melanet.export").export_model
    out = export_model(options.model, options.out, format=options.format)
    print(escape_unprintable(f"{out}: exported; its outputs are Keras's"))
    return 0


def _report(done: "Predictions") -> int:
    if done.count:
        print(escape_unprintable(f"{done.table}: {done.count} {done.unit}s"))
    if not done.refused:
        return 0
    reasons = list(done.refused.values())
    if len(reasons) == 1:
        print("error:", reasons[0], file=sys.stderr)
        return 2
    print(f"error: {len(reasons)} {done.unit}s could not be read:", file=sys.stderr)
    for reason in reasons[:MAX_LISTED]:
        print(" ", reason, file=sys.stderr)
    if len(done.refused) > MAX_LISTED:
        print(f"  and {len(done.refused) - MAX_LISTED} more", file=sys.stderr)
    return 2


def _probability(text: str) -> float:
    return _number(float, text, 0, 1, "a number from 0 to 1")


def _seed(text: str) -> int:
    return _number(int, text, 0, 2**31 - 1, f"a whole number from 0 to {2**31 - 1}")


def _positive(text: str) -> int:
    return _number(int, text, 1, math.inf, "a whole number above 0")


def _number(kind: Callable[[str], Any], text: str, low: float, high: float, what: str) -> Any:
    try:
        value = kind(text)
        if low <= value <= high:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is not {what}")
