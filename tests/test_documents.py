"""What README and site say can be done: links lead somewhere, commands are known, code runs."""

import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "results").glob("*.md")]
)
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")
COMMAND = re.compile(
    r"\S*python -m ((?:experiments|melanet|sharpunet|benchmarks|notebooks)[.\w]*)(.*)"
)
#: What a command lacks in an empty folder.
MISSING = "no such|DIR|not found|has no|holds no model|TF_CONFIG: is not set"


def page_name(path):
    return str(path.relative_to(ROOT))


def blocks(path, language):
    return [code for kind, code in BLOCK.findall(path.read_text("utf-8")) if kind == language]


def shell_lines(path):
    text = "\n".join(blocks(path, "sh")).replace("\\\n", " ")
    return [line.partition(" #")[0].strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_link_to_a_file_leads_to_one(path):
    links = LINK.findall(BLOCK.sub("", path.read_text("utf-8")))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    tutorials = "tutorials/"  # copies of the notebooks, which `make docs` makes
    files = [
        ROOT / "notebooks" / link.removeprefix(tutorials)
        if link.startswith(tutorials)
        else path.parent / link
        for link in local
    ]
    assert [str(file) for file in files if not file.exists()] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 120


def test_every_make_target_that_pages_name_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    named = {
        name
        for path in PAGES
        for name in re.findall(r"(?:^|`)make ([a-z][\w-]*)", path.read_text("utf-8"), re.MULTILINE)
    }
    assert {"reproduce", "test", "docs"} <= named <= targets


def commands():
    found = {}
    for path in PAGES:
        if path.name == "CHANGELOG.md":
            continue
        for line in shell_lines(path):
            if match := COMMAND.match(line):
                found.setdefault(line, (match[1], match[2]))
    return found


def run(module, words):
    """Runs a module as a command; returns its exit code and what it printed as an error."""
    errors, before = io.StringIO(), sys.argv
    sys.argv = [module, *words]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code, errors.getvalue()
    finally:
        sys.argv = before
    return 0, errors.getvalue()


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_pages_is_understood(line, tmp_path, monkeypatch):
    """Beside a model of one's own only: what needs data misses them, and no flag is unknown."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_module.py").write_text("".join(blocks(ROOT / "docs/extend.md", "python")))
    module, words = commands()[line]
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    words = shlex.split(os.path.expandvars(words))
    if module in ("benchmarks", "notebooks", "experiments.results", "experiments.audit"):
        words = ["--help"]  # they work on the checkout itself, or take long
    elif module in ("experiments.table_3d", "experiments.table_multiclass") and not words:
        words = ["--dry-run"]  # on generated volumes
    elif "phantom" in line or module == "experiments.reproduce":
        words += ["--dry-run"] if "table" in module else ["--help"]
    elif module.startswith("experiments.figure") and "--data" not in words:
        words += ["--help"]
    code, message = run(module, words)
    assert "unrecognized" not in message
    assert "invalid" not in message
    if code:
        assert re.search(MISSING, message), message


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["README.md", "docs/multiclass.md", "docs/python.md", "docs/volumes.md"]
)
def test_the_python_code_of_the_pages_runs(name, tmp_path, monkeypatch):
    """With one epoch of small networks on a few images, and without downloads."""
    monkeypatch.chdir(tmp_path)
    from sharpunet import unet

    code = "\n".join(blocks(ROOT / name, "python"))
    code = re.sub(r"epochs=\d+", "epochs=1", code).replace('weights="imagenet"', "weights=None")
    code = re.sub(r"\(256, 256, 3\)", "(32, 32, 3)", code).replace(
        "filters=(16, 8)", "filters=(2, 2)"
    )
    code = re.sub(r"(ids\(split=\S+\))", r"\1[::8]", code)
    exec(compile(code, name, "exec"), {"your_model": unet((32, 32, 3), filters=(2, 2, 2))})


@pytest.mark.slow
def test_the_wheel_has_everything_and_runs_without_the_checkout(tmp_path):
    """Built, installed beside no sources, and told to run the README's five lines."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    local = ["--no-deps", "--no-build-isolation"]
    source = tmp_path / "source"
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "melanet", "sharpunet", "setup.py", "README.md"],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    packed = tmp_path / "source.tar"
    with tarfile.open(packed, "w") as tar:
        for name in filter(None, archive.stdout.split("\0")):
            tar.add(ROOT / name, name)
    with tarfile.open(packed) as tar:
        tar.extractall(source, filter="data")
    subprocess.run([*pip, "wheel", *local, "-w", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        str(path.relative_to(source))
        for package in ("melanet", "sharpunet")
        for path in (source / package).rglob("*")
        if path.is_file()
    }
    assert expected <= inside
    site = tmp_path / "site"
    subprocess.run([*pip, "install", *local, "--target", str(site), str(wheel)], check=True)
    (five_lines,) = blocks(ROOT / "README.md", "python")
    code = five_lines.replace("epochs=15", "epochs=1")
    code += f"\nimport sharpunet\nassert sharpunet.__file__.startswith({str(site)!r})"
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env={"PYTHONPATH": str(site)}
    )
