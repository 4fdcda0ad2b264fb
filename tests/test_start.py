"""Help and mistakes on a command line are answered before anything heavy is imported."""

import json
import subprocess
import sys
from pathlib import Path

from melanet.classifiers import CLASSIFIERS
from melanet.names import CLASSIFIER_NAMES
from sharpunet import KERNELS, LOSSES, MODELS
from sharpunet.names import KERNEL_NAMES, LOSS_NAMES, MODEL_NAMES, OF_WHOLE_BATCH

ROOT = Path(__file__).parent.parent
HEAVY = ["tensorflow", "keras", "h5py", "pandas", "scipy", "sklearn", "matplotlib", "cv2",
    "pydicom", "nibabel", "tifffile"]  # fmt: skip
EXPERIMENTS = sorted(
    f"experiments.{path.stem}"
    for path in (ROOT / "experiments").glob("*.py")
    if "__main__" in path.read_text()
)
PACKAGES = ["melanet", "sharpunet", "melanet.data", "sharpunet.data"]
SUBCOMMANDS = [
    f"{package} {command}"
    for package in ("melanet", "sharpunet")
    for command in ("train", "predict", "evaluate", "export")
] + ["melanet translate"]
#: Runs commands one after the other; prints their exit codes and what each of them imported.
RUN = """
import contextlib, io, json, runpy, sys
heavy, commands = json.loads(sys.argv[1]), json.loads(sys.argv[2])
found, seen = {}, set()
for line in commands:
    module, *sys.argv[1:] = line.split()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            loaded = set(heavy) & set(sys.modules) - seen
            found[line] = [end.code, sorted(loaded)]
            seen |= loaded
print(json.dumps(found))
"""


def run(commands):
    command = [sys.executable, "-c", RUN, json.dumps(HEAVY), json.dumps(commands)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout)


def test_help_and_mistakes_of_every_command_import_nothing_heavy():
    commands = [*EXPERIMENTS, *PACKAGES, *SUBCOMMANDS]
    assert len(commands) > 25
    expected = {f"{command} --help": [0, []] for command in commands}
    expected |= {f"{command} --no-such-flag": [2, []] for command in commands}
    expected["experiments.table_2_1 --data . --models nothing"] = [2, []]
    expected["experiments.table_3_1 --data . --models nothing"] = [2, []]
    expected["experiments.table_3_1 --data . --loss nothing"] = [2, []]
    assert run(list(expected)) == expected


def test_the_names_that_a_command_line_offers_are_those_of_the_dictionaries():
    assert tuple(CLASSIFIERS) == CLASSIFIER_NAMES
    assert tuple(MODELS) == MODEL_NAMES
    assert tuple(LOSSES) == LOSS_NAMES
    assert tuple(KERNELS) == KERNEL_NAMES
    assert set(OF_WHOLE_BATCH) <= set(LOSS_NAMES)
