"""Every number that the thesis prints in its tables, and the audit of them."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Score:
    """Mean and standard deviation in percent, as printed."""

    mean: float
    deviation: float

    def __str__(self):
        return f"{self.mean:.2f} ± {self.deviation:.2f}"


@dataclasses.dataclass(frozen=True)
class Scores:
    """One cell pair of a table: Jaccard and Dice of one model on one dataset."""

    jaccard: Score
    dice: Score


def _scores(jaccard, jaccard_deviation, dice, dice_deviation) -> Scores:
    return Scores(Score(jaccard, jaccard_deviation), Score(dice, dice_deviation))


#: Table 3.1, by dataset and model.
TABLE_3_1: dict[tuple[str, str], Scores] = {
    ("cvc_clinicdb", "unet"): _scores(70.02, 9.37, 78.75, 8.10),
    ("cvc_clinicdb", "sharp_unet"): _scores(75.89, 2.06, 83.65, 1.88),
    ("isbi2012", "unet"): _scores(83.95, 3.47, 91.23, 2.11),
    ("isbi2012", "sharp_unet"): _scores(87.00, 4.95, 92.96, 2.95),
    ("covid_ct", "unet"): _scores(85.24, 1.96, 91.85, 1.17),
    ("covid_ct", "sharp_unet"): _scores(87.39, 3.07, 93.01, 1.85),
    ("isic2018", "unet"): _scores(74.74, 4.46, 83.25, 3.73),
    ("isic2018", "sharp_unet"): _scores(76.07, 1.03, 84.34, 0.86),
    ("dsb2018", "unet"): _scores(84.95, 0.26, 91.47, 0.18),
    ("dsb2018", "sharp_unet"): _scores(85.26, 0.27, 91.75, 0.15),
    ("lung", "unet"): _scores(94.75, 0.58, 97.03, 0.31),
    ("lung", "sharp_unet"): _scores(95.22, 0.67, 97.25, 0.36),
}

#: Names of the datasets of table 3.1 as the thesis prints them, in its order.
DATASET_TITLES = {
    "cvc_clinicdb": "CVC-ClinicDB",
    "isbi2012": "ISBI-2012",
    "covid_ct": "COVID-19 CT Segmentation",
    "isic2018": "ISIC-2018",
    "dsb2018": "Data Science Bowl 2018",
    "lung": "Lung Segmentation",
}

#: Names of the models as the thesis prints them.
SEGMENTATION_TITLES = {
    "unet": "U-Net",
    "sharp_unet": "Sharp U-Net",
    "wide_unet": "Wide U-Net",
    "wide_sharp_unet": "Wide Sharp U-Net",
    "ternausnet16": "TernausNet-16",
    "sharp_ternausnet16": "Sharp TernausNet-16",
    "unet_resnet50": "U-Net + ResNet-50",
    "sharp_unet_resnet50": "Sharp U-Net + ResNet-50",
}

#: Table 3.2, all on CVC-ClinicDB.
TABLE_3_2: dict[tuple[str, str], Scores] = {
    ("cvc_clinicdb", "unet"): _scores(70.02, 9.37, 78.75, 8.10),
    ("cvc_clinicdb", "sharp_unet"): _scores(75.89, 2.06, 83.65, 1.88),
    ("cvc_clinicdb", "ternausnet16"): _scores(76.07, 3.69, 83.95, 2.95),
    ("cvc_clinicdb", "sharp_ternausnet16"): _scores(76.33, 0.81, 83.84, 0.75),
    ("cvc_clinicdb", "unet_resnet50"): _scores(83.88, 1.26, 89.83, 1.25),
    ("cvc_clinicdb", "sharp_unet_resnet50"): _scores(83.98, 0.27, 90.05, 0.29),
}

#: Relative gains in Jaccard (percent) that section 3.3.5 prints beside table 3.1.
PRINTED_GAINS = {
    "cvc_clinicdb": 12.6,
    "isbi2012": 3.63,
    "isic2018": 1.79,
    "lung": 0.48,
    "dsb2018": 0.63,
    "covid_ct": 2.52,
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """A printed number beside the one that the thesis's own figures give."""

    place: str
    printed: float
    recomputed: float
    holds: bool


