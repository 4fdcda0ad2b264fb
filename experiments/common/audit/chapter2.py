"""Findings on chapter 2: MelaNet, and COVID-19 in chest X-rays."""

from collections.abc import Iterator

from experiments.common.audit.finding import (
    Finding,
    Verdict,
    auc_interval,
    exact_interval,
    fisher,
    holm,
    sensitivity,
    show_interval,
    verdict,
)
from experiments.common.audit.parameters import vgg_gap_parameters
from experiments.common.published import (
    CLASSIFIER_TITLES,
    COVID_POSITIVES,
    COVID_TEST_POSITIVES,
    ISIC_TEST_BENIGN,
    ISIC_TEST_MALIGNANT,
    NORMAL_TEST,
    NORMAL_TRANSLATED,
    PNEUMONIA_TRANSLATED,
    PRINTED,
    TABLE_2_1,
    TABLE_2_1_EARLIER,
    TABLE_2_2,
    TABLE_2_3,
    audit_skews,
    audit_table_2_1,
    matches,
)

Findings = Iterator[Finding]

HOLDS, PARTLY, FAILS = Verdict.HOLDS, Verdict.PARTLY, Verdict.FAILS
UNSHOWN, UNSAID, OPEN = Verdict.UNSHOWN, Verdict.UNSAID, Verdict.OPEN

MELANOMA_TITLES = {
    "vgg_gap": "VGG-GAP",
    "augment_5x": "VGG-GAP + Augment-5x",
    "augment_10x": "VGG-GAP + Augment-10x",
    "melanet": "MelaNet",
}
COVID_TABLES = {"table 2.2": TABLE_2_2, "table 2.3": TABLE_2_3}
OWN_SETS = {"table 2.2": "G_NC", "table 2.3": "G_PC"}
#: Layers of the dense blocks of DenseNet-121.
DENSENET121_BLOCKS = (6, 12, 24, 16)
#: RSNA training images with lung opacity, and boxes drawn in them.
RSNA_OPACITY, RSNA_BOXES = 6_012, 9_555
#: A saved run of VGG-16 on real + both sets (released code): TN and FP, FN.
SAVED_TN, SAVED_FP, SAVED_FN = 4_055, 80, 20


def number(name: str) -> int:
    """A printed whole number."""
    return int(PRINTED[name].value)


def table_2_1_sensitivity() -> Findings:
    """What is printed as sensitivity is the negative predictive value."""
    positives = ISIC_TEST_MALIGNANT
    for name, true in audit_table_2_1().items():
        row = TABLE_2_1[name]
        tn, fn = true.true_negatives, row.false_negatives
        low_high = show_interval(exact_interval(positives - fn, positives))
        yield Finding(
            f"table 2.1, {MELANOMA_TITLES[name]}",
            f"sensitivity {row.printed_sensitivity:.2f}, FN {fn}",
            f"the NPV: {tn} / ({tn} + {fn}) = {tn / (tn + fn):.2%}; sensitivity (eq. 2.9) "
            f"{sensitivity(positives, fn)}, exact 95% interval {low_high}; specificity "
            f"{tn} / {ISIC_TEST_BENIGN} = {tn / ISIC_TEST_BENIGN:.2%}",
            FAILS,
        )


