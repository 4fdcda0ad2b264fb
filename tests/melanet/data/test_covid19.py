"""The two merged datasets of COVID-19, from small files in the official layouts and real ones."""

import json

import pytest
from PIL import Image

from melanet.data import BUILDERS, InputError, covid_collection, open_dataset, prepare, rsna
from melanet.data.__main__ import main
from tests.melanet.conftest import write_collection

pytestmark = pytest.mark.filterwarnings("ignore:.*images found:UserWarning")
COLLECTION, CHALLENGE = "covid-chestxray-dataset", "rsna-pneumonia-detection-challenge"
METADATA = f"{COLLECTION}/metadata.csv"
CLASSES = f"{CHALLENGE}/stage_2_detailed_class_info.csv"
NIH = f"{CHALLENGE}/nih_source.csv"
NIH_ROWS = "patientId,nih_image\naaaa-1,00000007_000.png\naaaa-2,00000007_012.png\n"


def column(dataset, name):
    return dict(zip(dataset.metadata["id"], dataset.metadata[name], strict=True))


def test_normal_and_pneumonia_each_with_the_same_positives(xrays, tmp_path):
    positives = {
        "one": "covid-1",
        "two-b-": "covid-1",
        "three": "covid-326b",
        "One-2": "covid-4",  # file systems that ignore case must not take it for the first
    }
    normal = prepare("normal_covid19", xrays, tmp_path / "normal")
    assert normal.info.labels == ("normal", "covid19")
    assert column(normal, "group") == {
        "aaaa-1": "rsna-aaaa-1", "aaaa-2": "rsna-aaaa-2", **positives,
    }  # fmt: skip
    pneumonia = prepare("pneumonia_covid19", xrays, tmp_path / "pneumonia")
    assert column(pneumonia, "group") == {"bbbb-1": "rsna-bbbb-1", **positives}
    assert column(pneumonia, "label") == {
        "bbbb-1": "pneumonia",
        **dict.fromkeys(positives, "covid19"),
    }
    assert set(pneumonia.metadata["split"]) == {""}


def test_sizes_titles_and_counts_are_those_of_section_2_3_1():
    for name, title, published in [
        ("normal_covid19", "Normal vs. COVID-19", 8851 + 226),
        ("pneumonia_covid19", "Pneumonia vs. COVID-19", 6012 + 226),
    ]:
        info = BUILDERS[name].info
        assert (info.title, BUILDERS[name].published_count) == (title, published)
        assert (info.image_size, info.channels) == ((256, 256), 1)
        assert not info.keep_aspect_ratio


def test_another_count_than_the_published_is_a_warning(xrays, tmp_path):
    with pytest.warns(UserWarning, match="6 images found, 9077 are published"):
        prepare("normal_covid19", xrays, tmp_path / "prepared")


def test_every_image_becomes_grey_and_large_ones_are_reduced(xrays, tmp_path):
    Image.new("RGB", (700, 1400)).save(xrays / COLLECTION / "images/three.png")
    dataset = prepare("normal_covid19", xrays, tmp_path / "prepared")
    images = {id: Image.open(dataset.paths([id])[0]) for id in dataset.metadata["id"]}
    assert {image.mode for image in images.values()} == {"L"}
    assert images["three"].size == (256, 512)


def test_nih_patients_are_groups_where_the_names_are_there(xrays, tmp_path):
    (xrays / NIH).write_text(NIH_ROWS)
    dataset = prepare("normal_covid19", xrays, tmp_path / "prepared")
    assert column(dataset, "group")["aaaa-1"] == "nih-00000007"
    assert column(dataset, "group")["aaaa-2"] == "nih-00000007"
    assert "NIH patient" not in dataset.info.notes


def test_the_rsna_s_own_mapping_gives_the_patients_too(xrays, tmp_path):
    ids = ["aaaa-1", "aaaa-2"]
    names = ["00000007_000.png", "00000007_012.png"]
    entries = [{"subset_img_id": i, "img_id": n} for i, n in zip(ids, names, strict=True)]
    path = xrays / CHALLENGE / "pneumonia-challenge-dataset-mappings_2018.json"
    path.write_text(json.dumps(entries))
    dataset = prepare("normal_covid19", xrays, tmp_path / "prepared")
    assert [column(dataset, "group")[id] for id in ids] == ["nih-00000007"] * 2
    path.write_text('[{"img_id": 3}]')
    with pytest.raises(InputError, match=r"mappings_2018\.json: not the RSNA's list"):
        prepare("normal_covid19", xrays, tmp_path / "other")


