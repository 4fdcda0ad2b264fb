"""Findings on chapter 3: Sharp U-Net."""

import itertools
import math
from collections.abc import Iterator

from experiments.common.audit.finding import Finding, Verdict, holm, verdict, welch
from experiments.common.audit.parameters import (
    RESNET50_SKIPS,
    TERNAUSNET16_SKIPS,
    sharp_multiply_adds,
    sharp_weights,
    ternausnet16_parameters,
    unet_convolutions,
    unet_parameters,
    unet_resnet50_parameters,
)
from experiments.common.published import (
    DATASET_TITLES,
    FIGURE_3_5,
    FILTERS,
    KERNEL,
    PRINTED,
    PRINTED_GAINS,
    SEGMENTATION_TITLES,
    TABLE_3_1,
    TABLE_3_2,
    TABLE_3_2_SOURCE,
    UNET_IMAGE_SIZE,
    WIDE_FILTERS,
    Scores,
    matches,
)

Findings = Iterator[Finding]

HOLDS, PARTLY, FAILS = Verdict.HOLDS, Verdict.PARTLY, Verdict.FAILS
UNSHOWN, UNSAID, OPEN = Verdict.UNSHOWN, Verdict.UNSAID, Verdict.OPEN

RUNS = 5  # trainings behind a printed mean and deviation, by the released code
ALL_RUNS = 25  # by section 3.3.3: 5 folds, 5 times
CVC = "cvc_clinicdb"
PAIRS_3_2 = (
    ("unet", "sharp_unet"),
    ("ternausnet16", "sharp_ternausnet16"),
    ("unet_resnet50", "sharp_unet_resnet50"),
)
#: Share of background in a slice of COVID-19 CT from which the constant prediction is computed.
BACKGROUND = 0.92


def pair(dataset: str) -> tuple[Scores, Scores]:
    """U-Net and Sharp U-Net of table 3.1."""
    return TABLE_3_1[dataset, "unet"], TABLE_3_1[dataset, "sharp_unet"]


def gains() -> Findings:
    """The relative gains that section 3.3.5 prints, against those of table 3.1.

    A gain holds if scores that round to the printed ones give it, rounded or cut.
    """
    for dataset, printed in PRINTED_GAINS.items():
        plain, sharp = (scores.jaccard.mean for scores in pair(dataset))
        half = 0.005
        low = 100 * ((sharp - half) / (plain + half) - 1)
        high = 100 * ((sharp + half) / (plain - half) - 1)
        digits = len(str(printed).split(".")[1])
        step = 10.0**-digits
        exact = matches(printed, 100 * (sharp / plain - 1), digits)
        yield Finding(
            f"section 3.3.5, relative gain on {DATASET_TITLES[dataset]}",
            f"{printed}%",
            f"({sharp:.2f} - {plain:.2f}) / {plain:.2f} = {sharp / plain - 1:.2%}"
            + ("" if exact else f"; the table's own rounding allows {low:.3f}% to {high:.3f}%"),
            verdict(low < printed + step and high >= printed - step / 2),
        )


