"""Your own images: `images/NAME.png` with `masks/NAME.png` or `masks/NAME_mask.png`."""

import argparse
import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from melanet.data import DatasetBuilder, DatasetInfo, InputError, Sample
from melanet.data.builders import list_images
from melanet.data.groups import GROUP_BY_HELP, GROUPS_FILE, compile_rule, find_groups
from melanet.data.readers.images import describe_window, read_image
from sharpunet.data.label_maps import describe_empty, find_classes, read_colours, read_label_map
from sharpunet.data.pairs import pair_files

INSTRUCTIONS = (
    "Put your images in its folder images and their masks (0 and 255, or a class per value), under "
    "the same names or with _mask, _seg, _label and the like before or after them, in its folder "
    "masks"
)
WORDS = "masks?|segmentations?|seg|labels?|annotations?|gt|ground[_-]?truth"
#: What mask files have in their names beside the image's.
AFFIX = re.compile(rf"(?P<after>.+)[_-](?:{WORDS})|(?:{WORDS})[_-](?P<before>.+)", re.IGNORECASE)
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"}
COLOURS_FILE = "colours.csv"
GROUPS_CURE = (
    f"list them in a file {GROUPS_FILE} (name,group) beside images, or take them from the names "
    "by --group-by REGEX, such as '(.+)_[LR]'"
)


@dataclasses.dataclass(frozen=True)
class OwnOptions:
    r"""What the files of your own images do not say by themselves.

    Attributes:
        classes: Names of the classes in the order of their values in the masks, background first.
        colours: A table of colours, if it is not `colours.csv` beside `images`.
        group_by: A regular expression that matches the start of every image's name; its first
            group names what a split must keep together, such as a patient.

    Example:
        >>> from sharpunet.data.folder import OwnOptions
        >>> OwnOptions(group_by="(.+)_[LR]").classes
        ()
    """

    classes: tuple[str, ...] = ()
    colours: Path | None = None
    group_by: str = ""

    def __post_init__(self):
        if self.classes and (len(self.classes) < 2 or len(set(self.classes)) < len(self.classes)):
            raise InputError("--classes: needs the background and at least one more, all different")
        if self.group_by:
            compile_rule(self.group_by)

    def flags(self) -> str:
        """The flags of what is given, for messages."""
        flags = {
            "--classes": self.classes, "--colours": self.colours, "--group-by": self.group_by,
        }  # fmt: skip
        return " and ".join(flag for flag, value in flags.items() if value)

    def __str__(self) -> str:
        """What is given, for the fingerprint of a dataset; empty if nothing is."""
        if self == OwnOptions():
            return ""
        colours = list(read_colours(self.colours).items()) if self.colours else []
        return repr((self.classes, colours, self.group_by))


