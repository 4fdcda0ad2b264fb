"""Your own volumes: `images/NAME.nii.gz` with `masks/NAME.nii.gz`, or `.nii`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from melanet.console import progress_bar
from melanet.data import DatasetBuilder, DatasetInfo, InputError, Sample
from melanet.data.builders import list_images
from melanet.data.dataset import MAX_CLASSES
from melanet.data.groups import GROUPS_FILE, find_groups, stem
from melanet.data.readers.nifti import nifti_grid, read_nifti
from sharpunet.data.ct import check_same_grid, whole_labels
from sharpunet.data.folder import OwnOptions, match_masks, safe_ids
from sharpunet.data.grids import (
    AXES,
    PERCENTILES,
    SUFFIXES,
    cut_tails,
    grid_spacing,
    resample,
    resampled_size,
    same_length,
    to_grey,
)
from sharpunet.data.pairs import check_pairs
from sharpunet.data.volumes import volume_samples

INSTRUCTIONS = (
    "Put your volumes in its folder images and their masks (whole numbers, 0 is the background), "
    "on the same grid and under the same names or with _mask, _seg, _label and the like before or "
    "after them, in its folder masks"
)
#: What number of the first channel some collections add to a volume's name.
CHANNEL = "_0000"


def holds_volumes(folder: Path) -> bool:
    """Whether a folder's `images` are NIfTI volumes.

    Example:
        >>> from pathlib import Path
        >>> from sharpunet.data.nifti_folder import holds_volumes
        >>> holds_volumes(Path("nowhere"))
        False
    """
    images = folder / "images"
    return images.is_dir() and any(path.name.endswith(SUFFIXES) for path in images.iterdir())


def make_builder(name: str, options: OwnOptions) -> DatasetBuilder:
    """The builder of a folder of your own volumes, which is called `name` here.

    Example:
        >>> from sharpunet.data.folder import OwnOptions
        >>> from sharpunet.data.nifti_folder import make_builder
        >>> make_builder("spleens", OwnOptions()).info.title
        'spleens'
    """
    if options.colours:
        raise InputError("--colours: is for masks in colour; those of volumes hold whole numbers")
    return dataclasses.replace(
        BUILDER,
        info=dataclasses.replace(BUILDER.info, name=name, title=name),
        finish=partial(_finish, options),
        options=str(options),
    )


def _pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    images = {stem(path).removesuffix(CHANNEL): path for path in _files(folder / "images")}
    found = {stem(path): path for path in _files(folder / "masks")}
    if not images:
        raise InputError(f"{folder / 'images'}: no volume was found. {INSTRUCTIONS}")
    masks = match_masks(found, images)
    return {name: (images[name], masks[name]) for name in check_pairs(images, masks)}


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. {INSTRUCTIONS}")
    return [path for path in list_images(folder, {".nii", ".gz"}) if path.name.endswith(SUFFIXES)]


def _read(folder: Path) -> list[Sample]:
    """One sample per slice of the volumes, all resampled to their median spacing."""
    pairs = _pairs(folder)
    grids = {name: _grid(*paths) for name, paths in pairs.items()}
    spacing = _median([each for _, each in grids.values()])
    ids = safe_ids(pairs)
    # One reading gives all slices of a volume.
    read = lru_cache(maxsize=1)(_read_volume)
    samples = []
    for name, (image, mask) in pairs.items():
        shape, own = grids[name]
        size = resampled_size(shape, own, spacing)
        id = ids.get(name, name)
        slices = volume_samples(
            id, size[0], partial(read, image, mask, size),
            image_name=str(image), mask_name=str(mask),
        )  # fmt: skip
        original = image.name if id != name else ""
        samples += [dataclasses.replace(each, original_name=original) for each in slices]
    return samples


def _grid(image: Path, mask: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Shape and spacing of a volume: slices, rows, columns."""
    grid, mask_grid = nifti_grid(image, AXES), nifti_grid(mask, AXES)
    check_same_grid(mask, mask_grid, image, grid)
    return grid.shape, grid_spacing(grid, image)


