"""Work that is killed at random moments, and started again, ends as if it had not been.

    python -m tests.soak --kills 20 --seed 0 [--only WORK ...]

Each work runs once from beginning to end. Then it is killed (`kill -9`) at random moments and
started again with the same words until it has ended, from the beginning if need be, until all kills
are made. What it leaves is compared to the bit with what the first run left: records but for their
seconds, weights, pixels, tables. Of two hosts one is killed, and the other must end by itself.
Then Ctrl-C ends it once, and a full disk once, each with one line that says how to go on.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from tqdm import tqdm

import melanet.checkpoint
from experiments import table_2_1, table_3_1
from experiments.segmentation_table import run_table
from experiments.sweep import run_cli
from experiments.synthesis import save_model
from experiments.trial import seed_everything
from melanet.augmentation import augment_offline
from melanet.checkpoint import EpochCheckpoint
from melanet.cyclegan import build_cyclegan
from melanet.data import DatasetInfo, prepare, write_dataset
from melanet.data import open_dataset as read_classified
from melanet.distribution import chief_first, is_chief, make_strategy
from melanet.oversampling import train_cyclegan, translate_majority
from sharpunet.data import phantom
from tests.conftest import write_dermoscopy
from tests.melanet.conftest import write_part

#: Seconds that a host may take to notice that another is gone, or a work for what is left of it.
PATIENCE = 300
#: Of Ctrl-C: where Python happens to ignore the first, people press it again.
PRESSES = 3


@dataclasses.dataclass(frozen=True)
class Work:
    """What is killed.

    Attributes:
        act: `act(inputs, out)` returns an exit code, or None.
        hosts: Processes that work together.
        share: Of the kills asked for: the slow one has fewer.
        room: Of a disk that is too small for it, in kilobytes.
    """

    act: Callable[[Path, Path], int | None]
    hosts: int = 1
    share: float = 1
    room: int = 0


def make_inputs(folder: Path) -> None:
    """All that the works read."""
    labels = {f"ISIC_{n}": ("benign", "malignant")[n % 2] for n in range(2000)}
    write_part(folder / "isic2016", "Training", labels)
    write_part(folder / "isic2016", "Test", {"ISIC_9998": "0.0", "ISIC_9999": "1.0"})
    write_dermoscopy(folder / "dermoscopy")
    info = DatasetInfo("cells", "Cells", image_size=(16, 16), channels=1)
    write_dataset(folder / "cells", info, phantom.read(count=40, size=16))


def _prepare(inputs, out):
    prepare("isic2016", inputs / "isic2016", out / "isic2016")


def _augment(inputs, out):
    augment_offline(_dermoscopy(inputs), 30, out / "augmented", seed=1)


def _train_cyclegan(inputs, out, **more):
    seed_everything(0)
    checkpoint = EpochCheckpoint(out / "checkpoints" / "gan.npz")
    shape = {"epochs": 10, "filters": (4, 4), "flip": True, **more}
    model = train_cyclegan(_dermoscopy(inputs), checkpoint=checkpoint, **shape)
    with chief_first():
        if is_chief():
            save_model(model, out / "gan.keras")
        checkpoint.remove()


def _train_cyclegan_on_two_hosts(inputs, out):
    make_strategy("multiworker")
    _train_cyclegan(inputs, out, batch_size=2, distribute="multiworker")


def _translate(inputs, out):
    seed_everything(0)
    augmented = augment_offline(_dermoscopy(inputs), 20, inputs / "augmented")
    model = build_cyclegan((32, 32, 3), generator_filters=8, discriminator_filters=4)
    translate_majority(model, augmented, out / "synthetic", batch_size=4)


def _train_classifier(inputs, out):
    words = "--dataset phantom --conditions vgg_gap --weights none --epochs 6 --image-size 32 32"
    data = ["--data", str(inputs / "dermoscopy"), "--out", str(out)]
    return table_2_1.main([*words.split(), *data, "--precision", "float32", "--save-models"])


def _sweep(inputs, out, *more):
    words = "--datasets cells --folds 2 --repeats 1 --epochs 3 --image-size 16 16 --batch-size 8"
    data = ["--data", str(inputs), "--out", str(out), "--precision", "float32", *more]
    return run_table(table_3_1.TABLE, [*words.split(), *data])


def _train_on_two_hosts(inputs, out):
    return _sweep(inputs, out, "--models", "unet", "--distribute", "multiworker")


WORKS = {
    "prepare": Work(_prepare, room=900),
    "augmentation": Work(_augment, room=900),
    "cyclegan": Work(_train_cyclegan, room=900),
    "translation": Work(_translate, room=900),
    "classifier": Work(_train_classifier, room=100_000),
    "sweep": Work(_sweep, room=120_000),
    "sweep, 2 hosts": Work(_train_on_two_hosts, hosts=2),
    "cyclegan, 2 hosts": Work(_train_cyclegan_on_two_hosts, hosts=2, share=0.25),
}


def _dermoscopy(inputs: Path):
    return read_classified(inputs / "dermoscopy" / "phantom")


@dataclasses.dataclass
class Report:
    """What became of one work.

    Attributes:
        kills: How often it was killed.
        ends: How often it came to its end after kills.
        moments: Seconds of work before each kill.
        files: Files that were compared at each end.
        full_disks: How often it met a full disk; 0 where none can be mounted.
        findings: What was not as it should be.
    """

    kills: int = 0
    ends: int = 0
    files: int = 0
    full_disks: int = 0
    moments: list[float] = dataclasses.field(default_factory=list)
    findings: list[str] = dataclasses.field(default_factory=list)


def soak(
    name: str, inputs: Path, folder: Path, kills: int, seed: int, bar: tqdm | None = None
) -> Report:
    """Kills the work of that name so often, and compares what it leaves.

    Args:
        name: In `WORKS`.
        inputs: As `make_inputs` makes them.
        folder: Where the results go.
        kills: How often.
        seed: Of the moments.
        bar: Counts the kills.
    """
    random = np.random.default_rng([seed, *name.encode()])
    work, report = WORKS[name], Report()
    run = Run(name, inputs, folder / "whole")
    run.wait_for_begin()
    began = time.monotonic()
    codes = run.wait(PATIENCE)
    lasted = time.monotonic() - began
    if any(code != 0 for code in codes):
        run.end()
        report.findings.append(f"without kills it ended with {codes}")
        return report
    report.files = len(dict(contents(folder / "whole")))
    out, since = folder / "killed", 0
    while report.kills < kills or not report.ends or out.exists():
        run = Run(name, inputs, out)
        run.wait_for_begin()
        moment = lasted * random.uniform() if report.kills < kills else PATIENCE
        codes = run.wait(moment)
        if None in codes and report.kills < kills:
            host = int(random.integers(work.hosts))
            run.kill(host)
            codes = run.wait(PATIENCE)
            report.kills, since = report.kills + 1, since + 1
            report.moments.append(round(moment, 1))
            if bar is not None:
                bar.update()
            others = [code for other, code in enumerate(codes) if other != host]
            if any(code not in (0, 1) for code in others):
                report.findings.append(f"another host ended with {others}: {run.last_words()}")
            run.end()
            continue
        if any(code != 0 for code in codes):
            run.end()
            report.findings.append(f"ended with {codes}: {run.last_words()}")
            break
        report.findings += differences(folder / "whole", out, f"after {since} kills")
        report.ends, since = report.ends + 1, 0
        shutil.rmtree(out)
    return report


def do(name: str, inputs: Path, out: Path) -> list[str]:
    """The command that a work is."""
    return [sys.executable, "-m", "tests.soak", "--do", name, str(inputs), str(out)]


class Run:
    """One start of a work: a process for each host."""

    def __init__(self, name: str, inputs: Path, out: Path):
        hosts = WORKS[name].hosts
        addresses = [f"127.0.0.1:{_free_port()}" for _ in range(hosts)]
        self.log = out.with_name("log.txt")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        self._start = self.log.stat().st_size
        self.begun = self.log.with_name("begun")
        self.begun.unlink(missing_ok=True)
        self.processes = []
        for index in range(hosts):
            task = {"type": "worker", "index": index}
            cluster = {"cluster": {"worker": addresses}, "task": task}
            with self.log.open("a") as log:
                self.processes.append(
                    subprocess.Popen(
                        do(name, inputs, out),
                        stdout=log,
                        stderr=log,
                        env={
                            **os.environ,
                            "TF_NUM_INTRAOP_THREADS": "1",
                            "TF_CONFIG": json.dumps(cluster),
                        },
                        start_new_session=True,
                    )
                )

    def wait_for_begin(self) -> None:
        """Returns when the work begins: all that comes before is the start of Python."""
        deadline = time.monotonic() + PATIENCE
        while not self.begun.exists() and any(process.poll() is None for process in self.processes):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)

    def wait(self, seconds: float) -> list[int | None]:
        """The exit codes after so long at most; None of those that go on."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(process.poll() is not None for process in self.processes):
                break
            time.sleep(0.02)
        return [process.poll() for process in self.processes]

    def said(self) -> str:
        """What it has printed."""
        return self.log.read_bytes()[self._start :].decode(errors="replace")

    def last_words(self) -> str:
        """The end of that."""
        return " ".join(self.said().split())[-500:]

    def kill(self, host: int) -> None:
        """`kill -9`, all that it has started with it."""
        os.killpg(self.processes[host].pid, signal.SIGKILL)
        self.processes[host].wait()

    def end(self) -> None:
        """Leaves nothing running."""
        for host, process in enumerate(self.processes):
            if process.poll() is None:
                self.kill(host)


