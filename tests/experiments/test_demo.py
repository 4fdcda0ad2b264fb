"""The demo: what it shows of an image, and the page in a browser and under load."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from experiments.demo import __main__ as demo
from experiments.demo import views
from experiments.demo.models import find_models, load, load_translator, named_models
from melanet.cyclegan import build_cyclegan
from melanet.data import InputError, phantom
from melanet.saving import ModelInfo, save_model
from sharpunet import sharp_unet, unet
from sharpunet.data import phantom as cells
from sharpunet.inference import predict

ROOT = Path(__file__).parent.parent.parent
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
LESION = ModelInfo("classification", (32, 32), 3, ("benign", "malignant"), scaling="unit")


def classifier():
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What a table with `--save-models` leaves, of tiny networks."""
    folder = tmp_path_factory.mktemp("results")
    for name in ("models", "gans"):
        (folder / name).mkdir()
    keras.utils.set_random_seed(0)
    save_model(classifier(), folder / "models/phantom-melanet-vgg_gap-s3-01234567.keras", LESION)
    for name, build in (("unet", unet), ("sharp_unet", sharp_unet)):
        model = build((64, 64, 1), filters=(4, 8, 16))
        path = folder / f"models/phantom-{name}-r0-f1-01234567.keras"
        save_model(model, path, ModelInfo("segmentation", (64, 64), 1))
    gan = build_cyclegan((64, 64, 3), generator_filters=4, discriminator_filters=4)
    save_model(gan, folder / "gans/phantom-s3-01234567.keras")
    (folder / "models/other.txt").write_text("no model")
    return folder


@pytest.fixture(scope="module")
def models(results):
    return find_models(results)


def test_models_are_found_and_named_in_words(models):
    assert list(models.classifiers) == ["Phantom, MelaNet, VGG-16, seed 3"]
    assert list(models.translators) == ["Phantom, seed 3"]
    assert sorted(models.segmenters) == [
        "Phantom, Sharp U-Net, repeat 1, fold 2",
        "Phantom, U-Net, repeat 1, fold 2",
    ]


def test_a_folder_without_models_and_a_model_of_another_kind_are_refused(models, tmp_path, capsys):
    assert demo.main(["--results", str(tmp_path)]) == 2
    assert "holds no model; run make reproduce first" in capsys.readouterr().err
    [classifier_file] = models.classifiers.values()
    assert demo.main(["--segmenter", str(classifier_file)]) == 2
    assert "is a model for classification" in capsys.readouterr().err
    assert demo.main(["--translator", str(classifier_file)]) == 2
    assert "is no generator" in capsys.readouterr().err


def test_named_files_stand_beside_or_instead_of_a_folder(models, results, tmp_path):
    [path] = models.classifiers.values()
    copy = shutil.copy(path, tmp_path / "my classifier.keras")
    assert list(named_models([copy], [], []).classifiers) == ["my classifier"]
    alone = ["--classifier", str(copy)]
    for arguments, count in ((alone, 1), ([*alone, "--results", str(results)], 5)):
        options = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(demo, "serve", options.append)
            demo.main(arguments)
        assert demo.chosen_models(options[0]).count == count


def test_the_threshold_decides_between_two_classes(models):
    [path] = models.classifiers.values()
    pixels = phantom.generate(0, True)
    shares = views.classify(path, pixels, 0.5).probabilities
    assert list(shares) == ["benign", "malignant"]
    assert sum(shares.values()) == pytest.approx(1)
    at = shares["malignant"]
    assert views.classify(path, pixels, at - 0.01).predicted == "malignant"
    found = views.classify(path, pixels, at + 0.01)
    assert found.predicted == "benign"
    assert found.evidence.shape == pixels.shape


def test_a_translation_goes_both_ways_and_the_difference_is_half_of_it(models):
    [path] = models.translators.values()
    pixels = phantom.generate(0, False, size=50)
    there, back = (views.translate(path, pixels, way) for way in (False, True))
    assert list(there) == [
        "as the generator sees it",
        "as malignant",
        "and back, as benign",
        "difference (grey: none)",
    ]
    assert list(back)[1] == "as benign"
    before, after, _, difference = (each.astype(float) for each in there.values())
    assert before.shape == (50, 50, 3)
    assert np.abs(difference - (127.5 + (after - before) / 2)).max() <= 0.5
    image = (np.asarray(there["as malignant"]), np.asarray(back["as benign"]))
    assert not np.array_equal(*image)