def table_2_1_meaning() -> Findings:
    """What follows from the true rates of table 2.1."""
    audit = audit_table_2_1()
    plain, melanet = TABLE_2_1["vgg_gap"], TABLE_2_1["melanet"]
    benign, positives = ISIC_TEST_BENIGN, ISIC_TEST_MALIGNANT
    images = benign + positives
    yield Finding(
        "table 2.1, the scale of its sensitivities",
        "84.46 to 91.76",
        f"a classifier that finds no melanoma gets {benign} / ({benign} + {positives}) = "
        f"{benign / images:.2%} by the same formula",
        FAILS,
    )
    gain = melanet.printed_sensitivity - plain.printed_sensitivity
    p = fisher(positives - plain.false_negatives, positives - melanet.false_negatives, positives)
    yield Finding(
        "section 2.3.5, gain in sensitivity over VGG-GAP",
        f"{PRINTED['sensitivity_gain'].value}%",
        f"of the NPV: {melanet.printed_sensitivity} - {plain.printed_sensitivity} = {gain:.2f}; "
        f"of sensitivity: ({plain.false_negatives} - {melanet.false_negatives}) / {positives} = "
        f"{(plain.false_negatives - melanet.false_negatives) / positives:.2%} (Fisher on FN: "
        f"p = {p:.0e}): more, not less",
        FAILS,
    )
    tn, fewer = audit["vgg_gap"].true_negatives, audit["melanet"].true_negatives
    yield Finding(
        "section 2.3.5, what the gain costs",
        "not printed",
        f"specificity falls by ({tn} - {fewer}) / {benign} = {(tn - fewer) / benign:.2%} "
        f"(Fisher: p = {fisher(tn, fewer, benign):.0e}): MelaNet also answers malignant more often",
        UNSAID,
    )
    true_positives = positives - melanet.false_negatives
    yield Finding(
        "table 2.1, accuracy of MelaNet",
        "not printed",
        f"({true_positives} + {fewer}) / {images} = {(true_positives + fewer) / images:.2%}; "
        f"answering benign always: {benign} / {images} = {benign / images:.2%}; VGG-GAP: "
        f"({positives - plain.false_negatives} + {tn}) / {images} = "
        f"{(positives - plain.false_negatives + tn) / images:.2%}",
        UNSAID,
    )
    false_positives = benign - fewer
    yield Finding(
        "table 2.1, precision of MelaNet",
        "not printed",
        f"{true_positives} / ({true_positives} + {false_positives}) = "
        f"{true_positives / (true_positives + false_positives):.2%} of its alarms are melanomas",
        UNSAID,
    )


def table_2_1_reductions() -> Findings:
    """MelaNet's fewer false negatives, and its AUC."""
    melanet = TABLE_2_1["melanet"]
    least = PRINTED["fn_reduction"].value
    parts, lowest = [], 100.0
    for name in ("vgg_gap", "augment_5x", "augment_10x"):
        fn = TABLE_2_1[name].false_negatives
        share = (fn - melanet.false_negatives) / fn
        lowest = min(lowest, 100 * share)
        parts.append(f"({fn} - {melanet.false_negatives}) / {fn} = {share:.2%}")
    yield Finding(
        "section 2.3.5, fewer false negatives than the baselines",
        f"more than {least:.0f}%",
        "; ".join(parts),
        verdict(lowest > least),
    )
    gain = melanet.auc - TABLE_2_1["vgg_gap"].auc
    yield Finding(
        "section 2.3.5, gain in AUC over VGG-GAP",
        f"{PRINTED['auc_gain'].value}%",
        f"{melanet.auc} - {TABLE_2_1['vgg_gap'].auc} = {gain:.2f} points",
        verdict(matches(PRINTED["auc_gain"].value, gain, 1)),
    )
    interval = auc_interval(melanet.auc, ISIC_TEST_MALIGNANT, ISIC_TEST_BENIGN)
    others = [row.auc for name, row in TABLE_2_1.items() if name != "melanet"]
    others += [row.auc for row in TABLE_2_1_EARLIER.values()]
    yield Finding(
        "section 2.3.5, AUC against the state of the art",
        "significantly better results than the baseline methods",
        f"95% interval of {melanet.auc} by Hanley and McNeil: {show_interval(interval)}; all "
        f"other AUCs, {min(others)} to {max(others)}, lie in it, and a paired test needs the "
        "predictions",
        UNSHOWN if interval[0] < min(others) else HOLDS,
    )
    worse, plain = TABLE_2_1["augment_5x"].auc, TABLE_2_1["vgg_gap"].auc
    yield Finding(
        "section 2.3.5, few synthetic images are better than many augmented ones",
        f"AUC {worse} (5x), {TABLE_2_1['augment_10x'].auc} (10x), {melanet.auc} (MelaNet)",
        f"the order holds as printed; 5x augmentation is below none: {worse} - {plain} = "
        f"{worse - plain:.2f}; one training each, within the interval above",
        PARTLY,
    )


