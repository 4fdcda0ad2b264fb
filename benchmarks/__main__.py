"""Measures everything and writes `docs/benchmarks.md`: `make bench`, about half an hour."""

import argparse
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from benchmarks import commands, loading, machine
from benchmarks.tables import markdown, ratio, table
from benchmarks.turns import Timing, Variant, measure
from melanet.data.files import atomic_write

PRECISIONS = ("float32", "mixed_bfloat16")
VOLUME = (32, 64, 64)
VOLUME_NOTE = """\
MONAI's UNet has as many parameters as ours and far fewer multiplications: its first convolution
halves the resolution, and none follows at full size. MONAI's BasicUNet has pooling and two
convolutions per level as ours, and one level more.
"""
SHORT = {"float32": "float32", "mixed_bfloat16": "bfloat16"}
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

Written by `make bench`. Variants take turns, each in a process of its own; a time is the median of
the turns, a ratio the median of the turns' ratios with the least and the greatest in brackets.
Other work on the machine changes times, and ratios much less.
"""


def training(options: argparse.Namespace) -> str:
    """U-Net's training step beside PyTorch's, other libraries' and the machine's ceiling."""
    parts = []
    for side in options.sides:
        for precision in PRECISIONS:
            shape = {"side": side, "batch": 4, "precision": precision}
            variants = [
                *_models(
                    "segmentation_training", {"U-Net": "unet", "Sharp U-Net": "sharp_unet"}, shape
                ),
                *_peers(
                    "segmentation_training",
                    {"PyTorch U-Net": "unet", "MONAI BasicUNet": "monai"},
                    shape,
                ),
                Variant(
                    "matrix product", "benchmarks.ours:matrix_product", {"precision": precision}
                ),
            ]
            timings = measure(variants, options.rounds, options.calls)
            parts += [
                f"### {side} × {side}, batches of 4, {SHORT[precision]}\n",
                table(timings, base="PyTorch U-Net", leave_out="matrix product"),
                _sharp_over_plain(timings),
                _ceiling(timings, side),
            ]
    return "\n".join(parts)


def prediction(options: argparse.Namespace) -> str:
    """U-Net's prediction beside PyTorch's."""
    parts = []
    for precision in PRECISIONS:
        shape = {"side": options.sides[0], "batch": 4, "precision": precision}
        variants = [
            *_models(
                "segmentation_prediction", {"U-Net": "unet", "Sharp U-Net": "sharp_unet"}, shape
            ),
            *_peers("segmentation_prediction", {"PyTorch U-Net": "unet"}, shape),
        ]
        timings = measure(variants, options.rounds, options.calls)
        parts += [f"### {SHORT[precision]}\n", table(timings, base="PyTorch U-Net")]
    return "\n".join(parts)


def volumes(options: argparse.Namespace) -> str:
    """A training step of the U-Nets of volumes beside MONAI's."""
    parts = []
    for precision in PRECISIONS:
        shape = {"shape": VOLUME, "batch": 2, "precision": precision}
        names = {"U-Net": "unet3d", "Sharp U-Net": "sharp_unet3d"}
        peers = {"MONAI UNet": "monai_unet3d", "MONAI BasicUNet": "monai_basic_unet3d"}
        variants = [
            *_models("volume_training", names, shape),
            *_peers("volume_training", peers, shape),
        ]
        timings = measure(variants, options.rounds, options.calls)
        parts += [
            f"### {SHORT[precision]}\n",
            table(timings, base="MONAI UNet"),
            _sharp_over_plain(timings),
        ]
    return "\n".join([VOLUME_NOTE, *parts])