def test_the_notes_count_what_is_left_out_and_are_printed(xrays, tmp_path, capsys):
    arguments = ["--download", str(xrays), "--prepared", str(tmp_path / "prepared")]
    assert main(["normal_covid19", *arguments]) == 0
    notes = open_dataset(tmp_path / "prepared").info.notes
    assert notes == (
        "Left out: of the COVID-19 Image Data Collection 3 of another finding, 1 CT, 1 of a "
        "lateral or other view; of the RSNA challenge 1 'Lung Opacity', 2 'No Lung Opacity / Not "
        "Normal'; without pneumonia-challenge-dataset-mappings_2018.json or nih_source.csv "
        "each RSNA image counts as a patient, so that one NIH patient may stand on both sides of "
        "a split."
    )
    assert capsys.readouterr().out.splitlines()[1] == notes


def test_what_lies_beside_the_two_downloads_does_not_matter(xrays, tmp_path):
    first = prepare("normal_covid19", xrays, tmp_path / "prepared")
    (xrays / "isic2016").mkdir()
    (xrays / "isic2016/ISIC_1.jpg").touch()
    (xrays / COLLECTION / ".git").mkdir()
    (xrays / COLLECTION / ".git/FETCH_HEAD").write_text("0123")
    assert prepare("normal_covid19", xrays, tmp_path / "prepared").fingerprint == first.fingerprint
    (xrays / NIH).write_text(NIH_ROWS)
    with pytest.raises(InputError, match="prepared from other files"):
        prepare("normal_covid19", xrays, tmp_path / "prepared")


def test_a_dataset_opens_when_a_download_is_gone(xrays, tmp_path):
    first = prepare("normal_covid19", xrays, tmp_path / "prepared")
    (xrays / CHALLENGE).rename(tmp_path / "elsewhere")
    assert prepare("normal_covid19", xrays, tmp_path / "prepared").fingerprint == first.fingerprint


def test_a_dataset_without_notes_opens(xrays, tmp_path):
    dataset = prepare("normal_covid19", xrays, tmp_path / "prepared")
    path = dataset.folder / "dataset.json"
    info = json.loads(path.read_text())
    del info["notes"]
    path.write_text(json.dumps(info))
    assert open_dataset(dataset.folder).info.notes == ""


@pytest.mark.parametrize(
    "form", [lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text]
)
def test_byte_order_marks_and_dos_line_ends_are_fine(form, xrays):
    before = {id: sample.group for id, sample in samples(xrays).items()}
    for name in (METADATA, CLASSES):
        (xrays / name).write_bytes(form((xrays / name).read_text()).encode())
    assert {id: sample.group for id, sample in samples(xrays).items()} == before


def samples(folder):
    return {sample.id: sample for sample in BUILDERS["normal_covid19"].read(folder)}


