"""Which command or function covers which part of the thesis, as data; and what is not done."""

import dataclasses
from pathlib import Path

EXPERIMENTS = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Entry:
    """A table, figure, equation or algorithm of the thesis.

    Attributes:
        name: As the thesis numbers it.
        content: What it is, in a few words.
        modules: Commands that draw or compute it, such as `experiments.table_2_1`. Those
            without a file in the checkout are left out; an entry without any of them and without
            `names` is not done.
        names: Functions and classes that implement it, such as `melanet.focal_loss`.
        note: What else to say, such as an option.
    """

    name: str
    content: str
    modules: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    note: str = ""

    @property
    def where(self) -> str:
        """The command or the names that give it, as Markdown; or "not done"."""
        found = [f"`python -m {module}`" for module in self.modules if exists(module)]
        found += [f"`{name}`" for name in self.names]
        if not found:
            return "not done"
        return ", ".join(found) + (f" ({self.note})" if self.note else "")


def exists(module: str) -> bool:
    """Whether `experiments.NAME` is a file of this checkout.

    Example:
        >>> exists("experiments.table_2_1"), exists("experiments.table_9_9")
        (True, False)
    """
    return (EXPERIMENTS / (module.removeprefix("experiments.") + ".py")).is_file()


def _entries(kind: str, rows: dict[str, tuple]) -> tuple[Entry, ...]:
    return tuple(Entry(f"{kind} {name}", *rest) for name, rest in rows.items())


TABLES_2, X_RAYS = ("experiments.table_2_1",), ("experiments.table_2_2", "experiments.table_2_3")
TABLES_3 = ("experiments.table_3_1",)

TABLES = _entries(
    "Table",
    {
        "2.1": ("melanoma: VGG-GAP, augmented, MelaNet", TABLES_2),
        "2.2": ("Normal vs. COVID-19", X_RAYS[:1]),
        "2.3": ("Pneumonia vs. COVID-19", X_RAYS[1:]),
        "3.1": ("U-Net and Sharp U-Net on six datasets", TABLES_3),
        "3.2": ("other encoders, plain and sharp", ("experiments.table_3_2",)),
    },
)

FIGURES = _entries(
    "Figure",
    {
        "2.1": ("CycleGAN (diagram)", ("experiments.figure_2_1",)),
        "2.2": ("VGG-GAP (diagram)", ("experiments.figure_2_2",)),
        "2.3": ("images of ISIC-2016", ("experiments.figure_2_3",)),
        "2.4": ("images per class, ISIC-2016", TABLES_2),
        "2.5": ("images per class, X-rays", X_RAYS),
        "2.6": ("AUC, FN and sensitivity as bars", TABLES_2),
        "2.7": ("ROC curves", TABLES_2),
        "2.8": (
            "Grad-CAM of missed malignant cases",
            ("experiments.figure_2_8", "experiments.figure_2_8_2_9"),
        ),
        "2.9": (
            "Grad-CAM of found malignant cases",
            ("experiments.figure_2_9", "experiments.figure_2_8_2_9"),
        ),
        "2.10": ("UMAP of ISIC-2016", ("experiments.figure_2_10",)),
        "2.11": ("confidence, real images only", X_RAYS),
        "2.12": ("confidence, synthetic images only", X_RAYS),
        "2.13": ("confidence, real and own synthetic images", X_RAYS),
        "2.14": ("confidence, real and both synthetic sets", X_RAYS),
        "2.15": ("UMAP of the X-rays", ("experiments.figure_2_15",)),
        "2.16": ("benign images and their translations", TABLES_2),
        "3.1": ("Sharp U-Net (diagram)", ("experiments.figure_3_1",)),
        "3.2": ("the sharp block (diagram)", ("experiments.figure_3_2",)),
        "3.3": ("validation curves", TABLES_3),
        "3.4": ("class maps of COVID-19 CT", TABLES_3, (), "`--datasets covid_ct`"),
        "3.5": ("wide models as bars", ("experiments.table_3_2",)),
        "3.6": ("irregular images", TABLES_3, (), "cases by rule"),
        "3.7": ("over-segmented cases", TABLES_3, (), "cases by rule"),
        "3.8": ("under-segmented cases", TABLES_3, (), "cases by rule"),
        "3.9": ("Grad-CAM of the decoder", ("experiments.figure_3_9",)),
    },
)

EQUATIONS = _entries(
    "Equation",
    {
        "2.1": ("objective of CycleGAN", (), ("melanet.CycleGAN",)),
        "2.2": (
            "adversarial loss, there",
            (),
            ("melanet.losses.generator_loss", "melanet.losses.discriminator_loss"),
        ),
        "2.3": (
            "adversarial loss, back",
            (),
            ("melanet.losses.generator_loss", "melanet.losses.discriminator_loss"),
        ),
        "2.4": ("cycle consistency", (), ("melanet.losses.cycle_loss",)),
        "2.5": ("the minimax problem", (), ("melanet.CycleGAN",), "`fit`"),
        "2.6": ("focal loss", (), ("melanet.focal_loss",)),
        "2.7": ("pixels to [0, 1], per image", (), ("melanet.data.load_dataset",)),
        "2.8": ("skew", (), ("melanet.skew",)),
        "2.9": ("sensitivity", (), ("melanet.sensitivity",)),
        "2.10": ("sensitivity, again", (), ("melanet.sensitivity",)),
        "3.1": ("the kernel K", (), ("sharpunet.SharpBlock",)),
        "3.2": (
            "S = I + K * I",
            (),
            ("sharpunet.SharpBlock",),
            '`kernel="laplacian_identity"`',
        ),
        "3.3": ("categorical cross-entropy", (), ("sharpunet.losses.LOSSES",)),
        "3.4": ("Jaccard index", (), ("sharpunet.jaccard",)),
        "3.5": ("Dice coefficient", (), ("sharpunet.dice",)),
    },
)

OTHERS = (
    Entry("Algorithm 1", "MelaNet", TABLES_2, ("melanet.oversample",)),
    Entry("Section 2.3.1", "offline augmentation, 5x and 10x", (), ("melanet.augment_offline",)),
    Entry(
        "Section 2.3.6",
        "predictions on all benign and some synthesised images",
        ("experiments.figure_predictions",),
    ),
    Entry(
        "Sections 2.1 and 4.1.1",
        "synthetic X-rays as a release, and whether they are anonymous",
        ("experiments.synthetic_dataset",),
        ("melanet.reidentification",),
    ),
    Entry("Section 3.2.6", "focal Tversky and boundary losses", (), ("sharpunet.LOSSES",)),
    Entry("Section 4.3.2", "other kernels", ("experiments.kernel_ablation",)),
    Entry(
        "Section 4.3.1",
        "MelaNet for several classes",
        ("experiments.table_multiclass",),
        ("melanet.StarGAN",),
    ),
    Entry(
        "Section 4.3.3", "Sharp U-Net in 3D", ("experiments.table_3d",), ("sharpunet.sharp_unet3d",)
    ),
)

ENTRIES = (*TABLES, *FIGURES, *EQUATIONS, *OTHERS)