def add_own_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `OwnOptions`.

    Example:
        >>> import argparse
        >>> from sharpunet.data.folder import add_own_arguments, own_options
        >>> parser = argparse.ArgumentParser()
        >>> add_own_arguments(parser)
        >>> own_options(parser.parse_args(["--classes", "skin", "lesion"])).classes
        ('skin', 'lesion')
    """
    add = parser.add_argument
    add("--classes", nargs="+", default=[], metavar="NAME",
        help="own images: names of the classes in the order of their values in the masks, the "
        "background first")  # fmt: skip
    add("--colours", type=Path, metavar="FILE",
        help="own images: a CSV file (colour as #rrggbb, name) of the classes by their colours in "
        "the masks; default: colours.csv beside images, if there is one")  # fmt: skip
    add("--group-by", default="", metavar="REGEX", help=GROUP_BY_HELP)


def own_options(options: argparse.Namespace) -> OwnOptions:
    """The options that `add_own_arguments` has read.

    Raises:
        InputError: If one is wrong.

    Example:
        >>> import argparse
        >>> from sharpunet.data.folder import add_own_arguments, own_options
        >>> parser = argparse.ArgumentParser()
        >>> add_own_arguments(parser)
        >>> own_options(parser.parse_args(["--classes", "skin", "lesion"])).classes
        ('skin', 'lesion')
    """
    return OwnOptions(tuple(options.classes), options.colours, options.group_by)


def make_builder(name: str, options: OwnOptions) -> DatasetBuilder:
    """The builder of a folder of your own images, which is called `name` here.

    Example:
        >>> from sharpunet.data.folder import OwnOptions, make_builder
        >>> make_builder("polyps", OwnOptions()).info.title
        'polyps'
    """
    return dataclasses.replace(
        BUILDER,
        info=dataclasses.replace(BUILDER.info, name=name, title=name),
        finish=partial(_finish, options),
        options=str(options),
    )


def _read(folder: Path) -> list[Sample]:
    images, found = _files(folder / "images"), _files(folder / "masks")
    if not images:
        raise InputError(
            f"{folder / 'images'}: nothing to prepare, no image was found. {INSTRUCTIONS}"
        )
    masks = match_masks(found, images)
    ids = safe_ids(images)
    samples = pair_files(
        images,
        masks,
        id_of=lambda stem: ids.get(stem, stem),
        image=partial(read_image, stretch_16_bits=True),
        mask=read_label_map,
    )
    stems = {ids.get(stem, stem): stem for stem in images}
    return [
        dataclasses.replace(sample, original_name=images[stems[sample.id]].name)
        if stems[sample.id] in ids
        else sample
        for sample in samples
    ]


def _notes(folder: Path) -> str:
    images, masks = _files(folder / "images"), _files(folder / "masks")
    longer = [path.name for stem, path in masks.items() if _image_of(stem, images) != stem]
    notes = [window] if (window := describe_window(list(images.values()))) else []
    if longer:
        notes.append(
            f"{len(longer)} masks were found by longer names than their images', as {longer[0]}."
        )
    if ids := safe_ids(images):
        stem = next(iter(ids))
        notes.append(
            f"{len(ids)} names were changed, as {images[stem].name} to {ids[stem]}; metadata.csv "
            "has both."
        )
    return " ".join(notes)


def _finish(
    options: OwnOptions, folder: Path, info: DatasetInfo, samples: Sequence[Sample]
) -> tuple[DatasetInfo, list[Sample]]:
    """Finds the classes in the masks, and the groups of the images."""
    colours_file = options.colours or folder / COLOURS_FILE
    colours = read_colours(colours_file) if options.colours or colours_file.is_file() else None
    if colours and options.classes and tuple(colours.values()) != options.classes:
        raise InputError(
            f"--classes: are not the names in {colours_file}; leave them out, the table has them"
        )
    found = find_classes([Path(sample.mask_name) for sample in samples], options.classes, colours)
    notes = [info.notes, describe_empty([samples[i].id for i in found.empty], len(samples))]
    groups = find_groups(folder, samples, options.group_by)
    info = dataclasses.replace(
        info,
        classes=found.count,
        class_names=found.names,
        notes=" ".join(filter(None, notes)),
    )
    return info, [
        dataclasses.replace(
            sample,
            group=groups.get(sample.id, sample.group),
            mask=partial(read_label_map, Path(sample.mask_name), colours),
        )
        for sample in samples
    ]


def match_masks(found: Mapping[str, Path], images: Mapping[str, Path]) -> dict[str, Path]:
    """Masks by the stems of their images, whose names theirs may have more than.

    Args:
        found: Mask files by their stems.
        images: Image files by theirs.

    Raises:
        InputError: If an image has two masks.

    Example:
        >>> from pathlib import Path
        >>> from sharpunet.data.folder import match_masks
        >>> match_masks({"a_mask": Path("a_mask.png")}, {"a": Path("a.png")})
        {'a': PosixPath('a_mask.png')}
    """
    masks: dict[str, Path] = {}
    for stem, path in found.items():
        name = _image_of(stem, images)
        if name in masks:
            raise InputError(
                f"{path}: is a second mask of {name}, after {masks[name].name}; remove one"
            )
        masks[name] = path
    return masks


def _image_of(stem: str, images: Mapping[str, Path]) -> str:
    """The stem of a mask's image; the mask's own if there is no such image."""
    match = AFFIX.fullmatch(stem)
    name = (match["after"] or match["before"]) if match else stem
    return name if stem not in images and name in images else stem


def safe_ids(stems: Iterable[str]) -> dict[str, str]:
    """Ids by the names that are not fit as ids, because of spaces, accents and the like.

    Example:
        >>> from sharpunet.data.folder import safe_ids
        >>> safe_ids(["a", "my scan"])
        {'my scan': 'my_scan'}
    """
    stems = list(stems)
    taken = {stem.lower() for stem in stems}
    ids: dict[str, str] = {}
    for stem in stems:
        if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", stem) or not stem.isprintable():
            continue  # what cannot be printed is refused as an id
        letters = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", letters).strip("_.") or "image"
        id, number = plain, 2
        while id.lower() in taken:
            id, number = f"{plain}-{number}", number + 1
        taken.add(id.lower())
        ids[stem] = id
    return ids


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. {INSTRUCTIONS}")
    files: dict[str, Path] = {}
    for path in list_images(folder, SUFFIXES):
        # Some systems write an accent apart from its letter, others do not.
        stem = unicodedata.normalize("NFC", path.stem)
        if stem in files:
            raise InputError(
                f"{path}: has the same name as {files[stem].name}; rename or remove one"
            )
        files[stem] = path
    return files


BUILDER = DatasetBuilder(
    DatasetInfo("folder", "Own images", image_size=(256, 256), channels=3, keep_aspect_ratio=True),
    _read,
    INSTRUCTIONS,
    notes=_notes,
    files=("images", "masks", GROUPS_FILE, COLOURS_FILE),
    allow_empty_masks=True,
    replace=True,
)
