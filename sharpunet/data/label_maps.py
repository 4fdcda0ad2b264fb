"""Masks of your own, as they are found: binary, label maps, palettes, or classes by colour."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from melanet.console import progress_bar
from melanet.data import InputError
from melanet.data.files import list_files
from melanet.data.readers.csv import read_rows
from melanet.data.readers.images import read_image

#: Share of a JPEG mask's pixels that may be far from black and white, as those along outlines are.
MAX_GREY = 0.1
#: Classes that are found without being named; more values than that are shades of grey.
MAX_UNNAMED_CLASSES = 32
COLOURS_CURE = (
    "say what each colour means in a file colours.csv beside images, or by --colours FILE "
    "(columns colour, such as #ff0000, and name; the background first)"
)
CLASSES_CURE = "name all classes in the order of their values by --classes, the background first"


@dataclasses.dataclass(frozen=True)
class Classes:
    """What the masks of a folder show.

    Attributes:
        count: 1 for a foreground mask, else the number of classes, background included.
        names: Their names, the background's first; none if they have none.
        empty: Indices of the masks without foreground.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from sharpunet.data.label_maps import find_classes
        >>> for value in range(3):
        ...     Image.new("L", (4, 3), value).save(f"{value}.png")
        >>> find_classes([Path(f"{value}.png") for value in range(3)])
        Classes(count=3, names=(), empty=(0,))
    """

    count: int
    names: tuple[str, ...]
    empty: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _Found:
    """What one mask holds: its values, and the colours of those of a coloured palette."""

    values: tuple[int, ...]
    palette: Mapping[int, tuple[int, ...]]


def read_colours(path: Path) -> dict[tuple[int, int, int], str]:
    r"""Reads a table of colours: the name of each class by its colour, the background's first.

    Args:
        path: A CSV file with the columns `colour` (as #rrggbb) and `name`.

    Raises:
        InputError: If a row is wrong, or there are fewer than two.

    Example:
        >>> from pathlib import Path
        >>> from sharpunet.data.label_maps import read_colours
        >>> n = Path("colours.csv").write_text("colour,name\n#000000,skin\n#ff0000,lesion\n")
        >>> read_colours(Path("colours.csv"))
        {(0, 0, 0): 'skin', (255, 0, 0): 'lesion'}
    """
    colours: dict[tuple[int, int, int], str] = {}
    for place, row in read_rows(path, ("colour", "name")):
        text, name = row["colour"].removeprefix("#"), row["name"]
        try:
            red, green, blue = bytes.fromhex(text)
        except ValueError:
            raise InputError(
                f"{place}: the colour {row['colour']!r} is not of the form #rrggbb; correct it"
            ) from None
        if (red, green, blue) in colours or name in (*colours.values(), ""):
            raise InputError(f"{place}: colours and names must differ, and none be empty")
        colours[red, green, blue] = name
    if len(colours) < 2:
        raise InputError(
            f"{path}: lists {len(colours)} colours; the background and more are needed"
        )
    return colours


def read_label_map(
    path: Path, colours: Mapping[tuple[int, int, int], str] | None = None
) -> np.ndarray:
    """Reads a mask file as uint8 `(height, width)`.

    Of a palette with colours the index counts. A mask that was saved as JPEG, which blurs outlines,
    is thresholded at half.

    Args:
        path: The file.
        colours: Classes by colour, as of `read_colours`; the indices in their order are returned.

    Raises:
        InputError: If the file cannot be read, or holds a colour that has no meaning.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from sharpunet.data.label_maps import read_label_map
        >>> Image.new("L", (4, 3), 2).save("mask.png")
        >>> int(read_label_map(Path("mask.png")).max())
        2
    """
    pixels = read_image(path)
    if colours is not None:
        return _by_colour(path, pixels, colours)
    if _is_jpeg(path):
        grey = np.asarray(Image.fromarray(pixels).convert("L"))
        if ((grey >= 64) & (grey < 192)).mean() > MAX_GREY:
            raise InputError(f"{path}: the mask is not binary; black and white are expected")
        return np.where(grey >= 128, np.uint8(255), np.uint8(0))
    if pixels.ndim == 2:
        return pixels
    indices = _palette_indices(path)
    if (pixels == pixels[:, :, :1]).all():
        grey = pixels[:, :, 0]
        if indices is None or len(np.unique(indices)) == len(np.unique(grey)):
            return grey
    if indices is None:
        red, green, blue = pixels[pixels.min(axis=2) != pixels.max(axis=2)][0]
        raise InputError(
            f"{path}: the mask is in colour (#{red:02x}{green:02x}{blue:02x}); {COLOURS_CURE}"
        )
    return indices


def find_classes(
    paths: Sequence[Path],
    names: Sequence[str] = (),
    colours: Mapping[tuple[int, int, int], str] | None = None,
) -> Classes:
    """Finds the classes that masks show, from all their values.

    Args:
        paths: The mask files.
        names: Names of the classes in the order of their values, if they are known.
        colours: Classes by colour, as of `read_colours`.

    Raises:
        InputError: If a mask cannot be read, the values are no classes, or all masks are empty.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from sharpunet.data.label_maps import find_classes
        >>> for value in range(3):
        ...     Image.new("L", (4, 3), value).save(f"{value}.png")
        >>> find_classes([Path(f"{value}.png") for value in range(3)])
        Classes(count=3, names=(), empty=(0,))
    """

    def look(path: Path) -> _Found:
        mask = read_label_map(path, colours)
        values = tuple(np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist())
        return _Found(values, {} if colours else _palette(path, mask, values))

    # Not in threads: the reader sets filters of warnings, which threads share.
    found = [look(path) for path in progress_bar(paths, "reading the masks", unit="mask", delay=1)]
    _check_palettes(paths, found)
    empty = tuple(index for index, each in enumerate(found) if each.values == (0,))
    if len(empty) == len(paths):
        cure = "outline the object in some"
        if _is_jpeg(paths[0]):
            cure = "JPEG masks are cut at half: save classes from 0 on as PNG"
        raise InputError(f"{paths[0].parent}: all masks are empty; nothing is outlined; {cure}")
    names = tuple(colours.values()) if colours else tuple(names)
    if colours or not _all_binary(found) or len(names) > 2:
        count = _count_classes(paths, found, len(names))
        return Classes(1 if count == 2 else count, names, empty)
    for path, each in zip(paths, found, strict=True):
        if each.values in ((1,), (255,)):
            raise InputError(
                f"{path}: the mask has a single value: nothing is outlined; correct it, or "
                "remove it with its image"
            )
    return Classes(1, names, empty)


def _count_classes(paths: Sequence[Path], found: Sequence[_Found], named: int) -> int:
    """The number of classes of label maps: as many as are named, or as their values are."""
    together = sorted({value for each in found for value in each.values})
    if named:
        for path, each in zip(paths, found, strict=True):
            if each.values[-1] >= named:
                raise InputError(
                    f"{path}: holds the value {each.values[-1]}; the {named} classes that are "
                    f"named have the values 0 to {named - 1}; {CLASSES_CURE}"
                )
        return named
    for path, each in zip(paths, found, strict=True):
        if len(each.values) > MAX_UNNAMED_CLASSES:
            raise InputError(
                f"{path}: the mask is not binary: it holds {len(each.values)} values "
                f"({each.values[0]} to {each.values[-1]}); 0 and 255, 0 and 1, or classes from 0 "
                "on are expected"
            )
    if together == list(range(len(together))):
        return len(together)
    gap = next(value for value in range(256) if value not in together)
    above = [pair for pair in zip(paths, found, strict=True) if pair[1].values[-1] > gap]
    path, each = next((pair for pair in above if not _all_binary([pair[1]])), above[0])
    raise InputError(
        f"{path}: the mask is not binary: it holds the value {each.values[-1]}, but no mask holds "
        f"{gap}; classes are numbered from 0 without gaps: renumber them, or, if a class is "
        f"not in these images, {CLASSES_CURE}"
    )


def _all_binary(found: Sequence[_Found]) -> bool:
    return all(set(each.values) <= {0, 1} or set(each.values) <= {0, 255} for each in found)


def _by_colour(
    path: Path, pixels: np.ndarray, colours: Mapping[tuple[int, int, int], str]
) -> np.ndarray:
    if _is_jpeg(path):
        raise InputError(f"{path}: JPEG changes colours, which stand for classes; save it as PNG")
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    numbers = (pixels.astype("uint32") * np.array([1 << 16, 1 << 8, 1], "uint32")).sum(axis=2)
    mask = np.full(numbers.shape, 255, "uint8")
    known = np.zeros(numbers.shape, bool)
    for index, (red, green, blue) in enumerate(colours):
        here = numbers == (red << 16 | green << 8 | blue)
        mask[here] = index
        known |= here
    if not known.all():
        raise InputError(
            f"{path}: holds the colour #{numbers[~known][0]:06x}, which the table of colours "
            "lacks; add it there"
        )
    return mask


def _palette(path: Path, mask: np.ndarray, values: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """The colours of a mask's values, if it is of a palette with colours; else none."""
    indices = _palette_indices(path)
    if indices is None or not np.array_equal(indices, mask):
        return {}
    with Image.open(path) as image:
        flat = image.getpalette() or []
    return {value: tuple(flat[3 * value : 3 * value + 3]) for value in values}


def _palette_indices(path: Path) -> np.ndarray | None:
    """The indices of an image with a palette; None if it has none."""
    try:
        with Image.open(path) as image:
            return np.array(image) if image.mode == "P" else None
    except Exception:  # a TIFF that Pillow does not know
        return None


def _check_palettes(paths: Sequence[Path], found: Sequence[_Found]) -> None:
    """Checks that an index has the same colour in all palettes, and so the same meaning."""
    first: dict[int, tuple[Path, tuple[int, ...]]] = {}
    for path, each in zip(paths, found, strict=True):
        for value, colour in each.palette.items():
            other, known = first.setdefault(value, (path, colour))
            if known != colour:
                raise InputError(
                    f"{path}: its palette has another colour at {value} than that of "
                    f"{other.name}, so that the indices are no classes; {COLOURS_CURE}"
                )


def _is_jpeg(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\xff\xd8"


def describe_empty(ids: Sequence[str], count: int) -> str:
    """A sentence on the images without the object; nothing if there are none.

    Example:
        >>> from sharpunet.data.label_maps import describe_empty
        >>> describe_empty(["case-1"], 9)
        '1 of 9 images show no object: case-1.'
    """
    return f"{len(ids)} of {count} images show no object: {list_files(ids)}." if ids else ""