def table_3_1_tests() -> Findings:
    """Whether the differences of table 3.1 can be told from chance."""
    for dataset, title in DATASET_TITLES.items():
        plain, sharp = pair(dataset)
        p, q = welch(plain.jaccard, sharp.jaccard), welch(plain.jaccard, sharp.jaccard, ALL_RUNS)
        yield Finding(
            f"table 3.1, {title}, Jaccard",
            f"{plain.jaccard} and {sharp.jaccard}",
            f"Welch's test on {RUNS} runs each: p = {p:.2f}; on {ALL_RUNS}, as section 3.3.3 has "
            f"it: p = {q:.2g}, and these would share their images",
            HOLDS if p < 0.05 else UNSHOWN,
        )
    tests = {title: pair(name) for name, title in DATASET_TITLES.items()}
    values = [welch(plain.jaccard, sharp.jaccard) for plain, sharp in tests.values()]
    dice = {title: welch(plain.dice, sharp.dice) for title, (plain, sharp) in tests.items()}
    least = min(dice, key=lambda title: dice[title])
    better = sum(
        sharp.jaccard.mean > plain.jaccard.mean and sharp.dice.mean > plain.dice.mean
        for plain, sharp in map(pair, DATASET_TITLES)
    )
    yield Finding(
        "section 3.3.5 and table 3.1",
        "Sharp U-Net consistently outperforms U-Net; significant performance improvements",
        f"its means are higher on {better} of {len(DATASET_TITLES)} datasets; none differs by "
        f"Welch's test on {RUNS} runs in Jaccard, p from {min(values):.2f} to {max(values):.2f}; "
        f"in Dice p is {dice[least]:.3f} on {least}, next {sorted(dice.values())[1]:.2f}, and "
        f"{holm(list(dice.values()))} of {len(dice)} differ after Holm's correction",
        PARTLY,
    )
    larger = [
        DATASET_TITLES[dataset]
        for dataset in DATASET_TITLES
        if pair(dataset)[1].jaccard.deviation > pair(dataset)[0].jaccard.deviation
    ]
    yield Finding(
        "section 3.3.5, standard deviation",
        "sharp blocks are more reliable than plain skip connections",
        f"in table 3.1 the deviation of Jaccard is larger with sharp blocks in {len(larger)} of "
        f"{len(DATASET_TITLES)}: {', '.join(larger)}",
        FAILS,
    )


def table_3_1_consistency() -> Findings:
    """Whether the printed scores can be what they are said to be."""
    cells = [*TABLE_3_1.values(), *TABLE_3_2.values()]
    possible = [
        s.jaccard.mean <= s.dice.mean <= 200 * s.jaccard.mean / (100 + s.jaccard.mean) + 0.01
        for s in cells
    ]
    j, d = TABLE_3_1[CVC, "unet"].jaccard.mean, TABLE_3_1[CVC, "unet"].dice.mean
    yield Finding(
        "tables 3.1 and 3.2, Jaccard beside Dice",
        f"{len(cells)} pairs of means",
        f"means over images lie between Jaccard and 2 J / (1 + J): {sum(possible)} of "
        f"{len(cells)} do, such as {j} <= {d} <= {200 * j / (100 + j):.2f}",
        verdict(all(possible)),
    )
    means = {dataset: pair(dataset) for dataset in DATASET_TITLES}
    lowest = all(
        min(means, key=lambda name: getattr(means[name][which], metric).mean) == CVC
        for which in (0, 1)
        for metric in ("jaccard", "dice")
    )
    yield Finding(
        "section 3.3.5, hardest dataset",
        "U-Net and Sharp U-Net have their lowest Jaccard and Dice on CVC-ClinicDB",
        f"Jaccard {means[CVC][0].jaccard.mean} and {means[CVC][1].jaccard.mean}, next "
        f"{means['isic2018'][0].jaccard.mean} and {means['isic2018'][1].jaccard.mean} (ISIC-2018)",
        verdict(lowest),
    )
    share, plain = BACKGROUND, TABLE_3_1["covid_ct", "unet"]
    yield Finding(
        "table 3.1, COVID-19 CT, U-Net",
        f"Jaccard {plain.jaccard.mean}, Dice {plain.dice.mean}, as means over classes",
        "released code: over all one-hot channels together, background included; background alone "
        f"on a slice with {share:.0%} of it has Jaccard {share} / (2 - {share}) = "
        f"{share / (2 - share):.3f} and Dice {share}",
        FAILS,
    )
    yield Finding(
        "section 3.3.4, mean IoU of COVID-19 CT",
        "the IoUs of all classes, averaged",
        f"background alone, one lesion class of three absent: ({share} + 0 + 0 + 1) / 4 = "
        f"{(share + 1) / 4:.2f}; no such mean lies behind table 3.1",
        FAILS,
    )