def audit_gains() -> dict[str, Finding]:
    """The relative gains that section 3.3.5 prints, against those that table 3.1 gives.

    A gain holds if it is within 0.05 of (sharp - plain) / plain in percent: the table's own
    rounding to two decimals moves it by less.
    """
    findings = {}
    for dataset, printed in PRINTED_GAINS.items():
        plain = TABLE_3_1[dataset, "unet"].jaccard.mean
        sharp = TABLE_3_1[dataset, "sharp_unet"].jaccard.mean
        gain = 100 * (sharp - plain) / plain
        place = f"section 3.3.5, relative gain on {DATASET_TITLES[dataset]}"
        findings[dataset] = Finding(place, printed, round(gain, 2), abs(gain - printed) < 0.05)
    return findings


@dataclasses.dataclass(frozen=True)
class Classification:
    """A row of table 2.1 as printed, in percent: what it calls sensitivity is another thing."""

    auc: float
    printed_sensitivity: float
    false_negatives: int


#: Table 2.1, our conditions only, on the 379 test images of ISIC-2016.
TABLE_2_1 = {
    "vgg_gap": Classification(79.08, 84.46, 55),
    "augment_5x": Classification(78.81, 85.34, 51),
    "augment_10x": Classification(79.56, 86.09, 47),
    "melanet": Classification(81.18, 91.76, 22),
}
ISIC_TEST_BENIGN, ISIC_TEST_MALIGNANT = 304, 75


@dataclasses.dataclass(frozen=True)
class TrueClassification:
    """What a row of table 2.1 implies, in percent."""

    true_negatives: int
    sensitivity: float
    specificity: float


def audit_table_2_1() -> dict[str, TrueClassification]:
    """What the printed figures of table 2.1 are, if its "sensitivity" is TN / (TN + FN).

    For every row there is just one number of true negatives, of 304, that gives the printed
    figure; sensitivity and specificity follow from it.

    Raises:
        ValueError: If a row has no such number, or more than one.
    """
    findings = {}
    for name, row in TABLE_2_1.items():
        fitting = [
            cleared
            for cleared in range(1, ISIC_TEST_BENIGN + 1)
            if round(100 * cleared / (cleared + row.false_negatives), 2) == row.printed_sensitivity
        ]
        if len(fitting) != 1:
            raise ValueError(f"{name}: {len(fitting)} numbers of true negatives fit")
        findings[name] = TrueClassification(
            fitting[0],
            round(100 * (ISIC_TEST_MALIGNANT - row.false_negatives) / ISIC_TEST_MALIGNANT, 2),
            round(100 * fitting[0] / ISIC_TEST_BENIGN, 2),
        )
    return findings


@dataclasses.dataclass(frozen=True)
class Detection:
    """A cell of table 2.2 or 2.3 as printed: sensitivity in percent, FN, training skew.

    The columns "Only Synthetic" print no skew: there it is NaN.
    """

    printed_sensitivity: float
    false_negatives: int
    skew: float

    @property
    def sensitivity(self) -> float:
        """The sensitivity in percent that the printed FN gives, of 46 positive test images."""
        return round(100 * (COVID_TEST_POSITIVES - self.false_negatives) / COVID_TEST_POSITIVES, 2)

    @property
    def holds(self) -> bool:
        """Whether both agree; the thesis cuts digits off where it should round."""
        return abs(self.printed_sensitivity - self.sensitivity) < 0.011


COVID_TEST_POSITIVES = 46
#: Conditions of tables 2.2 and 2.3 in the thesis's order.
COVID_CONDITIONS = ("real", "own", "both", "synthetic")


def _detections(skews, rows) -> dict[tuple[str, str], Detection]:
    return {
        (model, condition): Detection(sensitivity, missed, skew)
        for model, cells in rows.items()
        for condition, skew, (sensitivity, missed) in zip(
            COVID_CONDITIONS, (*skews, math.nan), cells, strict=True
        )
    }


#: Table 2.2 (Normal vs. COVID-19), by model and condition.
TABLE_2_2 = _detections(
    (91.87, 0.98, 0.79),
    {
        "vgg_gap": [(19.56, 37), (54.34, 21), (63.04, 17), (50.00, 23)],
        "resnet50_gap": [(32.61, 31), (41.30, 27), (43.47, 26), (10.86, 41)],
        "densenet121_gap": [(26.08, 34), (28.27, 33), (34.73, 30), (8.69, 42)],
        "densenet121_bagged_trees": [(36.95, 29), (45.65, 25), (52.17, 22), (21.73, 36)],
    },
)

