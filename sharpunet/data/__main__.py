"""`python -m sharpunet.data NAME --download DIR --prepared DIR`: prepare one dataset."""

import argparse
import sys

from sharpunet.data import SOURCES, InputError, prepare


def main(arguments=None) -> int:
    """Prepares a dataset; returns the exit code: 0, or 2 for bad input."""
    parser = argparse.ArgumentParser(
        prog="python -m sharpunet.data",
        description=__doc__,
        epilog="datasets: "
        + "; ".join(f"{name}: {source.download}" for name, source in SOURCES.items()),
    )
    parser.add_argument("name", help="dataset, or any name for a folder with images and masks")
    parser.add_argument("--download", default=".", help="folder with the official files")
    parser.add_argument("--prepared", required=True, help="where the prepared set will be")
    options = parser.parse_args(arguments)
    try:
        prepared = prepare(options.name, options.download, options.prepared)
    except InputError as error:
        print("error:", *str(error).split(), file=sys.stderr)
        return 2
    print(f"{prepared.folder}: {len(prepared.manifest)} images of {prepared.description.title}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