def figure_3_5() -> Findings:
    """The wide models."""
    unet, wide = FIGURE_3_5[CVC, "unet"].jaccard, FIGURE_3_5[CVC, "wide_unet"].jaccard
    sharp = FIGURE_3_5[CVC, "sharp_unet"].jaccard
    wide_sharp = FIGURE_3_5[CVC, "wide_sharp_unet"].jaccard
    printed = PRINTED["wide_gain"]
    gain = wide_sharp.mean / wide.mean - 1
    yield Finding(
        "figure 3.5, gain of Wide Sharp U-Net over Wide U-Net",
        f"{printed.value}%",
        f"({wide_sharp.mean} - {wide.mean}) / {wide.mean} = {gain:.3%} (Welch: p = "
        f"{welch(wide, wide_sharp):.2f})",
        verdict(matches(printed.value, 100 * gain)),
    )
    yield Finding(
        "figure 3.5, standard deviations of the wide models",
        f"{PRINTED['wide_sharp_unet_sd'].value} and {PRINTED['wide_unet_sd'].value}, much lower",
        f"those of the released code's bars: {wide_sharp.deviation} and {wide.deviation}",
        verdict(
            (wide_sharp.deviation, wide.deviation)
            == (PRINTED["wide_sharp_unet_sd"].value, PRINTED["wide_unet_sd"].value)
        ),
    )
    yield Finding(
        "figure 3.5, Sharp U-Net against Wide U-Net",
        "better, with fewer parameters",
        f"{sharp.mean} - {wide.mean} = {sharp.mean - wide.mean:.2f} in the mean (Welch: p = "
        f"{welch(sharp, wide):.2f})",
        PARTLY,
    )
    yield Finding(
        "sections 3.2.5 and 3.3.5, scaling Sharp U-Net improves performance",
        "Wide Sharp U-Net",
        f"{wide_sharp.mean} - {sharp.mean} = {wide_sharp.mean - sharp.mean:+.2f} Jaccard, beside "
        f"deviations of {sharp.deviation} and {wide_sharp.deviation} (Welch: p = "
        f"{welch(sharp, wide_sharp):.2f})",
        UNSHOWN,
    )
    yield Finding(
        "table 3.1 and figure 3.5, the same runs",
        f"{TABLE_3_1[CVC, 'unet'].jaccard} and {TABLE_3_1[CVC, 'sharp_unet'].jaccard}",
        f"the bars: {unet.mean} ± {unet.deviation} and {sharp.mean} ± {sharp.deviation}; the last "
        "deviation is cut, not rounded",
        HOLDS,
    )