def differences(whole: Path, again: Path, when: str) -> list[str]:
    """Every file that is not the same in both folders, or in one of them only."""
    expected, found = dict(contents(whole)), dict(contents(again))
    files = sorted(expected.keys() | found.keys())
    return [f"{when} {file} is another" for file in files if expected.get(file) != found.get(file)]


def contents(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file's name below `folder`, and a mark of what is in it, but for times."""
    for path in sorted(folder.rglob("*")):
        # A page has seconds in it; its table and its figures are compared themselves.
        if path.is_file() and path.name != "index.html":
            yield str(path.relative_to(folder)), _mark(path)


def _mark(path: Path) -> str:
    if path.suffix == ".json":
        content: Any = json.dumps(_without_seconds(json.loads(path.read_text()))).encode()
    elif path.suffix == ".keras":
        content = _weights(path)
    elif path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays_of:
            content = b"".join(name.encode() + arrays_of[name].tobytes() for name in arrays_of)
    elif path.suffix == ".csv":
        lines = path.read_text().splitlines()
        timed = [n for n, name in enumerate(lines[0].split(",")) if "seconds" in name]
        rows = [[w for n, w in enumerate(line.split(",")) if n not in timed] for line in lines]
        content = json.dumps(rows).encode()
    else:
        content = path.read_bytes()
    return hashlib.sha256(content).hexdigest()


def _weights(path: Path) -> bytes:
    """Of a `.keras` file, whose other parts hold times and addresses in memory."""
    found: list[bytes] = []

    def visit(name, each):
        if isinstance(each, h5py.Dataset):
            found.append(name.encode() + each[()].tobytes())

    with (
        zipfile.ZipFile(path) as parts,
        parts.open("model.weights.h5") as file,
        h5py.File(file) as weights,
    ):
        weights.visititems(visit)
    return b"".join(found)


def _without_seconds(value):
    if isinstance(value, dict):
        return {k: _without_seconds(v) for k, v in value.items() if k != "seconds"}
    return [_without_seconds(v) for v in value] if isinstance(value, list) else value


def interrupt(name: str, inputs: Path, folder: Path) -> list[str]:
    """Ends a work by Ctrl-C when it has begun to write, and starts it again.

    Args:
        name: In `WORKS`.
        inputs: As `make_inputs` makes them.
        folder: Where the results go; `whole` in it holds those of an undisturbed run.

    Returns:
        What was not as it should be.
    """
    out = folder / "interrupted"
    run = Run(name, inputs, out)
    deadline = time.monotonic() + PATIENCE
    while not any(path.is_file() for path in out.rglob("*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(PRESSES):
        for process in run.processes:
            process.send_signal(signal.SIGINT)
        codes = run.wait(10)
        if None not in codes:
            break
    run.end()
    expected = {130} if len(codes) == 1 else {130, 1}  # 1: the other host was the first to leave
    said = "stopped; the same command goes on" in run.said() and "Traceback" not in run.said()
    if 130 not in codes or not set(codes) <= expected or not said:
        return [f"Ctrl-C ended it with {codes}: {run.last_words()}"]
    again = Run(name, inputs, out)
    codes = again.wait(PATIENCE)
    again.end()
    if any(code != 0 for code in codes):
        return [f"after Ctrl-C it ended with {codes}: {again.last_words()}"]
    return differences(folder / "whole", out, "after Ctrl-C")


#: Runs a work twice in a file system of its own: while that is too small, and when there is room.
ON_A_SMALL_DISK = """
room=$1; disk=$2; log=$3; shift 3
mount -t tmpfs -o size=${room}k tmpfs "$disk" || exit 77
"$@" 2> "$log" > /dev/null; echo $?
mount -o remount,size=4g "$disk"
"$@" > /dev/null 2>&1; echo $?
cp -r "$disk/out" "$disk-copy"
"""


def fill_disk(name: str, inputs: Path, folder: Path) -> list[str] | None:
    """Runs a work on a disk that is too small, and again when there is room.

    Args:
        name: In `WORKS`.
        inputs: As `make_inputs` makes them.
        folder: Where the results go; `whole` in it holds those of an undisturbed run.

    Returns:
        What was not as it should be; None if this machine does not let us mount a disk.
    """
    disk, log = folder / "disk", folder / "disk.txt"
    disk.mkdir(parents=True)
    command = do(name, inputs, disk / "out")
    shell = ["sh", "-c", ON_A_SMALL_DISK, "sh", str(WORKS[name].room), disk, log, *command]
    space = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        done = subprocess.run(
            [*space, *shell], capture_output=True, text=True, timeout=2 * PATIENCE
        )
    except FileNotFoundError:
        return None
    codes = done.stdout.split()
    if len(codes) < 2:
        return None
    findings = []
    # TensorFlow has lines of its own, such as of a GPU that is not there.
    said = [line for line in log.read_text().splitlines() if line.startswith("error: ")]
    if codes != ["2", "0"]:
        findings.append(f"ended with {' and '.join(codes)}, not with 2 and 0: {said}")
    elif len(said) != 1 or "Traceback" in log.read_text():
        findings.append(f"said {said}")
    else:
        findings += differences(folder / "whole", folder / "disk-copy", "after a full disk")
    return findings


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each work")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="works at once")
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--do", nargs=3, metavar=("WORK", "INPUTS", "OUT"), help="what is killed")
    options = parser.parse_args(arguments)
    if options.do:
        name, inputs, out = options.do
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by what has no terminal
        melanet.checkpoint.SHARE = 1.0  # these epochs take a second: save after each
        keras.utils.disable_interactive_logging()
        ended: list[int | None] = []
        act = WORKS[name].act
        Path(out).with_name("begun").touch()
        return run_cli(lambda: ended.append(act(Path(inputs), Path(out)))) or ended[0] or 0
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(total=sum(_kills(name, options.kills) for name in options.only), unit="kill") as bar,
        ThreadPoolExecutor(options.jobs) as lanes,
    ):
        make_inputs(Path(folder) / "inputs")

        def examine(name):
            return _examine(name, Path(folder), options.kills, options.seed, bar)

        # The longest first.
        names = sorted(options.only, key=lambda name: -WORKS[name].hosts)
        reports = dict(zip(names, lanes.map(examine, names), strict=True))
    columns = ("kills", "ends", "files", "full_disks", "findings")
    print(f"{'work':20}" + "".join(f"{column.replace('_', ' '):>12}" for column in columns))
    for name, report in reports.items():
        row = {**dataclasses.asdict(report), "findings": len(report.findings)}
        print(f"{name:20}" + "".join(f"{row[column]:>12}" for column in columns))
    return int(any(report.findings for report in reports.values()))


def _kills(name: str, asked: int) -> int:
    return max(1, round(WORKS[name].share * asked))


def _examine(name: str, folder: Path, kills: int, seed: int, bar: tqdm) -> Report:
    """All that is done to one work."""
    inputs, own = folder / "inputs", folder / name.replace(" ", "-")
    kills = _kills(name, kills)
    report = soak(name, inputs, own, kills, seed, bar)
    if not report.findings:
        report.findings += interrupt(name, inputs, own)
    if WORKS[name].room and not report.findings:
        filled = fill_disk(name, inputs, own)
        report.full_disks = int(filled is not None)
        report.findings += filled or []
    bar.write(f"{name}: killed after {', '.join(map(str, report.moments))} s of work")
    for finding in report.findings:
        bar.write(f"{name}: {finding}")
    shutil.rmtree(own)
    return report


if __name__ == "__main__":
    sys.exit(main())