def test_one_generator_goes_one_way(tmp_path, models):
    [path] = models.translators.values()
    gan = keras.models.load_model(path)
    save_model(gan.second_to_first, tmp_path / "one.keras")
    translator = load_translator(tmp_path / "one.keras")
    assert (translator.domains, len(translator.generators)) == (("before", "after"), 1)
    assert len(views.translate(tmp_path / "one.keras", phantom.generate(0, True), False)) == 3


def test_masks_are_those_of_the_command(models, tmp_path):
    grey, _ = cells.generate(1, size=100)
    Image.fromarray(grey).save(tmp_path / "cells.png")
    for path in models.segmenters.values():
        predict(path, tmp_path / "cells.png", tmp_path / path.stem)
        mask, outlines = views.segment(path, views.read_upload(tmp_path / "cells.png"), 0.5)
        expected = np.asarray(Image.open(tmp_path / path.stem / "masks/cells.png"))
        np.testing.assert_array_equal(mask, expected)
        assert outlines.shape == (100, 100, 3)


def test_the_skip_tab_shows_a_feature_map_and_its_convolution(models, monkeypatch):
    shown = []
    monkeypatch.setattr(views, "_coloured", lambda plane, *_: shown.append(plane))
    plain, sharp = (models.segmenters[name] for name in sorted(models.segmenters, reverse=True))
    for path in (plain, sharp):
        assert views.skip_sizes(path) == [(64, 64, 4), (32, 32, 8)]  # the topmost first
    pixels, _ = cells.generate(0)
    views.sharpen(sharp, pixels[..., None], "laplacian", 1, 5)
    before, after = shown
    assert before.shape == (32, 32)
    inner = 9 * before[4, 7] - before[3:6, 6:9].sum()  # K of eq. 3.1 on one neighbourhood
    assert after[4, 7] == pytest.approx(inner, rel=1e-3, abs=1e-5)
    for arguments in (("nothing", 0, 0), ("laplacian", 2, 0), ("laplacian", 0, 4)):
        with pytest.raises(InputError, match=r"no such|there are 4"):
            views.sharpen(sharp, pixels[..., None], *arguments)


def test_uploads_become_small_and_a_bad_one_is_named_without_its_folder(tmp_path):
    Image.new("RGB", (3000, 1500)).save(tmp_path / "large.png")
    assert views.read_upload(tmp_path / "large.png").shape == (512, 1024, 3)
    (tmp_path / "notes.png").write_text("no image")
    with pytest.raises(InputError) as error:
        views.read_upload(tmp_path / "notes.png")
    assert str(error.value).startswith("notes.png: ")
    assert str(tmp_path) not in str(error.value)


def test_images_too_thin_for_a_model_are_refused(tmp_path):
    info = ModelInfo("classification", (32, 32), 3, ("a", "b"), keep_aspect_ratio=True)
    save_model(classifier(), tmp_path / "padding.keras", info)
    with pytest.raises(InputError, match="too long and thin"):
        views.classify(tmp_path / "padding.keras", np.zeros((1, 1000, 3), "uint8"), 0.5)
    assert load(tmp_path / "padding.keras")[1] == info


