"""`python -m PACKAGE.data NAME --download DIR --prepared DIR`: prepare one dataset.

This file stands in both packages, the same to the letter.
"""

import argparse
import sys
import textwrap

from . import SOURCES, InputError, prepare
from .prepared import one_line


def main(arguments=None) -> int:
    """Prepares a dataset; returns the exit code: 0, 2 for bad input, 130 if interrupted."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}",
        description="Brings the official download of a dataset into a prepared set.",
        epilog="\n\n".join(["datasets:", *map(_paragraph, SOURCES)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", help="dataset, see below; sharpunet.data takes any for your own images and masks")
    add("--download", default=".", help="folder with the official files; default: this one")
    add("--prepared", required=True, help="where the prepared set will be")
    options = parser.parse_args(arguments)
    try:
        prepared = prepare(options.name, options.download, options.prepared)
    except InputError as error:
        print("error:", error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on with what is not done", file=sys.stderr)
        return 130
    count, title = len(prepared.manifest), prepared.description.title
    print(one_line(f"{prepared.folder}: {count} images of {title}"))
    if prepared.description.notes:
        print(prepared.description.notes)
    return 0


def _paragraph(name: str) -> str:
    description, download = SOURCES[name].description, SOURCES[name].download
    return textwrap.fill(
        f"{name} ({description.title}): {download}",
        width=80,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,  # addresses are to be copied
        break_on_hyphens=False,
    )


if __name__ == "__main__":
    sys.exit(main())