def table_3_2() -> Findings:
    """Encoders."""
    for plain_name, sharp_name in PAIRS_3_2[1:]:
        plain, sharp = TABLE_3_2[CVC, plain_name], TABLE_3_2[CVC, sharp_name]
        lower = sharp.dice.mean < plain.dice.mean
        p = welch(plain.jaccard, sharp.jaccard)
        yield Finding(
            f"table 3.2, {SEGMENTATION_TITLES[plain_name]}",
            "better results are obtained with sharp blocks",
            f"Jaccard {sharp.jaccard.mean} - {plain.jaccard.mean} = "
            f"{sharp.jaccard.mean - plain.jaccard.mean:.2f} (Welch: p = {p:.2f}); Dice "
            f"{sharp.dice.mean:.2f} - {plain.dice.mean:.2f} = "
            f"{sharp.dice.mean - plain.dice.mean:.2f}",
            FAILS if lower else UNSHOWN,
        )
    source, printed = TABLE_3_2_SOURCE, TABLE_3_2[CVC, "sharp_unet_resnet50"].jaccard.mean
    yield Finding(
        "table 3.2, Sharp U-Net + ResNet-50",
        f"Jaccard {printed}",
        f"the released code's figure has {source['sharp_unet_resnet50']}, below plain: "
        f"{source['sharp_unet_resnet50']} - {source['unet_resnet50']} = "
        f"{source['sharp_unet_resnet50'] - source['unet_resnet50']:.2f}",
        FAILS,
    )
    names = [title for title, _ in PAIRS_3_2]
    jaccard, dice = (
        [
            getattr(TABLE_3_2[CVC, sharp], metric).mean
            - getattr(TABLE_3_2[CVC, plain], metric).mean
            for plain, sharp in PAIRS_3_2
        ]
        for metric in ("jaccard", "dice")
    )
    order = ", ".join(SEGMENTATION_TITLES[name] for name in names)
    yield Finding(
        "section 3.3.5, gains and the complexity of the encoder",
        "the gains of sharp blocks decrease",
        f"{order}: Jaccard {', '.join(f'{gain:+.2f}' for gain in jaccard)}; Dice "
        f"{', '.join(f'{gain:+.2f}' for gain in dice)}, which does not fall evenly",
        PARTLY,
    )
    rising = all(
        getattr(TABLE_3_2[CVC, low[which]], metric).mean
        < getattr(TABLE_3_2[CVC, high[which]], metric).mean
        for low, high in itertools.pairwise(PAIRS_3_2)
        for which in (0, 1)
        for metric in ("jaccard", "dice")
    )
    yield Finding(
        "section 3.3.5, scores and the depth of the encoder",
        "they increase, plain and sharp",
        " < ".join(str(TABLE_3_2[CVC, plain].jaccard.mean) for plain, _ in PAIRS_3_2)
        + " and "
        + " < ".join(str(TABLE_3_2[CVC, sharp].jaccard.mean) for _, sharp in PAIRS_3_2),
        verdict(rising),
    )
    sharp_sd = TABLE_3_2[CVC, "sharp_unet"].jaccard.deviation
    vgg_sd = TABLE_3_2[CVC, "sharp_ternausnet16"].jaccard.deviation
    yield Finding(
        "section 3.3.5, Sharp U-Net against Sharp TernausNet-16",
        "the deviation of Sharp U-Net is much lower",
        f"table 3.2: {sharp_sd} > {vgg_sd}; "
        f"{TABLE_3_2[CVC, 'ternausnet16'].jaccard.deviation} is that of the plain one",
        verdict(sharp_sd < vgg_sd),
    )
    yield Finding(
        "section 3.3.5, deviations of TernausNet-16",
        f"{PRINTED['sharp_ternausnet16_sd'].value:.4f} and {PRINTED['ternausnet16_sd'].value}",
        f"table 3.2: {vgg_sd} and {TABLE_3_2[CVC, 'ternausnet16'].jaccard.deviation}",
        HOLDS,
    )


def three_times_the_parameters() -> Findings:
    """Sharp U-Net against larger baselines."""
    sharp = TABLE_3_2[CVC, "sharp_unet"]
    own = unet_parameters(3)
    larger = {
        "ternausnet16": ternausnet16_parameters(),
        "unet_resnet50": unet_resnet50_parameters()[1],
    }
    parts, wins = [], 0
    for name, count in larger.items():
        scores = TABLE_3_2[CVC, name]
        wins += sharp.jaccard.mean > scores.jaccard.mean
        parts.append(
            f"{SEGMENTATION_TITLES[name]}, {count:,} / {own:,} = {count / own:.2f} times: "
            f"{scores.jaccard.mean} / {scores.dice.mean}"
        )
    place = PRINTED["times_the_parameters"].place
    yield Finding(
        place,
        "outperforms baselines that have three times the learnable parameters",
        f"Sharp U-Net has {sharp.jaccard.mean} / {sharp.dice.mean}, below all of them: "
        + "; ".join(parts),
        verdict(wins == len(larger)),
    )


