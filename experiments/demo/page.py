"""The page of the demo: one tab for each kind of model, built with Gradio."""

from __future__ import annotations

import functools
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from experiments.demo import views
from experiments.demo.models import Models, load, load_translator
from melanet.data import InputError, phantom, xray_phantom
from sharpunet.data import phantom as cells
from sharpunet.names import KERNEL_NAMES

TITLE = "MelaNet and Sharp U-Net"
NOTICE = (
    "**For research only. This is no medical device: do not use it to diagnose or to treat.** "
    "Images stay on the machine that shows this page. An upload is deleted once it is read, and "
    "what is shown of it within minutes."
)
#: Above a message that says what is wrong.
PROBLEM = "This does not work"
#: Seconds between two clearings of what was shown, and the age from which it is removed.
CLEARING = (60, 300)
FONT = ("system-ui", "sans-serif")  # none is downloaded
THEME = gr.themes.Default(font=FONT, font_mono=("ui-monospace", "monospace"))
STYLE = """
.gradio-container { max-width: 1200px !important; margin: 0 auto; }
.picture img { width: 100%; height: 100%; object-fit: contain; }
.scale { position: relative; height: 1.6rem; margin: .3rem 0 1.4rem; border-radius: .3rem;
  background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary); }
.scale .share { height: 100%; border-radius: .2rem; background: #0072b2; }
.scale .threshold { position: absolute; top: -.2rem; bottom: -.2rem;
  border-left: 3px solid #d55e00; }
.scale .mark { position: absolute; top: 1.7rem; transform: translateX(-50%); font-size: .8rem;
  white-space: nowrap; }
.verdict { font-size: 1.2rem; }
@media (max-width: 500px) {
  .tab-container button { padding: 0 .3rem !important; font-size: .8rem !important; }
}
"""

#: Examples of every kind of image, with what they are: small, generated, of nobody.
Examples = list[tuple[np.ndarray, str]]


def build_page(models: Models) -> gr.Blocks:
    """The page for these models; a tab without a model says how to get one."""
    with gr.Blocks(title=TITLE, delete_cache=CLEARING) as page:
        gr.Markdown(f"# {TITLE}\n\n{NOTICE}")
        with gr.Tabs():
            with gr.Tab("Classify"):
                _classify_tab(models.classifiers)
            with gr.Tab("Translate"):
                _translate_tab(models.translators)
            with gr.Tab("Segment"):
                _segment_tab(models.segmenters)
            with gr.Tab("What the skip sees"):
                _skip_tab(models.segmenters)
    return page


def _classify_tab(files: dict[str, Path]) -> None:
    if _is_empty(files, "--classifier", "a table of chapter 2"):
        return
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image, changed = _image_input(_lesions() + _xrays())
        with gr.Column(scale=2, min_width=280):
            model = _choice(files, "Classifier")
            threshold = gr.Slider(0, 1, load(_first(files))[1].threshold, step=0.01,
                label="Threshold", info="The second class is predicted from here on.")  # fmt: skip
            verdict = gr.HTML(elem_id="verdict")
            evidence = _picture("Grad-CAM: where the evidence for this class is")

    def classify(pixels: np.ndarray | None, name: str, at: float) -> tuple[Any, Any]:
        if pixels is None:
            return "", None
        found = views.classify(_file(files, name), pixels, at)
        return _scale(found, at), found.evidence

    inputs, outputs = [image, model, threshold], [verdict, evidence]
    model.change(_plainly(lambda name: load(_file(files, name))[1].threshold), model, threshold)
    _show(classify, inputs, outputs, changed, threshold.change, model.change)


def _scale(found: views.Diagnosis, threshold: float) -> str:
    """Probabilities as bars; of two classes, one bar with the threshold."""
    shares = found.probabilities
    shown = list(shares.items())[1:] if len(shares) == 2 else list(shares.items())
    lines = [f'<p class="verdict">Predicted: <b>{html.escape(found.predicted)}</b></p>']
    for name, share in shown:
        label = f"Probability of {html.escape(name)}: {share:.3f}"
        mark = ""
        if len(shares) == 2:
            at = f"left: {100 * threshold:.1f}%"
            mark = (
                f'<div class="threshold" style="{at}"></div>'
                f'<div class="mark" style="left: {min(max(100 * threshold, 10), 90):.1f}%">'
                f"threshold {threshold:.2f}</div>"
            )
        lines.append(
            f'<p>{label}</p><div class="scale" role="img" aria-label="{label}">'
            f'<div class="share" style="width: {100 * share:.1f}%"></div>{mark}</div>'
        )
    return "".join(lines)


