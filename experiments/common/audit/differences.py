"""Where thesis, released code and good practice differ, and what each protocol does; as data."""

import dataclasses

#: Points whose protocols are not implemented yet as described; the page marks them.
PENDING: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Difference:
    """One point: what the thesis says, what the released code does, and what each protocol does.

    `clean` is empty where it is as `thesis`.
    """

    point: str
    said: str
    code: str
    thesis: str
    released: str
    clean: str = ""


MELANET = (
    Difference(
        "generator",
        "U-Net",
        "4 blocks down, 3 up, tanh; 32 to 256 filters",
        "as the code",
        "as the code",
    ),
    Difference(
        "instance norm",
        "–",
        "over height, width and channels, with one scalar pair: 1,545,425 parameters (generator), "
        "2,764,743 (discriminator)",
        "over height and width, a pair per channel: 1,546,819 and 2,766,529",
        "as the code",
    ),
    Difference(
        "adversarial loss",
        "log loss (eq. 2.2 and 2.3), no identity loss",
        "least squares, identity loss of weight 0.1 λ",
        "log loss",
        "least squares and identity loss",
    ),
    Difference(
        "order of updates",
        "–",
        "discriminators first, real and fake images in separate steps",
        "both in one step",
        "discriminators first",
    ),
    Difference(
        "CycleGAN, ISIC-2016",
        "Adam 2e-4, batch 1, 500 epochs",
        "β₁ = 0.5, batch 1, 100 epochs, horizontal flips",
        "500 epochs, no flips; β₁ = 0.5, as the code",
        "100 epochs, flips",
    ),
    Difference(
        "CycleGAN, X-rays",
        "the same way",
        "batch 16, 100 epochs, 3 channels, output 0.5x + 0.5",
        "as on ISIC-2016",
        "batch 16, 100 epochs, the rest as on ISIC-2016; one channel, translations stretched by "
        "their own minimum and maximum",
    ),
    Difference(
        "benign images for the CycleGAN",
        "undersampled: 173 + 173",
        "173 drawn anew from all 727 in every epoch",
        "173, drawn once",
        "drawn anew in every epoch",
    ),
    Difference(
        "resizing, chapter 2",
        "padded to a square",
        "stretched",
        "padded",
        "stretched",
    ),
    Difference(
        "scale of pixels",
        "each image by its own minimum and maximum (eq. 2.7)",
        "real images / 255, synthetic ones by their own minimum and maximum",
        "eq. 2.7",
        "as the code",
    ),
    Difference(
        "inputs of the classifiers",
        "pixels in [0, 1], no specific pre-processing",
        "the same, ImageNet preprocessing commented out",
        "[0, 1] as it is",
        "[0, 1] as it is",
        "ImageNet preprocessing",
    ),
    Difference(
        "focal loss",
        "eq. 2.6, α = 0.25 for positives, γ = 2",
        "both softmax columns summed, so α has no effect",
        "eq. 2.6",
        "as the code",
    ),
    Difference(
        "class weights",
        "–",
        "passed as an array, which Keras 2.3.1 ignores",
        "none",
        "none",
    ),
    Difference(
        "early stopping, ISIC-2016",
        "until the loss stops improving; best weights kept; no validation set",
        "on the test set, patience 8 (rate × 0.1 after 5), 300 epochs at most",
        "on the training loss",
        "on the test set: the score flatters",
        "on a tenth of the training images, held out",
    ),
    Difference(
        "early stopping, X-rays",
        "until the loss stagnates",
        "on the test set, patience 15 (rate × 0.1 after 5), 200 epochs at most",
        "on the training loss",
        "on the test set: the score flatters",
        "on a tenth of the training patients, held out",
    ),
    Difference(
        "split of the X-rays",
        "80/20 by patient",
        "by file order: the first 180, the first 16,537, the first 7,644 box rows (4,758 images)",
        "by patient where known, copies together, both tasks as one",
        "by file order: the first 80% of each class",
    ),
    Difference(
        "offline augmentation",
        "a list of transformations; 5x and 10x",
        "a random chain for each copy",
        "one of the list for each copy",
        "a random chain for each copy",
    ),
    Difference(
        "sensitivity of table 2.1",
        "TP / (TP + FN)",
        "TN / (TN + FN)",
        "TP / (TP + FN), the NPV beside it by its name",
        "the same",
    ),
    Difference(
        "DenseNet-102",
        "named so",
        "–",
        "DenseNet-121, as no such network exists",
        "the same",
    ),
)