def table_2_1_earlier() -> Findings:
    """The rows of other papers in table 2.1."""
    audit = audit_table_2_1()
    for name, row in TABLE_2_1_EARLIER.items():
        found = round(row.sensitivity * ISIC_TEST_MALIGNANT / 100)
        yield Finding(
            f"table 2.1, {name}",
            f"sensitivity {row.sensitivity:.2f} beside 84.46 to 91.76",
            f"a true sensitivity: {found} / {ISIC_TEST_MALIGNANT} = "
            f"{found / ISIC_TEST_MALIGNANT:.2%}; like for like it stands beside "
            f"{audit['vgg_gap'].sensitivity} (VGG-GAP) and {audit['melanet'].sensitivity} "
            "(MelaNet), not beside their NPV",
            FAILS,
        )


def conclusion() -> Findings:
    """Section 4.1.1."""
    melanet, claimed = TABLE_2_1["melanet"], PRINTED["conclusion_sensitivity_gain"]
    others = [row.printed_sensitivity for name, row in TABLE_2_1.items() if name != "melanet"]
    others += [row.sensitivity for row in TABLE_2_1_EARLIER.values()]
    gains = sorted(round(melanet.printed_sensitivity - other, 2) for other in others)
    yield Finding(
        claimed.place,
        f"sensitivity better by {claimed.value:.2f}%",
        f"{melanet.printed_sensitivity} - {TABLE_2_1['vgg_gap'].printed_sensitivity} = "
        f"{melanet.printed_sensitivity - TABLE_2_1['vgg_gap'].printed_sensitivity:.2f}; no pair of "
        f"rows gives it (differences: {', '.join(map(str, gains))})",
        verdict(claimed.value in gains),
    )
    claimed, earlier = PRINTED["conclusion_auc_gain"], TABLE_2_1_EARLIER["Gutman et al."].auc
    yield Finding(
        claimed.place,
        f"AUC better by {claimed.value}%",
        f"{melanet.auc} - {earlier:.2f} = {melanet.auc - earlier:.2f}, to the AUC of Gutman et al.",
        verdict(matches(claimed.value, melanet.auc - earlier)),
    )


def isic_counts() -> Findings:
    """Counts of ISIC-2016 and of what is trained on."""
    benign, malignant = number("isic_training_benign"), number("isic_training_malignant")
    training, synthetic = number("isic_training"), number("melanet_synthetic")
    for part, first, second, total in (
        ("training", benign, malignant, training),
        ("test", ISIC_TEST_BENIGN, ISIC_TEST_MALIGNANT, number("isic_test")),
    ):
        yield Finding(
            f"section 2.3.1, ISIC-2016, {part} set",
            f"{total} images, ratio 1:{number('isic_ratio')}",
            f"{first} + {second} = {first + second}; {first} / {second} = {first / second:.2f}",
            verdict(first + second == total and round(first / second) == number("isic_ratio")),
        )
    samples = number("melanet_samples")
    yield Finding(
        "section 2.3.5, training samples of MelaNet",
        f"{samples:,}",
        f"{training} + {synthetic} = {training + synthetic:,}",
        verdict(training + synthetic == samples),
    )
    yield Finding(
        "section 2.3.5, the synthesised images",
        f"{synthetic} (benign and malignant)",
        f"one per benign image, all of them malignant: {synthetic} of {benign}",
        FAILS,
    )
    merged = malignant + synthetic
    yield Finding(
        "algorithm 1, step 16",
        "a balanced training set",
        f"{malignant} + {synthetic} = {merged} malignant beside {benign} benign; skew "
        f"{benign} / {merged} = {benign / merged:.2f}; test: {ISIC_TEST_BENIGN} / "
        f"{ISIC_TEST_MALIGNANT} = {ISIC_TEST_BENIGN / ISIC_TEST_MALIGNANT:.2f}: the majority has "
        "changed sides",
        PARTLY,
    )
    for times in (5, 10):
        printed = number(f"augment_{times}x_samples")
        follows = times * training + training
        yield Finding(
            f"section 2.3.2, Augment-{times}x",
            f"{printed:,} samples",
            f"{times} * {training} + {training} = {follows:,}, "
            f"{follows // training} times the original set",
            verdict(printed == follows),
        )


