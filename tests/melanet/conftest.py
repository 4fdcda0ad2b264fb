import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage


@pytest.fixture
def isic2016(tmp_path):
    """ISIC-2016 task 3 in its official layout: five training and two test images."""
    folder = tmp_path / "isic2016"
    write_part(
        folder, "Training", {f"ISIC_{i}": "malignant" if i == 2 else "benign" for i in range(5)}
    )
    write_part(folder, "Test", {"ISIC_7": "0.0", "ISIC_8": "1.0"})
    return folder


def write_part(folder, part, labels):
    images = folder / f"ISBI2016_ISIC_Part3_{part}_Data"
    images.mkdir(parents=True, exist_ok=True)
    for id in labels:
        pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype("uint8")
        Image.fromarray(pixels).save(images / f"{id}.jpg")
    table = folder / f"ISBI2016_ISIC_Part3_{part}_GroundTruth.csv"
    table.write_text("".join(f"{id},{label}\n" for id, label in labels.items()))


def write_dicom(path, pixels, *, jpeg=False, bits=None, **attributes):
    """Writes one image, MONOCHROME2 by default; an attribute that is None is removed."""
    pixels = np.asarray(pixels)
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if jpeg else ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = 8 * pixels.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if jpeg:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=95)
        dataset.PixelData = encapsulate([file.getvalue()])
    else:
        dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    for name, value in attributes.items():
        if value is None:
            del dataset[name]
        else:
            setattr(dataset, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


COLLECTION_ROWS = [
    ("1", "COVID-19", "PA", "X-ray", "one.png"),
    ("1", "COVID-19, ARDS", "AP Supine", "X-ray", "two (b).jpeg"),
    ("326b", "Pneumonia/Viral/COVID-19", "AP Erect", "X-ray", "three.png"),
    ("4", "COVID-19", "AP", "X-ray", "One.jpg"),
    ("5", "SARS", "PA", "X-ray", "sars.png"),
    ("5", "Pneumonia/Viral/SARS", "L", "X-ray", "sars-l.png"),
    ("6", "No Finding", "Axial", "CT", "healthy-ct.png"),
    ("1", "COVID-19", "Axial", "CT", "ct.png"),
    ("1", "COVID-19", "L", "X-ray", "lateral.png"),
]


def write_collection(folder, rows=COLLECTION_ROWS):
    """Writes a COVID-19 Image Data Collection: grey, colour and RGBA images, multi-line notes."""
    modes = ["L", "RGB", "RGBA"]
    (folder / "images").mkdir(parents=True)
    lines = ["patientid,offset,finding,view,modality,filename,clinical_notes"]
    for index, (patient, finding, view, modality, name) in enumerate(rows):
        mode = "L" if name.endswith("g") and "jp" in name else modes[index % 3]
        Image.new(mode, (40, 30)).save(folder / "images" / name)
        lines.append(f'{patient},0,"{finding}",{view},{modality},{name},"fever,\ncough"')
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


RSNA_CLASSES = {
    "aaaa-1": "Normal",
    "aaaa-2": "Normal",
    "bbbb-1": "Lung Opacity",
    "cccc-1": "No Lung Opacity / Not Normal",
    "cccc-2": "No Lung Opacity / Not Normal",
}


def write_rsna(folder):
    """Writes an RSNA challenge: JPEG DICOM files, two rows for the image with two boxes."""
    for id in RSNA_CLASSES:
        write_dicom(folder / "stage_2_train_images" / f"{id}.dcm", gradient(), jpeg=True)
    rows = [f"{id},{name}" for id, name in RSNA_CLASSES.items()]
    rows.append("bbbb-1,Lung Opacity")
    text = "\n".join(["patientId,class", *rows, ""])
    (folder / "stage_2_detailed_class_info.csv").write_text(text)
    return folder


def gradient():
    return np.tile(np.arange(0, 240, 6, dtype="uint8"), (30, 1))


@pytest.fixture
def xrays(tmp_path):
    """Both downloads of the merged COVID-19 datasets in one folder, without `nih_source.csv`."""
    folder = tmp_path / "xrays"
    write_collection(folder / "covid-chestxray-dataset")
    write_rsna(folder / "rsna-pneumonia-detection-challenge")
    return folder