def encoders(options: argparse.Namespace) -> str:
    """Training steps of networks with an encoder."""
    parts = []
    for precision in PRECISIONS:
        shape = {"side": options.sides[0], "batch": 4, "precision": precision}
        names = {"TernausNet-16": "ternausnet16", "Sharp TernausNet-16": "sharp_ternausnet16"}
        peer = "segmentation-models-pytorch, VGG-16"
        variants = [
            *_models("segmentation_training", names, shape),
            *_peers("segmentation_training", {peer: "smp_vgg16"}, shape),
        ]
        timings = measure(variants, max(3, options.rounds // 2), 1)
        parts += [f"### {SHORT[precision]}\n", table(timings, base=peer)]
    return "\n".join(parts)


def cyclegan(options: argparse.Namespace) -> str:
    """A training step of the CycleGAN beside the released loop and PyTorch."""
    side = {"side": options.sides[0]}
    variants = [Variant("released loop", "benchmarks.ours:released_cyclegan_training", side)]
    for precision in PRECISIONS:
        arguments = {**side, "precision": precision}
        make = "benchmarks.{}:cyclegan_training"
        variants += [
            Variant(f"CycleGAN, {SHORT[precision]}", make.format("ours"), arguments),
            Variant(
                f"CycleGAN with the identity loss, {SHORT[precision]}",
                make.format("ours"),
                {**arguments, "identity_weight": 1.0},
            ),
            Variant(f"PyTorch, {SHORT[precision]}", make.format("peers"), arguments),
        ]
    timings = measure(variants, options.rounds, options.calls)
    versus = [
        _ratio_line(timings, f"CycleGAN, {name}", f"PyTorch, {name}") for name in SHORT.values()
    ]
    return "\n".join([table(timings, base="released loop"), *filter(None, versus)])


def classifier(options: argparse.Namespace) -> str:
    """A training step of VGG-GAP."""
    variants = [
        Variant(
            f"VGG-GAP, {SHORT[precision]}",
            "benchmarks.ours:classifier_training",
            {"side": options.sides[0], "batch": 8, "precision": precision},
        )
        for precision in PRECISIONS
    ]
    timings = measure(variants, max(3, options.rounds // 2), 1)
    return table(timings, base="VGG-GAP, float32")


def growth(options: argparse.Namespace) -> str:
    """How a training step of U-Net grows with the image's side and the batch."""
    sizes = [(64, 4), (128, 4), (256, 4), (256, 1), (256, 8)]
    variants = []
    for side, batch in sizes:
        shape = {"side": side, "batch": batch, "precision": "mixed_bfloat16"}
        variants += _models("segmentation_training", {f"{side}, {batch}": "unet"}, shape)
    timings = measure(variants, max(3, options.rounds // 2), options.calls)
    rows = []
    for (side, batch), timing in zip(sizes, timings.values(), strict=True):
        per_pixel = timing.median / (side * side * batch) * 1e9
        rows.append((str(side), str(batch), f"{timing.median:.3f}", f"{per_pixel:.0f}"))
    return markdown(("side", "batch", "s a step", "ns a pixel"), rows)


def waiting(options: argparse.Namespace) -> str:
    """How long a batch of 16 images of 256 × 256, stored at 512 × 512, takes to come."""
    rows = []
    for cache in ("memory", "disk", "none"):
        with tempfile.TemporaryDirectory() as folder:
            dataset = loading.make_dataset(Path(folder) / "generated", options.images, 512)
            seconds = loading.waits(dataset, 256, 16, cache)
        rows.append((cache, *(f"{1000 * value:.1f}" for value in seconds)))
    return markdown(("--cache", "ms a batch: first epoch", "second", "third"), rows)


def memory(options: argparse.Namespace) -> str:
    """Peak memory of a process that writes images of 64 × 64 and reads them for three epochs."""
    rows = []
    for cache in ("memory", "disk", "none"):
        peaks = [loading.peak_memory(count, cache) for count in options.counts]
        growth = f"{100 * (peaks[-1] / peaks[0] - 1):+.0f}%"
        rows.append((cache, *(f"{peak:.0f}" for peak in peaks), growth))
    counts = [f"MiB, {count:,} images" for count in options.counts]
    return markdown(("--cache", *counts, "growth"), rows)


def start(options: argparse.Namespace) -> str:
    """How long commands take to start."""
    rows = [
        (f"`{name}`", f"{min(commands.seconds(command) for _ in range(5)):.2f}")
        for name, command in commands.COMMANDS.items()
    ]
    return markdown(("command", "s, the best of five"), rows)


SECTIONS: dict[str, tuple[str, Callable[[argparse.Namespace], str]]] = {
    "training": ("U-Net, a training step", training),
    "prediction": ("U-Net, a prediction of 4 images", prediction),
    "volumes": ("Volumes of 32 × 64 × 64, a training step on two", volumes),
    "encoders": ("Networks with an encoder, a training step", encoders),
    "cyclegan": ("CycleGAN, a training step on a pair of images", cyclegan),
    "classifier": ("VGG-GAP, a training step on 8 images", classifier),
    "growth": ("How a training step of U-Net grows, bfloat16", growth),
    "waiting": ("Waiting for images", waiting),
    "memory": ("Peak memory", memory),
    "start": ("Start of commands", start),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the sections that are asked for and writes the page; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION",
        help=", ".join(SECTIONS))  # fmt: skip
    add("--sides", type=int, nargs="+", default=[256, 512], help="default: %(default)s")
    add("--rounds", type=int, default=10, help="turns of each variant; default: %(default)s")
    add("--calls", type=int, default=3, help="calls in a turn; default: %(default)s")
    add("--images", type=int, default=200, help="of the waiting; default: %(default)s")
    add(
        "--counts",
        type=int,
        nargs="+",
        default=[5000, 50000],
        help="of images; default: %(default)s",
    )
    add("--out", type=Path, default=PAGE, help="default: %(default)s")
    options = parser.parse_args(arguments)
    head = f"{INTRODUCTION}\n{markdown(('machine', ''), machine.describe())}"
    measured = _kept(options.out, head)
    for number, name in enumerate(options.sections, 1):
        title, section = SECTIONS[name]
        print(f"{number} of {len(options.sections)}: {title}", flush=True)
        measured[title] = section(options)
        parts = [
            f"## {t}\n\n{measured[t].strip()}\n" for t, _ in SECTIONS.values() if t in measured
        ]
        atomic_write(options.out, "\n".join([head, *parts]))
    print(f"Open {options.out}")
    return 0


def _kept(page: Path, head: str) -> dict[str, str]:
    """The sections of a page, by title, if the same machine wrote them."""
    before, *sections = re.split("^## ", page.read_text() if page.is_file() else "", flags=re.M)
    parts = [section.partition("\n") for section in sections]
    return {title: body for title, _, body in parts} if before.strip() == head.strip() else {}


def _models(work: str, names: dict[str, str], shape: dict) -> list[Variant]:
    return [
        Variant(title, f"benchmarks.ours:{work}", {"model": model, **shape})
        for title, model in names.items()
    ]


def _peers(work: str, names: dict[str, str], shape: dict) -> list[Variant]:
    return [
        Variant(title, f"benchmarks.peers:{work}", {"network": network, **shape})
        for title, network in names.items()
    ]


def _ratio_line(timings: dict[str, Timing], name: str, base: str) -> str:
    times = ratio(timings[name], timings[base])
    return f"{name}: {times} times as fast as {base}.\n" if times else ""


def _sharp_over_plain(timings: dict[str, Timing]) -> str:
    times = ratio(timings["U-Net"], timings["Sharp U-Net"])
    return f"A step of Sharp U-Net takes {times} times as long as one of U-Net.\n"


def _ceiling(timings: dict[str, Timing], side: int) -> str:
    """How near U-Net comes to the speed of a matrix product."""
    from benchmarks.ours import multiplications

    product, step = timings["matrix product"], timings["U-Net"]
    shares = [
        (multiplications("unet", side, 4) / seconds) / (2048**3 / ceiling)
        for seconds, ceiling in zip(step.seconds, product.seconds, strict=True)
    ]
    speed = 2 * 2048**3 / product.median / 1e9
    return (
        f"A matrix product reaches {speed:.0f} GFLOP/s; U-Net's convolutions reach "
        f"{statistics.median(shares):.2f} ({min(shares):.2f}–{max(shares):.2f}) of it.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