def focal_loss() -> Findings:
    """Eq. 2.6 and its parameters."""
    alpha = PRINTED["focal_alpha"].value
    benign, malignant = number("isic_training_benign"), number("isic_training_malignant")
    rest = 1 - alpha
    before = benign / malignant
    after = rest * benign / (alpha * malignant)
    yield Finding(
        "eq. 2.6 with section 2.3.3",
        f"alpha_t = {alpha} for positives, {rest} for negatives, which balances their importance",
        f"the rare class is the positive one, and weighs less still: {rest} * {benign} / ({alpha} "
        f"* {malignant}) = {after:.2f} where {benign} / {malignant} = {before:.2f}",
        FAILS,
    )
    yield Finding(
        "eq. 2.6 in the released code",
        f"alpha = {alpha}",
        f"both softmax columns are summed, with alpha on one and 1 - alpha on the other: "
        f"{alpha} + {rest} = {alpha + rest:.2f} for every sample, so alpha has no effect",
        FAILS,
    )
    yield Finding(
        "section 2.2.2, focal loss with gamma = 0",
        "reduces to the cross-entropy loss",
        f"to the cross-entropy weighted by alpha_t ({alpha} or {rest}); to the plain one only "
        "with alpha_t = 1",
        PARTLY,
    )
    yield Finding(
        "section 2.3.5, ROC curves",
        "closer to the upper right indicates a better performance",
        "TPR is vertical and FPR horizontal: the best point is (0, 1), upper left",
        FAILS,
    )


def architecture() -> Findings:
    """Networks of chapter 2."""
    layers = 1 + 2 * sum(DENSENET121_BLOCKS) + 3 + 1
    blocks = " + ".join(map(str, DENSENET121_BLOCKS))
    yield Finding(
        "section 2.3.2 and tables 2.2 and 2.3",
        f"DenseNet-{number('densenet_layers')}",
        f"no such network: 2 layers a unit and 5 more is odd, 102 is even; DenseNet-121 is meant: "
        f"1 + 2 * ({blocks}) + 3 + 1 = {layers}",
        FAILS,
    )
    convolutions = 2 + 2 + 3 + 3 + 3
    yield Finding(
        "section 2.2.2, VGG-GAP",
        "13 convolutional layers and one dense layer of two units",
        f"2 + 2 + 3 + 3 + 3 = {convolutions}; 14,714,688 + 512 * 2 + 2 = "
        f"{vgg_gap_parameters():,} parameters",
        HOLDS,
    )
    yield Finding(
        "section 2.3.5, MelaNet outperforms the state of the art",
        "results are displayed in Table 2.2",
        "those of table 2.2 are of COVID-19; table 2.1 is meant",
        FAILS,
    )


