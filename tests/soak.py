"""Kills every kind of job at random moments; restarted jobs must end as if nothing had happened.

    python -m tests.soak --kills 20 --seed 0 [--only JOB ...]

Each job runs once without interruption. Then it is killed (`kill -9`) at random moments and
restarted with the same arguments until it ends, again and again, until all kills are made. Its
results are compared, bit for bit, with those of the first run: records except for their seconds,
weights, pixels, tables. Of two hosts one is killed, and the other must end by itself. Finally the
job meets Ctrl-C once and a full disk once; it must say in one line how to resume.
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
from experiments.common.cli import run_cli
from experiments.common.report import SECTION_FILE
from experiments.common.table import run_table
from melanet.augmentation import augment_offline
from melanet.checkpoint import EpochCheckpoint
from melanet.cyclegan import build_cyclegan
from melanet.data import DatasetInfo, open_dataset, prepare, write_dataset
from melanet.data.dataset import VERIFIED_FILE
from melanet.distribution import chief_first, is_chief, make_strategy
from melanet.oversampling import train_cyclegan
from melanet.saving import save_model
from melanet.synthesis import translate_majority
from melanet.training import seed_everything
from sharpunet.data import phantom
from tests.conftest import write_dermoscopy
from tests.melanet.conftest import write_part

#: Seconds that a host may need to notice that another is gone, or a job to finish.
PATIENCE = 300
#: Times that Ctrl-C is pressed: where Python happens to ignore the first, people press it again.
PRESSES = 3


@dataclasses.dataclass(frozen=True)
class Job:
    """A job that is killed.

    Attributes:
        run: `run(inputs, out)` returns an exit code, or None.
        hosts: Number of processes that work together.
        share: Share of the requested kills that it gets; slow jobs get fewer.
        disk: Size of a disk that is too small for it, in kilobytes.
    """

    run: Callable[[Path, Path], int | None]
    hosts: int = 1
    share: float = 1
    disk: int = 0


def make_inputs(folder: Path) -> None:
    """Writes everything that the jobs read."""
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
    more = ["--precision", "float32", "--save-models"]
    return run_table(table_2_1.TABLE, [*words.split(), *data, *more])


def _run_table_3_1(inputs, out, *more):
    words = "--datasets cells --folds 2 --repeats 1 --epochs 3 --image-size 16 16 --batch-size 8"
    data = ["--data", str(inputs), "--out", str(out), "--precision", "float32", *more]
    return run_table(table_3_1.TABLE, [*words.split(), *data])


def _run_table_3_1_on_two_hosts(inputs, out):
    return _run_table_3_1(inputs, out, "--models", "unet", "--distribute", "multiworker")


JOBS = {
    "prepare": Job(_prepare, disk=900),
    "augmentation": Job(_augment, disk=900),
    "cyclegan": Job(_train_cyclegan, disk=900),
    "translation": Job(_translate, disk=900),
    "classifier": Job(_train_classifier, disk=100_000),
    "segmentation": Job(_run_table_3_1, disk=120_000),
    "segmentation, 2 hosts": Job(_run_table_3_1_on_two_hosts, hosts=2),
    "cyclegan, 2 hosts": Job(_train_cyclegan_on_two_hosts, hosts=2, share=0.25),
}


def _dermoscopy(inputs: Path):
    return open_dataset(inputs / "dermoscopy" / "phantom")


@dataclasses.dataclass
class Report:
    """The outcome of one job.

    Attributes:
        kills: How often it was killed.
        ends: How often it finished after kills.
        moments: Seconds it had run before each kill.
        files: Number of files compared each time it finished.
        full_disks: How often it met a full disk; 0 where none can be mounted.
        findings: Everything that went wrong.
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
    """Kills a job and compares its results with those of an uninterrupted run.

    Args:
        name: A name in `JOBS`.
        inputs: The folder written by `make_inputs`.
        folder: Where the results go.
        kills: Number of kills.
        seed: Seed of the moments of the kills.
        bar: A progress bar that counts the kills.
    """
    random = np.random.default_rng([seed, *name.encode()])
    job, report = JOBS[name], Report()
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
            host = int(random.integers(job.hosts))
            run.kill(host)
            codes = run.wait(PATIENCE)
            report.kills, since = report.kills + 1, since + 1
            report.moments.append(round(moment, 1))
            if bar is not None:
                bar.update()
            others = [code for other, code in enumerate(codes) if other != host]
            if any(code not in (0, 1) for code in others):
                report.findings.append(f"another host ended with {others}: {run.log_tail()}")
            run.end()
            continue
        if any(code != 0 for code in codes):
            run.end()
            report.findings.append(f"ended with {codes}: {run.log_tail()}")
            break
        report.findings += differences(folder / "whole", out, f"after {since} kills")
        report.ends, since = report.ends + 1, 0
        shutil.rmtree(out)
    return report


