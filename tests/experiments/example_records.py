"""Records as trainings write them, made by code, for tests of what is written from records."""

import json

from experiments.common.releases import SOURCES, TRANSLATED

VERSIONS = {"python": "3.11", "tensorflow": "2.21", "keras": "3.15", "numpy": "2.4"}
MADE_BY = {
    "versions": VERSIONS,
    "git": {"commit": "0123456789abcdef", "changed": False},
    "hardware": {"cpu": "A processor", "cores": 2, "gpus": []},
    "precision": "float32",
    "deterministic": True,
    "distribute": "none",
    "replicas": 1,
    "seconds": 1800.0,
    "best_epoch": 1,
    "epochs_run": 2,
}


def segmentation_record(model, fold, jaccard, protocol="thesis", size=(96, 128), weights=None):
    """A record of table 3.1 on CVC-ClinicDB; `jaccard` is that of each image by its number."""
    scores = [
        {"id": f"frame-{n:03d}", "group": f"video-{n // 2}", "jaccard": value, "dice": value}
        for n, value in jaccard.items()
    ]
    return {
        **MADE_BY,
        "key": f"cvc_clinicdb-{model}-r0-f{fold}-{protocol:.4}{size[0]:04d}",
        "dataset": {
            "name": "cvc_clinicdb",
            "title": "CVC-ClinicDB",
            "classes": 1,
            "image_size": [96, 128],
            "metadata_sha256": "ab" * 32,
        },
        "seed": fold,
        "model": model,
        "repeat": 0,
        "fold": fold,
        "protocol": protocol,
        "image_size": list(size),
        "images": {"train": 14, "validation": 2, "test": len(scores)},
        "epochs": 200,
        "batch_size": 16,
        "patience": 20,
        "watch": "val_loss",
        "learning_rate": 1e-3,
        "loss": "cross_entropy",
        "weights": weights,
        "parameters": {"trainable": 10, "frozen": 0},
        "best_constant": {"jaccard": 0.1, "dice": 0.2},
        "history": {},
        "scores": scores,
    }


def folds_of(gain, count=4, protocol="thesis", jitter=0.01):
    """Records of U-Net and Sharp U-Net on folds of four images, the second better by `gain`."""
    records = []
    for fold in range(count):
        images = range(4 * fold, 4 * fold + 4)
        plain = {n: 0.5 + jitter * (n % 3) for n in images}
        sharp = {n: value + gain + jitter * (fold % 2) for n, value in plain.items()}
        records += [
            segmentation_record("unet", fold, plain, protocol),
            segmentation_record("sharp_unet", fold, sharp, protocol),
        ]
    return records


def classification_record(condition, seed, scores, protocol="thesis"):
    """A record of table 2.1 on ISIC-2016; the first half of the scores are of melanomas."""
    count = len(scores)
    return {
        **MADE_BY,
        "key": f"isic2016-vgg_gap-{condition}-s{seed}-{protocol:.8}",
        "dataset": {
            "name": "isic2016",
            "title": "ISIC-2016",
            "labels": ["benign", "malignant"],
            "image_size": [128, 128],
            "metadata_sha256": "cd" * 32,
        },
        "seed": seed,
        "model": "vgg_gap",
        "condition": condition,
        "protocol": protocol,
        "image_size": [128, 128],
        "images": {"train": 8, "validation": 0, "test": count},
        "training_images": {"benign": 6, "malignant": 2},
        "epochs": 100,
        "batch_size": 16,
        "loss": "focal",
        "optimizer": "Adadelta 0.001",
        "weights": "vgg16.h5",
        "weights_sha256": "ef" * 32,
        "preprocessing": "none",
        "synthetic": [],
        "scores": [
            {"id": f"ISIC_{n}", "group": f"lesion-{n}", "positive": n < count // 2, "score": score}
            for n, score in enumerate(scores)
        ],
    }


def write_run(folder, records, **said):
    """A published run of these records; `said`, such as its `commands`, is in its file."""
    (folder / "records").mkdir(parents=True)
    for record in records:
        (folder / "records" / f"{record['key']}.json").write_text(json.dumps(record))
    write_run_file(folder, *said.pop("commands"), **said)
    return folder


def write_run_file(folder, *commands, **said):
    """The file that publishes the records in a folder."""
    content = {"title": "A run", "commands": commands, "reductions": [], **said}
    (folder / "run.json").write_text(json.dumps(content))


def write_release(folder, *, hits, kid, **changes):
    """Tests of 100 translated images, of which `hits` lead to their patient; returns the file."""
    found = {"hits": hits, "patients": 100, "low": 0.8, "high": 0.95, "chance": 0.01, "p": 0.001}
    record = {
        "key": "gan-s0",
        "title": "ISIC-2016",
        "images": 100,
        "image_size": [64, 64],
        "gan": {"epochs": 3, "seed": 0},
        "options": {"encoder": "vgg_gap", "weights": "vgg16.h5", "seed": 0},
        "measures": [{"measure": "nearest is the own source patient", "pixels": f"{hits} of 100"}],
        "tests": {"against": hits > 1, "patients": {"pixels": found}},
        "verdict": "NOT anonymous." if hits > 1 else "Not shown to be unsafe.",
        "kid": {TRANSLATED: list(kid), SOURCES: [0.5, 0.01]},
        **changes,
    }
    path = folder / "releases" / "gan-s0.json"
    path.parent.mkdir()
    path.write_text(json.dumps(record))
    return path