def xray_counts() -> Findings:
    """Counts of X-rays."""
    normal, pneumonia, covid = NORMAL_TRANSLATED, PNEUMONIA_TRANSLATED, COVID_POSITIVES
    total, images = number("synthetic_released"), number("rsna_images")
    yield Finding(
        PRINTED["synthetic_released"].place + ", synthetic X-rays",
        f"{total:,}",
        f"{normal:,} + {pneumonia:,} = {normal + pneumonia:,}",
        verdict(normal + pneumonia == total),
    )
    no_opacity = images - RSNA_OPACITY
    yield Finding(
        "section 2.3.1, normal X-rays",
        f"{normal:,} of the class normal",
        f"80% of all images without opacity: {images:,} - {RSNA_OPACITY:,} = {no_opacity:,}; "
        f"{no_opacity:,} - {normal:,} = {NORMAL_TEST:,} tested: it takes in the class "
        '"No Lung Opacity / Not Normal", which is not said',
        PARTLY,
    )
    yield Finding(
        "section 2.3.1, pneumonia X-rays, 80% for training",
        f"{pneumonia:,}",
        f"the images of the first 80% of the box rows, 0.8 * {RSNA_BOXES:,} = "
        f"{0.8 * RSNA_BOXES:,.0f}; of the images: {pneumonia:,} / {RSNA_OPACITY:,} = "
        f"{pneumonia / RSNA_OPACITY:.2%}",
        PARTLY,
    )
    images = number("covid_images")
    yield Finding(
        "section 2.3.1, COVID-19 X-rays, 80% for training",
        f"{images} images, {number('covid_undersampled')} for training",
        f"0.8 * {images} = {0.8 * images:.1f}; {images} - {covid} = {images - covid} tested, as "
        "the FN of tables 2.2 and 2.3 need",
        verdict(images - covid == COVID_TEST_POSITIVES),
    )
    yield Finding(
        "section 2.3.1, COVID-19 image data collection",
        f"{images} images with CT; CT is discarded, {images} are retained",
        f"both cannot be {images} if one CT image was discarded",
        FAILS,
    )
    yield Finding(
        "section 2.3.1, split of the X-rays",
        "a patient level split",
        f"released code: by file order (the first {covid}, the first {normal:,}), not by patient",
        FAILS,
    )
    trained = 2 * normal + covid + pneumonia
    yield Finding(
        "section 2.2.4, pneumonia images translated and trained on",
        f"{pneumonia:,}",
        f"a released notebook prints 38,012 images: 2 * {normal:,} + {covid} + {pneumonia:,} = "
        f"{trained:,}",
        verdict(trained == 38_012),
    )


def skews() -> Findings:
    """The skews of tables 2.2 and 2.3 (eq. 2.8)."""
    swapped = audit_skews(NORMAL_TEST)
    for key, found in audit_skews(PNEUMONIA_TRANSLATED).items():
        table, condition = key
        other = swapped[key]
        reading = (
            f"; with {NORMAL_TEST:,}, the normal test images: {other.negatives:,} / "
            f"{other.positives:,} = {other.recomputed:.3f}"
        )
        changed = other != found
        yield Finding(
            f"{table}, skew of {condition}",
            f"{found.printed:g}",
            f"{found.negatives:,} / {found.positives:,} = {found.recomputed:.3f}"
            + (reading if changed else ""),
            verdict(found.holds),
        )
    fitting = [
        count
        for count in range(1, PNEUMONIA_TRANSLATED + 1)
        if all(found.holds for found in audit_skews(count).values())
    ]
    yield Finding(
        "tables 2.2 and 2.3, the number of pneumonia images behind the skews",
        f"{PNEUMONIA_TRANSLATED:,}",
        f"the six skews fit {min(fitting):,} to {max(fitting):,}; {NORMAL_TEST:,} is among them, "
        f"the number of normal test images ({NORMAL_TRANSLATED:,} + {NORMAL_TEST:,} = "
        f"{NORMAL_TRANSLATED + NORMAL_TEST:,}; {SAVED_TN:,} + {SAVED_FP} = "
        f"{SAVED_TN + SAVED_FP:,} in a saved run): most likely swapped; it does not show that "
        "fewer images were used",
        FAILS,
    )
    first, second = TABLE_2_2["vgg_gap", "real"].skew, TABLE_2_3["vgg_gap", "real"].skew
    used = NORMAL_TRANSLATED / PNEUMONIA_TRANSLATED
    yield Finding(
        PRINTED["skew_quotient"].place + ", skew of normal against that of pneumonia",
        "almost four times larger",
        f"as printed {first} / {second} = {first / second:.2f}; with the images used "
        f"{NORMAL_TRANSLATED:,} / {PNEUMONIA_TRANSLATED:,} = {used:.2f}",
        PARTLY,
    )


def covid_cells() -> Findings:
    """Cells of tables 2.2 and 2.3 whose sensitivity is not that of their own FN."""
    total, cut = 0, 0
    for table, cells in COVID_TABLES.items():
        for (model, condition), cell in cells.items():
            total += 1
            cut += cell.holds and cell.printed_sensitivity < cell.sensitivity
            if cell.printed_sensitivity > cell.sensitivity or not cell.holds:
                yield Finding(
                    f"{table}, {CLASSIFIER_TITLES[model]}, {condition}",
                    f"sensitivity {cell.printed_sensitivity:.2f}, FN {cell.false_negatives}",
                    sensitivity(COVID_TEST_POSITIVES, cell.false_negatives),
                    PARTLY if cell.holds else FAILS,
                )
    yield Finding(
        "tables 2.2 and 2.3, the other sensitivities",
        "rounded to two decimals",
        f"they are those of their FN; {cut} of {total} cells are cut, not rounded, such as "
        f"{sensitivity(COVID_TEST_POSITIVES, 37)}, printed 19.56",
        PARTLY,
    )