def _median(spacings: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(float(np.median(sides)) for sides in zip(*spacings, strict=True))


def _read_volume(image: Path, mask: Path, size: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A volume as 8 bits and its labels, resampled: linearly, and to the nearest label."""
    labels = whole_labels(read_nifti(mask, AXES), str(mask))
    return to_grey(resample(cut_tails(read_nifti(image, AXES)), size)), resample(labels, size, 0)


def _notes(folder: Path) -> str:
    spacings = [_grid(*paths)[1] for paths in _pairs(folder).values()]
    spacing = _median(spacings)
    sides = " × ".join(f"{side:g}" for side in spacing)
    resampled = sum(
        not all(same_length(own, wanted) for own, wanted in zip(each, spacing, strict=True))
        for each in spacings
    )
    low, high = PERCENTILES
    return (
        f"Voxels of {sides} mm (slices, rows, columns), the median of all volumes; "
        f"{resampled} of {len(spacings)} were resampled. Each volume's values from its {low}th to "
        f"its {high}th percentile became 0 to 255."
    )


def _finish(
    options: OwnOptions, folder: Path, info: DatasetInfo, samples: Sequence[Sample]
) -> tuple[DatasetInfo, list[Sample]]:
    """Finds spacing, size and classes of the volumes, and their groups."""
    pairs = _pairs(folder)
    grids = {name: _grid(*paths) for name, paths in pairs.items()}
    spacing = _median([each for _, each in grids.values()])
    sizes = [resampled_size(*grid, spacing) for grid in grids.values()]
    values = _labels([mask for _, mask in pairs.values()])
    if options.classes and len(options.classes) != len(values):
        raise InputError(
            f"--classes: {len(options.classes)} names, but the masks hold {len(values)} values "
            f"({', '.join(map(str, values))})"
        )
    groups = _groups(folder, pairs, options.group_by)
    found = "" if values == list(range(len(values))) else (
        f"Values {', '.join(map(str, values))} of the masks became 0 to {len(values) - 1}."
    )  # fmt: skip
    _, height, width = (int(np.median(sides)) for sides in zip(*sizes, strict=True))
    info = dataclasses.replace(
        info,
        image_size=(height, width),
        classes=1 if len(values) == 2 else len(values),
        class_names=options.classes,
        spacing=spacing,
        notes=" ".join(filter(None, [info.notes, found])),
    )

    def indexed(mask) -> np.ndarray:
        return np.searchsorted(values, mask())

    return info, [
        dataclasses.replace(
            sample,
            group=groups.get(sample.group, sample.group),
            mask=partial(indexed, sample.mask),
        )
        for sample in samples
    ]


def _labels(masks: Sequence[Path]) -> list[int]:
    """The values in all masks, the background's first."""
    values: set[int] = {0}
    for path in progress_bar(masks, desc="reading masks", unit="mask"):
        found = np.unique(whole_labels(read_nifti(path), str(path))).tolist()
        if found[0] < 0:
            raise InputError(
                f"{path}: holds the label {found[0]}; whole numbers from 0 on are expected"
            )
        values.update(found)
        if len(values) > MAX_CLASSES:
            raise InputError(
                f"{path}: with it, the masks hold more than {MAX_CLASSES} values; labels of a few "
                "classes are expected"
            )
    if len(values) == 1:
        raise InputError(f"{masks[0].parent}: no mask outlines anything; correct them")
    return sorted(values)


def _groups(folder: Path, pairs: Mapping[str, tuple[Path, Path]], rule: str) -> dict[str, str]:
    """The group of every volume, by the group that its slices would have alone."""
    ids = safe_ids(pairs)
    volumes = [
        Sample(ids.get(name, name), "", lambda: np.zeros(0), None, image.name)
        for name, (image, _) in pairs.items()
    ]
    return find_groups(folder, volumes, rule)


BUILDER = DatasetBuilder(
    DatasetInfo("own-volumes", "Own volumes", image_size=(256, 256), channels=1),
    _read,
    INSTRUCTIONS,
    folders=("images", "masks"),
    files=("images", "masks", GROUPS_FILE),
    notes=_notes,
    allow_empty_masks=True,
    replace=True,
)