def job_command(name: str, inputs: Path, out: Path) -> list[str]:
    """The command that runs a job."""
    return [sys.executable, "-m", "tests.soak", "--do", name, str(inputs), str(out)]


class Run:
    """One start of a job: one process per host."""

    def __init__(self, name: str, inputs: Path, out: Path):
        hosts = JOBS[name].hosts
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
                        job_command(name, inputs, out),
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
        """Waits until the job itself begins, after Python's imports."""
        deadline = time.monotonic() + PATIENCE
        while not self.begun.exists() and any(process.poll() is None for process in self.processes):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)

    def wait(self, seconds: float) -> list[int | None]:
        """Waits at most this long; returns the exit codes, None for processes that still run."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if all(process.poll() is not None for process in self.processes):
                break
            time.sleep(0.02)
        return [process.poll() for process in self.processes]

    def printed(self) -> str:
        """What it has printed."""
        return self.log.read_bytes()[self._start :].decode(errors="replace")

    def log_tail(self) -> str:
        """The end of what it has printed."""
        return " ".join(self.printed().split())[-500:]

    def kill(self, host: int) -> None:
        """Kills a host (`kill -9`) with all processes that it has started."""
        os.killpg(self.processes[host].pid, signal.SIGKILL)
        self.processes[host].wait()

    def end(self) -> None:
        """Kills whatever still runs."""
        for host, process in enumerate(self.processes):
            if process.poll() is None:
                self.kill(host)


def differences(whole: Path, again: Path, when: str) -> list[str]:
    """Names every file that differs between the folders, or is in one of them only."""
    expected, found = dict(contents(whole)), dict(contents(again))
    files = sorted(expected.keys() | found.keys())
    return [f"{when} {file} differs" for file in files if expected.get(file) != found.get(file)]


def contents(folder: Path) -> Iterator[tuple[str, str]]:
    """The name and a hash of every file below `folder`; times do not count."""
    for path in sorted(folder.rglob("*")):
        # A page shows seconds; its table and its figures are compared themselves. A lock may stay
        # if its holder was killed right after the write; it is empty, and nobody waits for it.
        timed = path.name in ("index.html", SECTION_FILE, VERIFIED_FILE)
        if path.is_file() and not timed and path.suffix != ".lock":
            yield str(path.relative_to(folder)), _hash(path)


def _hash(path: Path) -> str:
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
    """The weights in a `.keras` file, whose other parts hold times and addresses in memory."""
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
    """Interrupts a job by Ctrl-C once it has begun to write, and restarts it.

    Args:
        name: A name in `JOBS`.
        inputs: The folder written by `make_inputs`.
        folder: Where the results go; its folder `whole` holds those of an uninterrupted run.

    Returns:
        Everything that went wrong.
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
    explained = "stopped; the same command resumes" in run.printed()
    explained = explained and "Traceback" not in run.printed()
    if 130 not in codes or not set(codes) <= expected or not explained:
        return [f"Ctrl-C ended it with {codes}: {run.log_tail()}"]
    again = Run(name, inputs, out)
    codes = again.wait(PATIENCE)
    again.end()
    if any(code != 0 for code in codes):
        return [f"after Ctrl-C it ended with {codes}: {again.log_tail()}"]
    return differences(folder / "whole", out, "after Ctrl-C")