def parameter_counts() -> Findings:
    """The sizes that section 3.3.2 states."""
    counts = {
        "unet": unet_parameters(3),
        "wide_unet": unet_parameters(3, WIDE_FILTERS, FILTERS[-2::-1]),
        "ternausnet16": ternausnet16_parameters(),
        "unet_resnet50": unet_resnet50_parameters()[1],
    }
    five = ternausnet16_parameters((*TERNAUSNET16_SKIPS, 64))
    notes = {
        "unet": f"; {unet_parameters(1):,} for one channel",
        "wide_unet": f", with transposed convolutions of {', '.join(map(str, FILTERS[-2::-1]))} "
        f"filters; with wide ones too, as the text has it, {unet_parameters(3, WIDE_FILTERS):,}",
        "ternausnet16": f" with four skip connections, none at full resolution ({five:,} with "
        "five); cut, not rounded",
        "unet_resnet50": f" trainable of {unet_resnet50_parameters()[0]:,}",
    }
    for name, count in counts.items():
        printed = PRINTED[f"{name}_million"]
        yield Finding(
            f"{printed.place}, {SEGMENTATION_TITLES[name]}",
            f"{printed.value} million parameters",
            f"{count:,}{notes[name]}",
            verdict(matches(printed.value, count / 1e6, 1)),
        )
    yield Finding(
        "section 3.3.2, Wide U-Net, expanding path",
        "the same numbers of filters",
        f"then it has {unet_parameters(3, WIDE_FILTERS):,} parameters, not roughly "
        f"{PRINTED['wide_unet_million'].value} million",
        FAILS,
    )
    again, first = PRINTED["unet_resnet50_million_again"], PRINTED["unet_resnet50_million"]
    yield Finding(
        f"{again.place}, the ResNet-50 encoder",
        f"{again.value} million learnable parameters",
        f"{first.place} has {first.value} for the whole network; it has "
        f"{unet_resnet50_parameters()[0]:,}, {counts['unet_resnet50']:,} of them trainable",
        FAILS,
    )
    ratio = counts["ternausnet16"] / counts["unet"]
    yield Finding(
        "section 3.3.5, Sharp U-Net against Sharp TernausNet-16",
        "three times fewer parameters, 7.8 and 23.7 million",
        f"{counts['ternausnet16']:,} / {counts['unet']:,} = {ratio:.2f}",
        verdict(round(ratio) == 3),
    )


def sharp_blocks() -> Findings:
    """What a sharp block costs and does."""
    filters = FILTERS[:-1]
    listed = " + ".join(map(str, filters))
    yield Finding(
        "sections 3.2.1 and 3.2.4, parameters of the sharp blocks",
        "no additional learnable parameters",
        f"0 trainable; frozen: 9 * ({listed}) = {sharp_weights(filters):,}; TernausNet-16 "
        f"{sharp_weights(TERNAUSNET16_SKIPS):,}, ResNet-50 {sharp_weights(RESNET50_SKIPS):,}",
        HOLDS,
    )
    height, width = UNET_IMAGE_SIZE
    added = sharp_multiply_adds(height, width)
    whole = sum(each.multiply_adds(height, width) for each in unet_convolutions(3))
    yield Finding(
        "figure 3.1, computational cost",
        "no additional computational cost",
        f"{added / 1e6:.1f} M multiply-adds at {height} × {width}: {added:,} / {whole:,} = "
        f"{added / whole:.2%} of U-Net",
        FAILS,
    )
    centre = KERNEL[1][1]
    total = sum(map(sum, KERNEL))
    yield Finding(
        "eq. 3.1, sum of the kernel",
        "always zero",
        f"{centre} - 8 = {centre - 8}",
        verdict(total == 0),
    )
    yield Finding(
        "eq. 3.2 beside section 3.2.4",
        "S = I + K * I",
        f"that is a kernel with centre {centre} + 1 = {centre + 1}; section 3.2.4 and the released "
        "code use K alone",
        FAILS,
    )
    yield Finding(
        "section 3.2.3, effect of K",
        "increases the brightness of the center pixel relative to its neighbours",
        f"on a constant area K gives {centre}c - 8c = 0: what is flat is lost; only with eq. 3.2 "
        "does it stay",
        PARTLY,
    )
    energy = sum(weight**2 for row in KERNEL for weight in row)
    yield Finding(
        "sections 3.2.1 and 3.2.2, noise",
        "sharpening reduces low-frequency noise (3.2.1), high-frequency noise (3.2.2)",
        f"the two contradict each other; K damps low frequencies and amplifies high ones: it "
        f"multiplies the deviation of white noise by ({centre}**2 + 8)**0.5 = "
        f"{math.sqrt(energy):.2f}",
        FAILS,
    )
    yield Finding(
        "section 3.2.2, Gaussian",
        "the channels are Gaussian smoothed before the Laplacian",
        "neither eq. 3.1 nor the released code smooths; that would be the LoG of section 4.3.2",
        FAILS,
    )
    blocks, ups = int(PRINTED["decoder_blocks"].value), len(FILTERS) - 1
    yield Finding(
        "section 3.2.2, decoder",
        f"{blocks} blocks, each with an up-convolution; 256, 128, 64 and 32 filters",
        f"four numbers of filters for {blocks} blocks; {blocks} encoder blocks have "
        f"{blocks} - 1 = {ups} poolings to undo",
        FAILS,
    )