def covid_significance() -> Findings:
    """Fisher's exact test on the FN of tables 2.2 and 2.3."""
    positives, values = COVID_TEST_POSITIVES, []
    for table, cells in COVID_TABLES.items():
        for model in CLASSIFIER_TITLES:
            real = cells[model, "real"].false_negatives
            parts, shown = [], True
            for condition in ("own", "both"):
                fn = cells[model, condition].false_negatives
                p = fisher(positives - real, positives - fn, positives)
                values += [(model, p)]
                shown &= p < 0.05
                parts.append(f"FN {real} to {fn} of {positives}: p = {p:.2g}")
            yield Finding(
                f"{table}, {CLASSIFIER_TITLES[model]}, own set and both against real",
                "a significant increase",
                "; ".join(parts) + " (Fisher; the test images are the same, a paired test needs "
                "the predictions)",
                HOLDS if shown else UNSHOWN,
            )
    pair = ("resnet50_gap", "densenet121_bagged_trees")
    eight = [p for model, p in values if model in pair]
    all_values = [p for _, p in values]
    best, second = (
        [cells[model, "both"].false_negatives for cells in COVID_TABLES.values()]
        for model in ("vgg_gap", "densenet121_bagged_trees")
    )
    between = ", ".join(
        f"FN {a} and {b}: p = {fisher(positives - a, positives - b, positives):.2g}"
        for a, b in zip(best, second, strict=True)
    )
    yield Finding(
        "section 2.3.6, the difference between the models",
        "actually real, and not due to a statistical chance",
        f"all {len(eight)} cells of ResNet-50 and DenseNet-121 + BGT have p from {min(eight):.2f} "
        f"to {max(eight):.2f} against real; of all {len(values)} cells "
        f"{sum(p < 0.05 for p in all_values)} have p < 0.05, {holm(all_values)} after Holm's "
        f"correction; VGG-16 and the second best, both sets: {between}",
        FAILS,
    )


def covid_claims() -> Findings:
    """What section 2.3.6 says of tables 2.2 and 2.3."""
    fn = {
        table: {key: cell.false_negatives for key, cell in cells.items()}
        for table, cells in COVID_TABLES.items()
    }
    rows = [
        [fn[table][model, condition] for condition in ("real", "own", "both")]
        for table in fn
        for model in CLASSIFIER_TITLES
    ]
    yield Finding(
        "section 2.3.6 and 4.1.1, more synthetic images, fewer FN",
        "sensitivity improves and FN decrease",
        f"FN fall from real to own to both in {sum(a > b > c for a, b, c in rows)} of {len(rows)} "
        "rows",
        verdict(all(a > b > c for a, b, c in rows)),
    )
    yield Finding(
        "section 2.3.4, two metrics",
        "sensitivity and false negatives",
        f"one number twice: sensitivity = ({COVID_TEST_POSITIVES} - FN) / {COVID_TEST_POSITIVES}",
        FAILS,
    )
    yield Finding(
        "tables 2.2 and 2.3, specificity",
        "not printed",
        "without it a lower threshold and a better classifier look the same: answering COVID-19 "
        "always has FN 0",
        OPEN,
    )
    first = sum(fn["table 2.2"][m, "real"] - fn["table 2.2"][m, "own"] for m in CLASSIFIER_TITLES)
    second = sum(fn["table 2.3"][m, "real"] - fn["table 2.3"][m, "own"] for m in CLASSIFIER_TITLES)
    yield Finding(
        "section 2.3.6, G_NC against G_PC",
        "G_PC helps less in some cases, for want of images (4,758, not 16,537)",
        f"first set added, FN saved over four models: {first} by G_NC (table 2.2), {second} by "
        "G_PC (table 2.3); whichever is added second saves less",
        UNSHOWN,
    )
    gains = {
        table: {
            model: (COVID_TEST_POSITIVES - fn[table][model, "both"])
            / (COVID_TEST_POSITIVES - fn[table][model, "real"])
            for model in CLASSIFIER_TITLES
        }
        for table in fn
    }
    listed = "; ".join(
        f"{table}: " + ", ".join(f"{times:.2f}" for times in row.values())
        for table, row in gains.items()
    )
    yield Finding(
        "section 2.3.6, relative improvement and complexity",
        "drops as the architectural complexity increases",
        f"sensitivity, both over real, in the tables' order of models: {listed}; in table 2.3 "
        "DenseNet-121 gains most",
        FAILS,
    )
    for condition in ("real", "both"):
        best = [min(CLASSIFIER_TITLES, key=lambda m: fn[t][m, condition]) for t in fn]
        yield Finding(
            f"section 2.3.6, VGG-16 outperforms all others, {condition}",
            "VGG-16",
            "fewest FN: "
            + ", ".join(
                f"{CLASSIFIER_TITLES[name]} ({table})" for table, name in zip(fn, best, strict=True)
            ),
            verdict(set(best) == {"vgg_gap"}),
        )