#: Runs a job twice in a file system of its own: while it is too small, and when there is room.
ON_A_SMALL_DISK = """
size=$1; disk=$2; log=$3; shift 3
mount -t tmpfs -o size=${size}k tmpfs "$disk" || exit 77
"$@" 2> "$log" > /dev/null; echo $?
mount -o remount,size=4g "$disk"
"$@" > /dev/null 2>&1; echo $?
cp -r "$disk/out" "$disk-copy"
"""


def fill_disk(name: str, inputs: Path, folder: Path) -> list[str] | None:
    """Runs a job on a disk that is too small, and again when there is room.

    Args:
        name: A name in `JOBS`.
        inputs: The folder written by `make_inputs`.
        folder: Where the results go; its folder `whole` holds those of an uninterrupted run.

    Returns:
        Everything that went wrong; None if this machine does not let us mount a disk.
    """
    disk, log = folder / "disk", folder / "disk.txt"
    disk.mkdir(parents=True)
    command = job_command(name, inputs, disk / "out")
    shell = ["sh", "-c", ON_A_SMALL_DISK, "sh", str(JOBS[name].disk), disk, log, *command]
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
    # TensorFlow prints lines of its own, such as one about a missing GPU.
    errors = [line for line in log.read_text().splitlines() if line.startswith("error: ")]
    if codes != ["2", "0"]:
        findings.append(f"ended with {' and '.join(codes)}, not with 2 and 0: {errors}")
    elif len(errors) != 1 or "Traceback" in log.read_text():
        findings.append(f"printed {errors}")
    else:
        findings += differences(folder / "whole", folder / "disk-copy", "after a full disk")
    return findings


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="kills per job")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments of the kills")
    parser.add_argument("--parallel", type=int, default=os.cpu_count(), help="jobs at once")
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS), metavar="JOB",
        help=", ".join(JOBS))  # fmt: skip
    parser.add_argument("--do", nargs=3, metavar=("JOB", "INPUTS", "OUT"), help="run a job alone")
    options = parser.parse_args(arguments)
    if options.do:
        name, inputs, out = options.do
        # A process without a terminal may have been started with interrupts ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        melanet.checkpoint.MAX_SAVING_SHARE = 1.0  # these epochs take a second: save after each
        keras.utils.disable_interactive_logging()
        codes: list[int | None] = []
        Path(out).with_name("begun").touch()
        return (
            run_cli(lambda: codes.append(JOBS[name].run(Path(inputs), Path(out)))) or codes[0] or 0
        )
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(total=sum(_kills(name, options.kills) for name in options.only), unit="kill") as bar,
        ThreadPoolExecutor(options.parallel) as lanes,
    ):
        make_inputs(Path(folder) / "inputs")

        def examine(name):
            return _examine(name, Path(folder), options.kills, options.seed, bar)

        # The longest first.
        names = sorted(options.only, key=lambda name: -JOBS[name].hosts)
        reports = dict(zip(names, lanes.map(examine, names), strict=True))
    columns = ("kills", "ends", "files", "full_disks", "findings")
    print(f"{'job':24}" + "".join(f"{column.replace('_', ' '):>12}" for column in columns))
    for name, report in reports.items():
        row = {**dataclasses.asdict(report), "findings": len(report.findings)}
        print(f"{name:24}" + "".join(f"{row[column]:>12}" for column in columns))
    return int(any(report.findings for report in reports.values()))


def _kills(name: str, asked: int) -> int:
    return max(1, round(JOBS[name].share * asked))


def _examine(name: str, folder: Path, kills: int, seed: int, bar: tqdm) -> Report:
    """Kills a job, interrupts it and fills its disk."""
    inputs, own = folder / "inputs", folder / name.replace(" ", "-")
    kills = _kills(name, kills)
    report = soak(name, inputs, own, kills, seed, bar)
    if not report.findings:
        report.findings += interrupt(name, inputs, own)
    if JOBS[name].disk and not report.findings:
        filled = fill_disk(name, inputs, own)
        report.full_disks = int(filled is not None)
        report.findings += filled or []
    bar.write(f"{name}: killed after {', '.join(map(str, report.moments))} s")
    for finding in report.findings:
        bar.write(f"{name}: {finding}")
    shutil.rmtree(own)
    return report


if __name__ == "__main__":
    sys.exit(main())