def experiments() -> Findings:
    """How the results of chapter 3 were made."""
    count = int(PRINTED["datasets"].value)
    yield Finding(
        PRINTED["datasets"].place,
        "four datasets",
        f"{len(DATASET_TITLES)} are listed there: {', '.join(DATASET_TITLES.values())}",
        verdict(count == len(DATASET_TITLES)),
    )
    folds, repeats = int(PRINTED["folds"].value), int(PRINTED["repeats"].value)
    yield Finding(
        "section 3.3.3, cross-validation",
        f"{folds} folds, {repeats} times with different splits",
        f"{folds} * {repeats} = {folds * repeats} trainings; the released code has one 80/20 split "
        f"(seed 42; 0 for several classes), trained {RUNS} times",
        FAILS,
    )
    yield Finding(
        "section 3.3.5, the best results of each run",
        "recorded and averaged",
        "released code: the best epoch is picked on the very 20% that is reported, which flatters",
        PARTLY,
    )
    yield Finding(
        "section 3.3.3, ±",
        "standard deviation",
        f"released code: np.std, divided by n; of {RUNS} runs the sample deviation is "
        f"({RUNS} / ({RUNS} - 1))**0.5 = {math.sqrt(RUNS / (RUNS - 1)):.3f} times as large, and "
        "the p-values above are larger still",
        PARTLY,
    )
    yield Finding(
        "section 3.3.2, U-Net + ResNet-50",
        "pretrained on ImageNet",
        "released code: encoder_weights=None in the runs that were committed",
        OPEN,
    )
    yield Finding(
        "section 3.3.1, sizes",
        "resized while maintaining the aspect ratio",
        "released code: a plain stretch; for the frames of CVC-ClinicDB it is the same, "
        f"384 / 288 = {384 / 288:.2f} and 256 / 192 = {256 / 192:.2f}",
        PARTLY,
    )
    yield Finding(
        "section 3.3.1, lung CT",
        "the slices and their masks, 512 × 512",
        f"released code: 256 × 256, and 1,021 of 1,208 slices; 1,208 - 1,021 = {1208 - 1021} empty "
        "ones are left out",
        PARTLY,
    )
    yield Finding(
        "figure 3.3",
        "progress of the best validation performance, from 5-fold cross-validation",
        "released code: the raw curve of each model's best run, cut to the shorter one; no number "
        "is printed",
        OPEN,
    )
    yield Finding(
        "figure 3.9",
        "heat maps of the regions affecting the predicted segmentation",
        "released code: of the last row of pixels only, output[0, -1] of a map (H, W, 1)",
        FAILS,
    )


CHECKS = (
    gains,
    table_3_1_tests,
    table_3_1_consistency,
    figure_3_5,
    table_3_2,
    three_times_the_parameters,
    parameter_counts,
    sharp_blocks,
    experiments,
)