def _translate_tab(files: dict[str, Path]) -> None:
    if _is_empty(files, "--translator", "table 2.1"):
        return
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image, changed = _image_input(_lesions())
        with gr.Column(scale=2, min_width=280):
            model = _choice(files, "CycleGAN")
            way = gr.Radio(_ways(_first(files)), value=_ways(_first(files))[0], label="Direction")
            shown = gr.Gallery(label="Translation", columns=2, object_fit="contain", format="png",
                elem_id="translation", rows=2, height=640)  # fmt: skip

    def translate(pixels: np.ndarray | None, name: str, way: str) -> Any:
        if pixels is None:
            return None
        path = _file(files, name)
        backward = way in _ways(path)[1:]
        made = views.translate(path, pixels, backward)
        return [(picture, title) for title, picture in made.items()]

    def ways(name: str) -> Any:
        choices = _ways(_file(files, name))
        return gr.Radio(choices, value=choices[0])

    model.change(_plainly(ways), model, way)
    _show(translate, [image, model, way], [shown], changed, way.change, model.change)


def _ways(path: Path) -> list[str]:
    translator = load_translator(path)
    first, second = translator.domains
    ways = [f"{first} to {second}", f"{second} to {first}"]
    return ways[: len(translator.generators)]


def _segment_tab(files: dict[str, Path]) -> None:
    if _is_empty(files, "--segmenter", "a table of chapter 3"):
        return
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image, changed = _image_input(_cells())
        with gr.Column(scale=2, min_width=280):
            with gr.Row():
                left = _choice(files, "Left", _first_with(files, "sharp", False))
                right = _choice(files, "Right", _first_with(files, "sharp", True))
            threshold = gr.Slider(0, 1, 0.5, step=0.01, label="Threshold")
            both = gr.ImageSlider(label="Outlines: left and right; move the line", format="png",
                elem_id="outlines", elem_classes="picture", height=360, buttons=[])  # fmt: skip
            with gr.Row():
                masks = [_picture(f"Mask, {side}", download=True) for side in ("left", "right")]

    def segment(pixels: np.ndarray | None, left: str, right: str, at: float) -> Any:
        if pixels is None:
            return None, None, None
        made = [views.segment(_file(files, name), pixels, at) for name in (left, right)]
        return tuple(outlines for _, outlines in made), *(mask for mask, _ in made)

    inputs, outputs = [image, left, right, threshold], [both, *masks]
    _show(segment, inputs, outputs, changed, threshold.change, left.change, right.change)


def _skip_tab(files: dict[str, Path]) -> None:
    if _is_empty(files, "--segmenter", "a table of chapter 3"):
        return
    sizes = views.skip_sizes(_first(files))
    with gr.Row():
        with gr.Column(scale=1, min_width=280):
            image, changed = _image_input(_cells())
        with gr.Column(scale=2, min_width=280):
            with gr.Row():
                model = _choice(files, "Network")
                kernel = gr.Dropdown(list(KERNEL_NAMES), value=KERNEL_NAMES[0], label="Kernel")
            with gr.Row():
                skip = gr.Slider(1, len(sizes), 1, step=1, label="Skip connection, from the top")
                channel = gr.Slider(1, sizes[0][-1], 1, step=1, label="Channel")
            with gr.Row():
                before = _picture("Before the sharp block: low is dark")
                after = _picture("After: blue below 0, red above")

    def sharpen(pixels: np.ndarray | None, name: str, kernel: str, skip: int, channel: int) -> Any:
        if pixels is None:
            return None, None
        return views.sharpen(_file(files, name), pixels, kernel, int(skip) - 1, int(channel) - 1)

    def ranges(name: str, skip: int) -> Any:
        found = views.skip_sizes(_file(files, name))
        level = min(int(skip), len(found))
        channels = found[level - 1][-1]
        return gr.Slider(maximum=len(found), value=level), gr.Slider(maximum=channels, value=1)

    gr.on([model.change, skip.change], _plainly(ranges), [model, skip], [skip, channel])
    inputs = [image, model, kernel, skip, channel]
    events = [changed, model.change, kernel.change, skip.change, channel.change]
    _show(sharpen, inputs, [before, after], *events)