def rewrite(name, old, new):
    def spoil(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return spoil


def remove(name):
    def spoil(folder):
        path = folder / name
        path.unlink() if path.is_file() else path.rename(folder / "elsewhere")

    return spoil


def nih(old, new):
    return lambda folder: (folder / NIH).write_text(NIH_ROWS.replace(old, new))


#: By case: what is done to the folder, and what the message says. Each row of `metadata.csv` takes
#: two lines, the first row lines 2 and 3.
CASES = {
    "no collection": (remove(COLLECTION), [f"{COLLECTION}: no such folder", "ieee8023"]),
    "no challenge": (remove(CHALLENGE), [f"{CHALLENGE}: no such folder", "kaggle.com/c/rsna"]),
    "no metadata": (remove(METADATA), ["metadata.csv: no such file", "ieee8023"]),
    "no class table": (remove(CLASSES), [f"{CLASSES}: no such file", "kaggle.com/c/rsna"]),
    "no DICOM folder": (
        remove(f"{CHALLENGE}/stage_2_train_images"), ["stage_2_train_images: no such folder"],
    ),
    "a column of the classes": (
        rewrite(CLASSES, "patientId", "id"), ["class_info.csv: line 1", "'patientId' is missing"],
    ),
    "an empty table": (lambda f: (f / METADATA).write_text(""), ["line 1", "'patientid'"]),
    "no patient id": (
        rewrite(METADATA, "326b,", " ,"), ["metadata.csv: line 6:", "has no patientid"],
    ),
    "no file name": (
        rewrite(METADATA, "three.png", ""), ["metadata.csv: line 6:", "is not there"],
    ),
    "a field too many": (
        rewrite(METADATA, "three.png,", "three.png,,"), ["metadata.csv: line 6:", "8 fields"],
    ),
    "an open quote": (
        rewrite(METADATA, 'lateral.png,"fever,\ncough"', 'lateral.png,"fever'),
        ["metadata.csv: cannot"],
    ),
    "another encoding": (
        lambda f: (f / METADATA).write_bytes(b"\xff\xfepatientid"),
        ["metadata.csv: cannot be read"],
    ),
    "a broken image": (
        lambda f: (f / COLLECTION / "images/three.png").write_bytes(b"\x89PNG"),
        ["images/three.png: cannot be read"],
    ),
    "two classes": (
        rewrite(CLASSES, "bbbb-1,Lung Opacity\n", "bbbb-1,Lung Opacity\nbbbb-1,Normal\n"),
        ["class_info.csv: line 5:", "bbbb-1 is 'Normal', but was 'Lung Opacity' before"],
    ),
    "an unknown class": (
        rewrite(CLASSES, "aaaa-2,Normal", "aaaa-2,normal"), ["class_info.csv: line 3:", "'normal'"],
    ),
    "a DICOM file that is not there": (
        remove(f"{CHALLENGE}/stage_2_train_images/aaaa-2.dcm"),
        ["class_info.csv", "aaaa-2.dcm is not"],
    ),
    "a broken DICOM file": (
        lambda f: (f / CHALLENGE / "stage_2_train_images/aaaa-2.dcm").write_bytes(b"x"),
        ["aaaa-2.dcm: cannot be read as DICOM"],
    ),
    "an image without its NIH name": (
        nih("aaaa-2", "aaaa-3"), ["nih_source.csv: aaaa-2 is missing"],
    ),
    "no NIH name": (nih("00000007_012", "7_012"), ["nih_source.csv: line 3:", "'7_012.png'"]),
    "two NIH names": (
        nih("aaaa-2", "aaaa-1"), ["nih_source.csv: line 3:", "but was '00000007_000.png'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_named_and_nothing_is_written(case, xrays, tmp_path):
    spoil, expected = CASES[case]
    spoil(xrays)
    with pytest.raises(InputError) as raised:
        prepare("normal_covid19", xrays, tmp_path / "prepared")
    for part in expected:
        assert part in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["xrays"]


def test_left_out_images_need_not_be_there(xrays):
    for name in ("sars.png", "ct.png", "lateral.png"):
        (xrays / COLLECTION / "images" / name).unlink()
    (xrays / CHALLENGE / "stage_2_train_images/cccc-1.dcm").unlink()
    assert len(samples(xrays)) == 6


@pytest.mark.parametrize("view", ["PA", "AP erect", "AP semi erect", "ap supine", "AP Erect"])
def test_frontal_views_are_kept_however_they_are_written(view, tmp_path):
    folder = write_collection(tmp_path / "x", [("1", "COVID-19", view, "X-Ray", "a.png")])
    assert [sample.id for sample in covid_collection.read(folder)] == ["a"]


@pytest.mark.parametrize("view", ["L", "Axial", "Coronal", "", "APical", "lateral"])
def test_other_views_are_left_out(view, tmp_path):
    folder = write_collection(tmp_path / "x", [("1", "COVID-19", view, "X-ray", "a.png")])
    assert covid_collection.read(folder) == []


def test_rows_that_are_left_out_may_be_anything(tmp_path):
    rows = [
        ("1", "COVID-19", "PA", "X-ray", "a.png"),
        ("2", "COVID-19", "Axial", "CT", "volume.nii.gz"),
        ("3", "Pneumonia/ARDS", "PA", "X-ray", "b.png"),
        ("4", "Pneumonia/ARDS", "PA", "X-ray", "b.png"),  # a name twice
        ("", "SARS", "PA", "X-ray", "a.png"),  # and again, of nobody
        ("5", "COVID-19", "L", "X-ray", ""),
        ("6", "COVID-19", "L", "X-ray", "a.png"),
    ]
    folder = tmp_path / "x"
    write_collection(folder, rows[:1])
    lines = [",".join(["patientid,finding,view,modality,filename"]), *map(",".join, rows)]
    (folder / "metadata.csv").write_text("\n".join(lines))
    assert [sample.id for sample in covid_collection.read(folder)] == ["a"]
    assert list(covid_collection.count_left_out(folder).values()) == [3, 1, 2]


def test_a_row_that_fails_twice_is_counted_once(tmp_path):
    rows = [("1", "SARS", "L", "CT", "a.png"), ("1", "COVID-19", "L", "CT", "b.png")]
    counts = covid_collection.count_left_out(write_collection(tmp_path / "x", rows))
    assert list(counts.values()) == [1, 1, 0]


def test_help_has_a_paragraph_for_each_dataset(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    paragraphs = capsys.readouterr().out.split("\n\n")
    for name in BUILDERS:
        text = next(text for text in paragraphs if text.startswith(f"  {name} ("))
        assert max(map(len, text.splitlines())) <= 80


def test_real_metadata_is_filtered_as_the_thesis_does(real_data):
    folder = real_data / COLLECTION
    kept = covid_collection.read(folder)
    assert len(kept) == 226  # section 2.3.1
    assert len({sample.group for sample in kept}) == 143  # patient numbers
    assert list(covid_collection.count_left_out(folder).values()) == [25, 15, 0]


def test_real_challenge_has_patients_in_both_classes(real_data):
    folder = real_data / CHALLENGE
    normal, opacity = (rsna.read(folder, name, "x") for name in ("Normal", "Lung Opacity"))
    assert len(normal) == len(opacity) == 500
    assert all(sample.group.startswith("nih-") for sample in normal + opacity)
    assert {sample.group for sample in normal} & {sample.group for sample in opacity}
    assert normal[0].image().shape == (320, 320)