SHARP_UNET = (
    Difference(
        "splits",
        "5 folds, 5 times",
        "one 80/20 split (seed 42; 0 for several classes), trained 5 times",
        "5 folds, 5 times",
        "as the code",
        "folds of whole patients, videos, fields of view or blocks of slices",
    ),
    Difference(
        "choice of weights",
        "validation loss, of images that are not named",
        "best epoch of 100,000 at most (patience 20, rate × 0.1 after 10) by the Jaccard of the "
        "reported 20%",
        "validation loss of a tenth of the training images",
        "as the code: the score flatters",
        "validation loss of a tenth of the training images, by group",
    ),
    Difference(
        "sharp block",
        "K alone (section 3.2.4), I + K (eq. 3.2)",
        "K alone, frozen",
        "K alone; `laplacian_identity` is eq. 3.2 (ISBI-2012, 128 × 128: +3.49 beside +4.00 for K)",
        "K alone",
    ),
    Difference(
        "Wide U-Net",
        "the same filters in the expanding path",
        "transposed convolutions of 256, 128, 64, 32: 9,131,106 parameters",
        "as the code, whose size is the thesis's",
        "as the code",
    ),
    Difference(
        "TernausNet-16",
        "23.7 million",
        "four skip connections, none at full resolution: 23,752,273, and 12,672 frozen in the "
        "sharp one",
        "as the code",
        "as the code",
    ),
    Difference(
        "ResNet-50 encoder",
        "pretrained on ImageNet",
        "`encoder_weights=None` in the committed runs",
        "ImageNet; `--weights none` otherwise",
        "the same",
    ),
    Difference("batch size", "–", "16", "16", "16"),
    Difference(
        "number format",
        "–",
        "float32",
        "the fastest that the hardware computes natively (ISBI-2012, 128 × 128, 5 folds: bfloat16 "
        "less float32 -0.71 points, -3.79 to 2.37, for U-Net and -0.32, -0.68 to 0.04, for Sharp "
        "U-Net, in 0.43 of U-Net's time)",
        "the same",
    ),
    Difference(
        "multi-class score",
        "mean over classes",
        "over all one-hot channels together, background included",
        "both, each by its name",
        "both, each by its name",
    ),
    Difference(
        "multi-class training",
        "as binary",
        "seed 0, watches the validation loss, patience 10",
        "as binary",
        "validation loss, patience 10; the split's seed is 42 as for the others",
    ),
    Difference(
        "constant prediction",
        "–",
        "–",
        "its score stands beside every table; a training that never left it is marked",
        "the same",
    ),
    Difference(
        "resizing, chapter 3",
        "aspect ratio kept",
        "stretched",
        "padded",
        "stretched",
    ),
    Difference(
        "lung CT",
        "512 × 512",
        "256 × 256; 1,021 of 1,208 slices, the empty ones left out",
        "256 × 256, empty slices left out, counted and said",
        "the same",
    ),
    Difference(
        "±",
        "standard deviation",
        "divided by n (np.std)",
        "divided by n - 1",
        "divided by n",
    ),
    Difference(
        "figure 3.3",
        "each epoch is recorded",
        "the raw curve of the best run, cut to the shorter",
        "raw curves, a band over the folds; best so far as an option",
        "the same",
    ),
    Difference(
        "figure 3.9",
        "regions affecting the segmentation",
        "of the last row of pixels only",
        "of all pixels of the predicted class",
        "the same",
    ),
    Difference(
        "tests",
        "none",
        "none",
        "corrected resampled t-test and bootstrap over images",
        "bootstrap only: one split says nothing of others",
    ),
)

#: What the released code does and no protocol offers, with the reason.
NOT_WORTH_HAVING = {
    "three equal channels of X-rays in the CycleGAN": "they hold what one channel holds, at three "
    "times the cost of the first and last layers.",
    "CycleGAN checkpoints 510, 571, 597 and 784": "most likely chosen by eye; no rule gives them, "
    "and choosing by the test classifier's score would flatter. The last epoch is used.",
    "DSB-2018 pixels from 0 to 255": "only the scale of one dataset's input; models here take "
    "[0, 1], as for the other five.",
    "figure 3.9 of the last row of pixels": "it explains the border of the image, most likely an "
    "oversight in an index.",
    "the best run, cut to the shorter, in figure 3.3": "it hides the spread over runs, which is "
    "what the figure is discussed for.",
    "Jaccard over a whole batch while training": "it depends on the batch size; scores are per "
    "image, then averaged, as in the released evaluation.",
    "class weights": "they were passed and ignored; to apply them would be neither thesis nor "
    "released code.",
    "99,000 augmented samples": "a misprint of 9,900.",
    "Python 3.6, Keras 2.3.1 and keras_contrib": "they no longer install on a supported Python; "
    "their behaviour is described above and rebuilt on Keras 3.",
}