def _image_input(examples: Examples) -> tuple[gr.State, Callable]:
    """Where an image is dropped or an example chosen; the image, and the event of a new one."""
    gr.Markdown("An image as PNG, JPEG, TIFF, BMP, GIF or DICOM, up to 20 MB:")
    file = gr.File(label="Your file", height=120, show_label=False, elem_classes="drop")
    gr.Markdown("or a generated one:")
    gallery = gr.Gallery(examples, label="Examples", columns=3, height=125, show_label=False,
        allow_preview=False, format="png", interactive=False, buttons=[], object_fit="contain",
        elem_classes="examples")  # fmt: skip
    shown = _picture("Your image")
    image = gr.State()

    def upload(name: str | None) -> Any:
        if name is None:
            return None, gr.skip(), gr.skip()
        path = Path(name)
        try:
            pixels = views.read_upload(path)
        except InputError as error:  # an error instead would leave the file where it was dropped
            gr.Warning(str(error), title=PROBLEM)
            return None, gr.skip(), gr.skip()
        finally:
            path.unlink(missing_ok=True)
        return None, pixels, pixels

    def choose(event: gr.SelectData) -> Any:
        pixels = np.atleast_3d(examples[event.index][0])
        colour = np.repeat(pixels, 4 - pixels.shape[2], axis=2)[:, :, :3]
        return colour, colour

    file.upload(_plainly(upload), file, [file, image, shown], show_progress="minimal")
    gallery.select(_plainly(choose), None, [image, shown], show_progress="hidden")
    return image, shown.change


def _choice(files: dict[str, Path], label: str, value: str | None = None) -> gr.Dropdown:
    return gr.Dropdown(list(files), value=value or next(iter(files)), label=label,
        filterable=False, min_width=280)  # fmt: skip


def _picture(label: str, *, download: bool = False) -> gr.Image:
    return gr.Image(label=label, format="png", interactive=False, height=280, alt_text=label,
        elem_classes="picture", buttons=["download"] if download else [])  # fmt: skip


def _first(files: dict[str, Path]) -> Path:
    return next(iter(files.values()))


def _first_with(files: dict[str, Path], word: str, wanted: bool) -> str:
    """The first model with, or without, a word in its name; the first of all if there is none."""
    return next((name for name in files if (word in name.lower()) is wanted), next(iter(files)))


def _file(files: dict[str, Path], name: str) -> Path:
    """A model's file; the name comes from a browser, which may say anything."""
    if name not in files:
        raise InputError(f"{name}: there is no such model")
    return files[name]


def _is_empty(files: dict[str, Path], flag: str, table: str) -> bool:
    if not files:
        gr.Markdown(
            f"There is no model for this. Give one by `{flag} FILE`, or run `make reproduce` or "
            f"{table} with `--save-models` and give its folder by `--results`."
        )
    return not files


def _show(function: Callable, inputs: Sequence, outputs: Sequence, *events: Callable) -> None:
    """Shows again what depends on an image whenever one of the events happens."""
    gr.on(list(events), _plainly(function), list(inputs), list(outputs), show_progress="minimal",
        trigger_mode="always_last")  # fmt: skip


def _plainly(function: Callable) -> Callable:
    """Bad input becomes one line on the page, and nothing on the console."""

    @functools.wraps(function)
    def answer(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except InputError as error:
            raise gr.Error(str(error), title=PROBLEM, print_exception=False) from None

    return answer


def _lesions() -> Examples:
    kinds = ((0, False, "benign"), (1, False, "benign"), (2, True, "malignant"))
    return [(phantom.generate(index, bad), name) for index, bad, name in kinds]


def _xrays() -> Examples:
    return [(xray_phantom.generate(0, 0, "covid19"), "X-ray")]


def _cells() -> Examples:
    return [
        (cells.generate(index)[0], "cells" if index % 2 == 0 else "lesion") for index in range(3)
    ]
