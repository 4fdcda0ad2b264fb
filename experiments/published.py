"""Every number that the thesis prints in tables 2.1, 3.1 and 3.2, and the audit of them."""

import dataclasses


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
DATASETS = {
    "cvc_clinicdb": "CVC-ClinicDB",
    "isbi2012": "ISBI-2012",
    "covid_ct": "COVID-19 CT Segmentation",
    "isic2018": "ISIC-2018",
    "dsb2018": "Data Science Bowl 2018",
    "lung": "Lung Segmentation",
}

#: Names of the models as the thesis prints them.
MODELS = {
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
        place = f"section 3.3.5, relative gain on {DATASETS[dataset]}"
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