def synthetic_only() -> Findings:
    """Training on synthetic COVID-19 images only."""
    better = {
        table: {
            model: COVID_TABLES[table][model, "real"].false_negatives
            - COVID_TABLES[table][model, "synthetic"].false_negatives
            for model in CLASSIFIER_TITLES
        }
        for table in COVID_TABLES
    }
    dense = TABLE_2_3["densenet121_gap", "synthetic"], TABLE_2_3["densenet121_gap", "real"]
    yield Finding(
        "section 2.3.6 and table 2.3, only synthetic",
        "all models but VGG-16 are below their score on real images",
        f"DenseNet-121 gains too, {dense[0].printed_sensitivity} > {dense[1].printed_sensitivity}; "
        "with bagged trees both have FN 31",
        FAILS,
    )
    positives = COVID_TEST_POSITIVES
    vgg = [COVID_TABLES[t]["vgg_gap", c].false_negatives for t in better for c in _REAL_SYNTHETIC]
    lost = sum(change < 0 for row in better.values() for change in row.values())
    yield Finding(
        "section 4.1.1, synthetic data only",
        "comparable detection performance to real data",
        f"FN: fewer for VGG-16 ({vgg[0]} to {vgg[1]}, {vgg[2]} to {vgg[3]} of {positives}), more "
        f"in {lost} of 8 cells, such as 31 to 41 and 34 to 42 in table 2.2 (Fisher: "
        f"p = {fisher(positives - 31, positives - 41, positives):.2g} and "
        f"{fisher(positives - 34, positives - 42, positives):.2g})",
        PARTLY,
    )
    saved = positives - SAVED_FN
    cell = TABLE_2_2["vgg_gap", "both"]
    yield Finding(
        "table 2.2, VGG-16, both, against a saved run of the released code",
        f"FN {cell.false_negatives}, sensitivity {cell.printed_sensitivity}",
        f"the run has FN {SAVED_FN}: {sensitivity(positives, SAVED_FN)}; specificity "
        f"{SAVED_TN:,} / ({SAVED_TN:,} + {SAVED_FP}) = {SAVED_TN / (SAVED_TN + SAVED_FP):.2%}; "
        f"precision {saved} / ({saved} + {SAVED_FP}) = {saved / (saved + SAVED_FP):.2%}",
        PARTLY,
    )
    yield Finding(
        "sections 2.1 and 4.1.1, anonymity",
        "data generation can serve as an anonymization tool",
        "detection scores say nothing of it; measured here on translated normal X-rays, the "
        "training image nearest in pixels is of the source patient for 167 / 266 = 62.78% of "
        "patients (docs/earlier_results.md)",
        FAILS,
    )


_REAL_SYNTHETIC = ("real", "synthetic")