@pytest.fixture(scope="module")
def address(results, tmp_path_factory):
    """The demo in a process of its own; `(address, folder of its temporary files)`."""
    scratch = tmp_path_factory.mktemp("scratch")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--results", str(results), "--port", str(port)]
    # A job in the background of a shell ignores Ctrl-C, and so would all that it starts.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.demo", *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Open "):
            break
    else:
        pytest.fail("".join(said))
    threading.Thread(target=lambda: said.extend(process.stdout), daemon=True).start()
    yield said[-1].split()[1], scratch
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert not list(scratch.glob("demo-*")), "what was shown outlives the demo"
    assert "Traceback" not in "".join(said)


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("no browser: install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=options)
        yield chromium
        chromium.close()


def open_page(browser, address, width=1280):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(60_000)
    page.goto(address)
    return page


def tab(page, name):
    page.get_by_role("tab", name=name).click()
    return page.get_by_role("tabpanel").filter(visible=True)


def upload(panel, path):
    panel.locator("input[type=file]").first.set_input_files(str(path))


@pytest.fixture
def lesion(tmp_path):
    Image.fromarray(phantom.generate(3, True, size=80)).save(tmp_path / "my lesion.png")
    return tmp_path / "my lesion.png"


@pytest.mark.slow
def test_an_uploaded_image_is_classified_translated_and_segmented(
    browser, address, lesion, tmp_path
):
    page = open_page(browser, address[0])
    panel = tab(page, "Classify")
    upload(panel, lesion)
    panel.get_by_text("Predicted:").wait_for()
    assert re.search(r"Probability of malignant: 0\.\d{3}", panel.inner_text())
    panel.get_by_alt_text("Grad-CAM").wait_for()
    panel = tab(page, "Translate")
    upload(panel, lesion)
    panel.get_by_text("and back, as benign").first.wait_for()
    panel = tab(page, "Segment")
    panel.locator(".examples button").first.click()
    panel.get_by_alt_text("Mask, right").wait_for()
    with page.expect_download() as download:
        panel.locator(".picture a[download]").last.click()
    download.value.save_as(tmp_path / "mask.png")
    mask = np.asarray(Image.open(tmp_path / "mask.png").convert("L"))
    assert mask.shape == (64, 64)
    assert set(np.unique(mask)) <= {0, 255}
    panel = tab(page, "What the skip sees")
    panel.locator(".examples button").first.click()
    panel.get_by_alt_text("Before the sharp block").wait_for()
    assert not list(address[1].rglob("my lesion*"))


@pytest.mark.slow
def test_a_file_that_is_no_image_is_refused_in_one_line(browser, address, lesion):
    page = open_page(browser, address[0])
    panel = tab(page, "Classify")
    notes = lesion.with_name("notes.png")
    notes.write_text("no image")
    upload(panel, notes)
    page.get_by_text("notes.png: ").wait_for()
    upload(panel, lesion)  # and the page goes on
    panel.get_by_text("Predicted:").wait_for()


@pytest.mark.slow
def test_nothing_overflows_on_a_narrow_screen(browser, address, lesion):
    page = open_page(browser, address[0], width=400)
    for name in ("Classify", "Translate", "Segment", "What the skip sees"):
        panel = tab(page, name)
        upload(panel, lesion)
        panel.locator("img").nth(4).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.get_by_text("This is no medical device").is_visible()


@pytest.mark.slow
def test_it_stays_up_under_load_and_malformed_requests(address, lesion):
    import httpx

    async def load_it():
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(base_url=address[0], timeout=300, limits=limits) as client:
            config = (await client.get("config")).json()
            files = {each["id"] for each in config["components"] if each["type"] == "file"}
            [index, *_] = [
                each["id"] for each in config["dependencies"] if {*each["inputs"]} & files
            ]

            async def visit(number):
                sent = {"files": ("my lesion.png", lesion.read_bytes())}
                [path] = (await client.post("gradio_api/upload", files=sent)).json()
                data = [{"path": path, "meta": {"_type": "gradio.FileData"}}]
                call = {"data": data, "fn_index": index, "session_hash": f"visitor{number}"}
                answer = await client.post("gradio_api/queue/join", json=call)
                if answer.status_code == 503:  # the queue is full, and says so
                    return "full"
                assert answer.status_code == 200, answer.text
                stream = f"gradio_api/queue/data?session_hash=visitor{number}"
                async with client.stream("GET", stream) as events:
                    async for line in events.aiter_lines():
                        event = json.loads(line[5:]) if line.startswith("data:") else {}
                        if event.get("msg") == "process_completed":
                            return event["success"]

            async def garbage(number):
                paths = ("queue/join", "upload", "run/predict", "component_server", "heartbeat/x")
                content = [b"{", b"\xff" * 100, b"[]", b'{"data": null, "fn_index": 1e9}'][
                    number % 4
                ]
                kind = ["application/json", "multipart/form-data", "text/plain"][number % 3]
                url = f"gradio_api/{paths[number % 4]}"
                return (
                    await client.post(url, content=content, headers={"content-type": kind})
                ).status_code

            visits = asyncio.gather(*(visit(number) for number in range(200)))
            bad = await asyncio.gather(*(garbage(number) for number in range(500)))
            return bad, await visits, await visit("last")

    with ThreadPoolExecutor(1) as thread:  # this one has the loop of the browser
        bad, visits, last = thread.submit(lambda: asyncio.run(load_it())).result()
    assert all(status >= 400 for status in bad)
    assert set(visits) <= {True, "full"}
    assert visits.count(True) >= 100
    assert last is True
    assert not list(address[1].rglob("my lesion*"))