#: Table 2.3 (Pneumonia vs. COVID-19), by model and condition.
TABLE_2_3 = _detections(
    (22.9, 0.95, 0.19),
    {
        "vgg_gap": [(8.69, 42), (29.50, 24), (52.17, 22), (39.13, 28)],
        "resnet50_gap": [(21.73, 36), (36.95, 29), (41.30, 27), (13.04, 40)],
        "densenet121_gap": [(4.34, 44), (21.74, 36), (32.43, 32), (6.52, 43)],
        "densenet121_bagged_trees": [(32.60, 31), (41.30, 27), (47.82, 24), (32.60, 31)],
    },
)

#: Names of the classifiers as the thesis prints them; its DenseNet-102 can only be DenseNet-121.
CLASSIFIER_TITLES = {
    "vgg_gap": "VGG-16",
    "resnet50_gap": "ResNet-50",
    "densenet121_gap": 'DenseNet-121 (printed "102")',
    "densenet121_bagged_trees": "DenseNet-121 + BGT",
}

#: Training images of section 2.2.4. The third is what every printed skew of table 2.3 implies.
COVID_POSITIVES, NORMAL_TRANSLATED, PNEUMONIA_TRANSLATED = 180, 16_537, 4_758
PNEUMONIA_IMPLIED = 4_122


def audit_skews(pneumonia: int = PNEUMONIA_IMPLIED) -> dict[tuple[str, str], Finding]:
    """The printed skews (eq. 2.8), against those that the numbers of images give.

    With the 4,758 translated pneumonia images of section 2.2.4, four of the six do not hold; with
    4,122, which 22.9 × 180 gives, all six do, digits cut off. So the tables seem to be made with
    fewer pneumonia images than were published.

    (16,537 is 80% of the 20,672 images of the RSNA challenge without opacity: its "normal" takes
    in the class "No Lung Opacity / Not Normal", which section 2.3.1 does not say.)

    Args:
        pneumonia: Pneumonia images in training, all of them translated.
    """
    normal, positives = NORMAL_TRANSLATED, COVID_POSITIVES
    negatives = {"table 2.2": (normal, pneumonia), "table 2.3": (pneumonia, normal)}
    findings = {}
    for (table, (own, other)), cells in zip(negatives.items(), (TABLE_2_2, TABLE_2_3), strict=True):
        added = {"real": 0, "own": own, "both": own + other}
        for condition, synthetic in added.items():
            printed = cells["vgg_gap", condition].skew
            skew = own / (positives + synthetic)
            findings[table, condition] = Finding(
                f"{table}, skew of {condition}", printed, round(skew, 3), 0 <= skew - printed < 0.01
            )
    return findings


def melanoma_cells(model: str, condition: str) -> dict[str, str] | None:
    """The thesis's cells of a row of table 2.1, by heading: true ones, and as printed."""
    if condition not in TABLE_2_1:
        return None
    printed, true = TABLE_2_1[condition], audit_table_2_1()[condition]
    return {
        "AUC": f"{printed.auc:.2f}",
        "Sensitivity": f"{true.sensitivity:.2f}",
        "FN": f"{printed.false_negatives} of {ISIC_TEST_MALIGNANT}",
        "Specificity": f"{true.specificity:.2f}",
        "NPV": f"{printed.printed_sensitivity:.2f}",
        'Printed as "sensitivity"': f"{printed.printed_sensitivity:.2f} (the NPV)",
    }


def covid_cells(printed: Detection | None) -> dict[str, str] | None:
    """The thesis's cells of a row of table 2.2 or 2.3, by heading; (!) marks contradictions."""
    if printed is None:
        return None
    sensitivity, skew = f"{printed.printed_sensitivity:.2f}", "–"
    if not printed.holds:
        sensitivity += f" (!) its FN gives {printed.sensitivity:.2f}"
    for finding in audit_skews(PNEUMONIA_TRANSLATED).values():
        if finding.printed == printed.skew:
            skew = f"{printed.skew:g}"
            if not finding.holds:
                skew += f" (!) section 2.2.4 gives {finding.recomputed:.2f}"
    return {
        "Sensitivity": sensitivity,
        "FN": f"{printed.false_negatives} of {COVID_TEST_POSITIVES}",
        "Skew": skew,
    }
