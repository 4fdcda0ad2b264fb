"""The numbers that the thesis prints, each with its place. `experiments.audit` recomputes them."""

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
#: With those of models that the thesis only points to (section 4.3.3).
MODEL_TITLES = {**SEGMENTATION_TITLES, "unet3d": "3D U-Net", "sharp_unet3d": "Sharp 3D U-Net"}

#: Table 3.2, all on CVC-ClinicDB.
TABLE_3_2: dict[tuple[str, str], Scores] = {
    ("cvc_clinicdb", "unet"): _scores(70.02, 9.37, 78.75, 8.10),
    ("cvc_clinicdb", "sharp_unet"): _scores(75.89, 2.06, 83.65, 1.88),
    ("cvc_clinicdb", "ternausnet16"): _scores(76.07, 3.69, 83.95, 2.95),
    ("cvc_clinicdb", "sharp_ternausnet16"): _scores(76.33, 0.81, 83.84, 0.75),
    ("cvc_clinicdb", "unet_resnet50"): _scores(83.88, 1.26, 89.83, 1.25),
    ("cvc_clinicdb", "sharp_unet_resnet50"): _scores(83.98, 0.27, 90.05, 0.29),
}

#: Figure 3.5, in percent. The thesis prints of it the two deviations of Jaccard of the wide models
#: (section 3.3.5); the other numbers are those of the bars, from the released code.
FIGURE_3_5: dict[tuple[str, str], Scores] = {
    ("cvc_clinicdb", "unet"): _scores(70.0217, 9.3723, 78.7514, 8.1050),
    ("cvc_clinicdb", "wide_unet"): _scores(73.9754, 3.4125, 82.1686, 3.0006),
    ("cvc_clinicdb", "sharp_unet"): _scores(75.8923, 2.0695, 83.6510, 1.8840),
    ("cvc_clinicdb", "wide_sharp_unet"): _scores(75.9263, 1.8024, 83.8992, 1.4904),
}

#: Jaccard of two rows of table 3.2 in the released code that draws figure 3.5.
TABLE_3_2_SOURCE = {"unet_resnet50": 83.8797, "sharp_unet_resnet50": 83.7544}

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
class Printed:
    """A number printed in the text, and where."""

    place: str
    value: float