def discussion() -> Findings:
    """Predictions on all benign training images and 10 synthesised ones."""
    benign, wrong = number("isic_training_benign"), number("discussion_misclassified")
    synthetic, right = number("discussion_synthetic"), benign - wrong
    share = right / benign
    yield Finding(
        "section 2.3.6, benign images, sensitivity",
        f"{number('discussion_benign_rate')}%, {wrong} misclassified",
        f"({benign} - {wrong}) / {benign} = {right} / {benign} = {share:.1%}",
        verdict(matches(number("discussion_benign_rate"), 100 * share, 0)),
    )
    f_benign = 2 * right / (2 * right + wrong)
    yield Finding(
        "section 2.3.6, benign images, F-score",
        f"{number('discussion_benign_f')}%",
        f"2 * {right} / (2 * {right} + {wrong}) = {f_benign:.1%}",
        verdict(matches(number("discussion_benign_f"), 100 * f_benign, 0)),
    )
    f_malignant = 2 * synthetic / (2 * synthetic + wrong)
    yield Finding(
        "section 2.3.6, synthesised malignant images, F-score",
        f"{number('discussion_malignant_f')}%",
        f"2 * {synthetic} / (2 * {synthetic} + {wrong}) = {f_malignant:.1%}",
        verdict(matches(number("discussion_malignant_f"), 100 * f_malignant, 0)),
    )
    f_balanced = 2 * benign / (2 * benign + wrong)
    yield Finding(
        "section 2.3.6, what that F-score says",
        f"{number('discussion_malignant_f')}% for the malignant group",
        f"it follows from the chosen prevalence, {synthetic} / ({synthetic} + {benign}) = "
        f"{synthetic / (synthetic + benign):.1%}: with one synthesised image for each benign one, "
        f"all found, 2 * {benign} / (2 * {benign} + {wrong}) = {f_balanced:.1%}",
        UNSHOWN,
    )
    tested = audit_table_2_1()["melanet"].specificity
    low, high = exact_interval(synthetic, synthetic)
    yield Finding(
        "section 2.3.6, the discussion's rates as performance",
        f"{number('discussion_benign_rate')}% and {number('discussion_malignant_rate')}%",
        f"these are training images; on test images specificity is {tested}%, and 10 of 10 has "
        f"the exact 95% interval {low:.1f} to {high:.1f}",
        UNSHOWN,
    )
    interval = show_interval(exact_interval(COVID_TEST_POSITIVES - 17, COVID_TEST_POSITIVES))
    yield Finding(
        "table 2.2, the best cell",
        "63.04",
        f"{sensitivity(COVID_TEST_POSITIVES, 17)}, exact 95% interval {interval}",
        HOLDS,
    )


def released_code() -> Findings:
    """Statements on how the results were made, beside the released code."""
    yield Finding(
        "section 2.3.3, validation set",
        "not required, as no hyper-parameter is tuned",
        "released code: early stopping and the weights that are kept go by the test set",
        FAILS,
    )
    epochs = number("cyclegan_epochs")
    yield Finding(
        "section 2.3.3, epochs of CycleGAN",
        f"{epochs}",
        f"released code: 100; named checkpoints are 510, 571, 597 and 784, all above {epochs}, "
        "which suggests that they were chosen by eye",
        FAILS,
    )
    yield Finding(
        "section 2.3.3, batch size of CycleGAN for X-rays",
        f"{number('cyclegan_batch')}, carried out in the same way",
        "released code: 16",
        FAILS,
    )
    yield Finding(
        "section 2.3.1, resizing",
        "padding to a square, which retains the aspect ratio",
        "released code: a plain resize, without padding",
        FAILS,
    )
    yield Finding(
        "figures 2.8 to 2.15",
        "heat maps, confidence scores and embeddings",
        "no number is printed of them",
        OPEN,
    )


CHECKS = (
    table_2_1_sensitivity,
    table_2_1_meaning,
    table_2_1_reductions,
    table_2_1_earlier,
    conclusion,
    isic_counts,
    focal_loss,
    architecture,
    xray_counts,
    skews,
    covid_cells,
    covid_significance,
    covid_claims,
    synthetic_only,
    discussion,
    released_code,
)