#: Counts, hyper-parameters and results that the text prints.
PRINTED = {
    "isic_training": Printed("section 2.3.1", 900),
    "isic_test": Printed("section 2.3.1", 379),
    "isic_training_benign": Printed("section 2.3.1", 727),
    "isic_training_malignant": Printed("section 2.3.1", 173),
    "isic_ratio": Printed("section 2.3.1", 4),
    "covid_images": Printed("section 2.3.1", 226),
    "rsna_images": Printed("section 2.3.1", 26_684),
    "covid_training_share": Printed("section 2.3.1", 80),
    "skew_quotient": Printed("section 2.3.1", 4),
    "augment_5x_samples": Printed("section 2.3.2", 5_400),
    "augment_10x_samples": Printed("section 2.3.2", 99_000),
    "densenet_layers": Printed("section 2.3.2", 102),
    "cyclegan_epochs": Printed("section 2.3.3", 500),
    "cyclegan_rate": Printed("section 2.3.3", 2e-4),
    "cyclegan_batch": Printed("section 2.3.3", 1),
    "cyclegan_lambda": Printed("section 2.3.3", 10),
    "classifier_rate": Printed("section 2.3.3", 1e-3),
    "classifier_batch": Printed("section 2.3.3", 16),
    "plateau_factor": Printed("section 2.3.3", 0.1),
    "focal_alpha": Printed("section 2.3.3", 0.25),
    "focal_gamma": Printed("section 2.3.3", 2),
    "threshold": Printed("section 2.3.4", 0.5),
    "auc_gain": Printed("section 2.3.5", 2.1),
    "sensitivity_gain": Printed("section 2.3.5", 7.3),
    "fn_reduction": Printed("section 2.3.5", 50),
    "melanet_samples": Printed("section 2.3.5", 1_627),
    "melanet_synthetic": Printed("section 2.3.5", 727),
    "normal_translated": Printed("section 2.2.4", 16_537),
    "pneumonia_translated": Printed("section 2.2.4", 4_758),
    "covid_undersampled": Printed("section 2.3.6", 180),
    "synthetic_released": Printed("section 2.1", 21_295),
    "discussion_synthetic": Printed("section 2.3.6", 10),
    "discussion_misclassified": Printed("section 2.3.6", 77),
    "discussion_benign_rate": Printed("section 2.3.6", 89),
    "discussion_malignant_rate": Printed("section 2.3.6", 100),
    "discussion_benign_f": Printed("section 2.3.6", 94),
    "discussion_malignant_f": Printed("section 2.3.6", 21),
    "conclusion_sensitivity_gain": Printed("section 4.1.1", 13.10),
    "conclusion_auc_gain": Printed("section 4.1.1", 0.78),
    "unet_million": Printed("section 3.3.2", 7.8),
    "wide_unet_million": Printed("section 3.3.2", 9.1),
    "ternausnet16_million": Printed("section 3.3.2", 23.7),
    "unet_resnet50_million": Printed("section 3.3.2", 32.5),
    "unet_resnet50_million_again": Printed("section 3.3.5", 32.7),
    "times_the_parameters": Printed("sections 1.5, 3.1 and 4.1.2", 3),
    "extra_parameters": Printed("section 3.2.1", 0),
    "datasets": Printed("section 3.3.1", 4),
    "decoder_blocks": Printed("section 3.2.2", 5),
    "dsb_images": Printed("section 3.3.1", 670),
    "isic2018_images": Printed("section 3.3.1", 2_594),
    "covid_ct_images": Printed("section 3.3.1", 100),
    "isbi2012_images": Printed("section 3.3.1", 30),
    "cvc_images": Printed("section 3.3.1", 612),
    "folds": Printed("section 3.3.3", 5),
    "repeats": Printed("section 3.3.3", 5),
    "adam_rate": Printed("section 3.3.3", 1e-3),
    "wide_gain": Printed("section 3.3.5", 2.63),
    "wide_unet_sd": Printed("section 3.3.5", 3.4125),
    "wide_sharp_unet_sd": Printed("section 3.3.5", 1.8024),
    "ternausnet16_sd": Printed("section 3.3.5", 3.6895),
    "sharp_ternausnet16_sd": Printed("section 3.3.5", 0.8090),
}

#: Filters of the encoder blocks (sections 3.2.2 and 3.2.5).
FILTERS, WIDE_FILTERS = (32, 64, 128, 256, 512), (35, 70, 140, 280, 560)
#: Height and width for which section 3.3.2 states the size of U-Net.
UNET_IMAGE_SIZE = (192, 256)
#: The kernel of eq. 3.1.
KERNEL = ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1))


def matches(printed: float, value: float, digits: int = 2) -> bool:
    """Whether `printed` is `value` rounded to `digits` decimals, or cut there as the thesis does.

    Example:
        >>> matches(19.56, 100 * 9 / 46), matches(34.73, 100 * 16 / 46)
        (True, False)
    """
    step, tolerance = 10.0**-digits, 1e-9
    return -step / 2 - tolerance <= value - printed < step - tolerance


@dataclasses.dataclass(frozen=True)
class Classification:
    """A row of table 2.1 as printed, in percent; its "sensitivity" is the NPV."""

    auc: float
    printed_sensitivity: float
    false_negatives: int


#: Table 2.1, the thesis's own rows, on the 379 test images of ISIC-2016.
TABLE_2_1 = {
    "vgg_gap": Classification(79.08, 84.46, 55),
    "augment_5x": Classification(78.81, 85.34, 51),
    "augment_10x": Classification(79.56, 86.09, 47),
    "melanet": Classification(81.18, 91.76, 22),
}
ISIC_TEST_BENIGN, ISIC_TEST_MALIGNANT = 304, 75


@dataclasses.dataclass(frozen=True)
class EarlierWork:
    """A row of table 2.1 that was copied from another paper: AUC and true sensitivity."""

    auc: float
    sensitivity: float


#: Table 2.1, the rows of other papers.
TABLE_2_1_EARLIER = {
    "Gutman et al.": EarlierWork(80.40, 50.70),
    "Yu et al. (without segmentation)": EarlierWork(78.20, 42.70),
    "Yu et al. (with segmentation)": EarlierWork(78.30, 54.70),
}


@dataclasses.dataclass(frozen=True)
class TrueClassification:
    """What a row of table 2.1 implies, in percent."""

    true_negatives: int
    sensitivity: float
    specificity: float


def audit_table_2_1() -> dict[str, TrueClassification]:
    """The true rates of table 2.1, whose printed "sensitivity" is TN / (TN + FN).

    In every row just one number of true negatives, of 304, gives the printed figure; sensitivity
    and specificity follow from it.

    Raises:
        ValueError: If a row has no such number, or more than one.
    """
    findings = {}
    for name, row in TABLE_2_1.items():
        fitting = [
            tn
            for tn in range(1, ISIC_TEST_BENIGN + 1)
            if round(100 * tn / (tn + row.false_negatives), 2) == row.printed_sensitivity
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
        """Whether both agree to 0.01; the thesis often cuts digits where it should round."""
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

#: Training images of tables 2.2 and 2.3 (sections 2.2.4 and 2.3.6).
COVID_POSITIVES, NORMAL_TRANSLATED, PNEUMONIA_TRANSLATED = 180, 16_537, 4_758
#: Normal test images: 20% of the 20,672 images of the RSNA challenge without opacity.
NORMAL_TEST = 4_135


@dataclasses.dataclass(frozen=True)
class Skew:
    """A skew (eq. 2.8) as printed, and as the numbers of images give it."""

    negatives: int
    positives: int
    printed: float

    @property
    def recomputed(self) -> float:
        """Negative over positive training images."""
        return self.negatives / self.positives

    @property
    def holds(self) -> bool:
        """Whether the printed skew is the recomputed one, rounded or cut to its digits."""
        return matches(self.printed, self.recomputed, digits=len(str(self.printed).split(".")[1]))


def audit_skews(pneumonia: int = NORMAL_TEST) -> dict[tuple[str, str], Skew]:
    """The printed skews beside those that the numbers of images give, by table and condition.

    With the 4,758 pneumonia images that section 2.2.4 translates, four of the six do not hold.
    With 4,135 all six do, digits cut off; 4,135 is the number of normal *test* images, so most
    likely the two were swapped when the skews were computed. It does not show that fewer pneumonia
    images were used: a released notebook prints 38,012 = 2 × 16,537 + 180 + 4,758 images.

    Args:
        pneumonia: Pneumonia images in training, all of them translated. The default is the number
            that all printed skews fit.

    Example:
        >>> audit_skews()["table 2.3", "real"].holds, audit_skews(4758)["table 2.3", "real"].holds
        (True, False)
    """
    normal, positives = NORMAL_TRANSLATED, COVID_POSITIVES
    negatives = {"table 2.2": (normal, pneumonia), "table 2.3": (pneumonia, normal)}
    skews = {}
    for (table, (own, other)), cells in zip(negatives.items(), (TABLE_2_2, TABLE_2_3), strict=True):
        added = {"real": 0, "own": own, "both": own + other}
        for condition, synthetic in added.items():
            printed = cells["vgg_gap", condition].skew
            skews[table, condition] = Skew(own, positives + synthetic, printed)
    return skews


def melanoma_cells(model: str, condition: str) -> dict[str, str] | None:
    """The thesis's cells of a row of table 2.1, by heading: true ones, and as printed."""
    if model != "vgg_gap" or condition not in TABLE_2_1:
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
    for found in audit_skews(PNEUMONIA_TRANSLATED).values():
        if found.printed == printed.skew:
            skew = f"{printed.skew:g}"
            if not found.holds:
                skew += f" (!) section 2.2.4 gives {found.recomputed:.2f}"
    return {
        "Sensitivity": sensitivity,
        "FN": f"{printed.false_negatives} of {COVID_TEST_POSITIVES}",
        "Skew": skew,
    }
