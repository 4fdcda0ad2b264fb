"""The results page and the README's table are what their command writes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import results
from experiments.common.releases import read_release
from experiments.common.runs import read_runs
from melanet.data import InputError
from tests.experiments.example_records import (
    classification_record,
    folds_of,
    write_release,
    write_run,
)

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "results" / "published"
RUN = "run: python -m experiments.results"
SEGMENTATION = (
    "python -m experiments.table_3_1 --data DIR --datasets cvc_clinicdb --folds 4 --repeats 1"
)
MELANOMA = "python -m experiments.table_2_1 --data DIR --weights vgg16.h5 --repeats 2"


def test_the_page_and_the_readme_are_those_of_the_records():
    found = results.Results(read_runs(PUBLISHED))
    assert (ROOT / "docs/results.md").read_text(encoding="utf-8") == results.results_page(found), (
        RUN
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == results.fill_readme(ROOT / "README.md", found), RUN
    figure = (ROOT / "docs/results.svg").read_text(encoding="utf-8")
    assert f">{results.fingerprint(found)}<" in figure, RUN


def test_git_tracks_the_records_of_published_runs_and_nothing_else(tmp_path):
    shutil.copy(ROOT / ".gitignore", tmp_path)
    run, own = Path("results/published/cvc"), Path("results/table_3_1")
    kept = [
        run / "run.json", run / "records/a-1.json", run / "releases/g-1.json",
        Path("results/README.md"),
    ]  # fmt: skip
    other = [
        run / "predictions/a-1/x.png", run / "models/a-1.keras", run / "gans/a.json",
        run / "index.html", run / "releases/images/a.png", run / "records/.partial-a-1.json",
        run / "records/.a-1.json.lock",
        Path("results/published/x.png"), own / "records/a-1.json", own / "table.md",
    ]  # fmt: skip
    for path in (*kept, *other):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()

    def git(*words):
        done = subprocess.run(["git", *words], cwd=tmp_path, capture_output=True, check=True)
        return done.stdout.decode().split()

    git("init")
    found = git("ls-files", "--others", "--exclude-standard")
    assert sorted(found) == sorted([".gitignore", *map(str, kept)])


@pytest.fixture
def written(tmp_path):
    """Writes page and README from runs; returns their texts."""
    (tmp_path / "README.md").write_text(f"before\n{results.BEGIN}\nold\n{results.END}\nafter\n")

    def write():
        places = {name: str(tmp_path / name) for name in ("runs", "page.md", "README.md")}
        words = ["--runs", places["runs"], "--page", places["page.md"]]
        assert results.main([*words, "--readme", places["README.md"]]) == 0
        return [(tmp_path / name).read_text() for name in ("page.md", "README.md")]

    return write


def test_without_runs_the_page_names_the_earlier_results(written):
    page, readme = written()
    assert "## What to believe" not in page
    assert results.NO_RUNS in page
    assert "(earlier_results.md)" in page
    assert readme.startswith("before\n")
    assert readme.endswith("after\n")
    assert "old" not in readme


def test_a_run_is_a_section_and_says_what_to_believe(tmp_path, written):
    records = folds_of(0.1)
    reductions = ["96 × 128 pixels instead of 192 × 256."]
    write_run(tmp_path / "runs" / "cvc", records, commands=[SEGMENTATION], reductions=reductions)
    page, readme = written()
    beliefs = page.partition("## What to believe")[2].partition("## Runs")[0]
    claims = beliefs.partition("### What the thesis claims")[2]
    assert "1. **Sharp skip connections segment better" in claims
    assert "    - CVC-ClinicDB: the Jaccard" in claims
    assert "*Protocol thesis, 96 × 128, random weights, float32, 4 folds × 1.*" in claims
    assert "### What else one asks" not in beliefs  # nothing else was run
    assert "the Jaccard of Sharp U-Net is 10.50 points higher than that of U-Net" in beliefs
    assert "the thesis prints +5.87" in beliefs
    assert "than plain ones (section 3.3.5): supported.**" in beliefs
    assert "| CVC-ClinicDB | thesis | 70.02 ± 9.37 |" in page
    assert "](results.svg)" in beliefs
    assert "<svg" in (tmp_path / "page.svg").read_text()
    assert "unfinished" not in page.lower()
    assert reductions[0] in page
    assert "| 8 | 4.0 | A processor, 2 cores |" in page
    assert "better: supports" in page
    assert "| Jaccard higher: +10.50 (" in readme
    assert "| +5.87 | supports |" in readme


def test_what_never_left_a_constant_prediction_is_evidence_for_nothing(tmp_path, written):
    records = folds_of(0.1)
    for record in records:
        if record["model"] == "unet":
            record["best_constant"] = {"jaccard": 0.9, "dice": 0.95}
    write_run(tmp_path / "runs" / "cvc", records, commands=[SEGMENTATION])
    page, readme = written()
    assert "4 of 4 trainings of U-Net never left a constant prediction: leaves open" in page
    assert "| leaves open |" in readme
    assert "than plain ones (section 3.3.5): left open.**" in page


def test_an_unfinished_run_says_so(tmp_path, written):
    write_run(tmp_path / "runs" / "cvc", folds_of(0.1)[:-1], commands=[SEGMENTATION])
    page, readme = written()
    assert "**Unfinished: 7 of 8 trainings.** Missing: cvc_clinicdb-sharp_unet-r0-f3." in page
    assert "7 of 8, unfinished" in page
    assert "4 folds × 1, 3 of 4 so far" in readme


def test_a_run_without_a_record_yet_is_only_listed(tmp_path, written):
    write_run(tmp_path / "runs" / "cvc", [], commands=[SEGMENTATION])
    page, readme = written()
    assert "0 of 8, unfinished" in page
    assert "## What to believe" not in page
    assert results.NO_RUNS in readme


def test_protocols_are_compared_on_the_same_images(tmp_path, written):
    easy = [
        {**r, "scores": [{**s, "jaccard": s["jaccard"] + 0.05} for s in r["scores"]]}
        for r in folds_of(0.1)
    ]
    clean = f"{SEGMENTATION} --protocol clean"
    write_run(tmp_path / "runs" / "a", easy, commands=[SEGMENTATION])
    write_run(tmp_path / "runs" / "b", folds_of(0.1, protocol="clean"), commands=[clean])
    page, readme = written()
    section = page.partition("## What a protocol allows")[2]
    assert "U-Net under thesis less U-Net under clean | +5.00 (+5.00 to +5.00) over 16" in section
    assert section.count("| higher: yes |") == 2
    assert "**Splitting the images of a group flatters? Yes.**" in page
    assert readme.count("sharp skip connections") == 1  # of the thesis's protocol


def test_a_run_of_chapter_2_answers_the_table_s_questions(tmp_path, written):
    plain, found = [0.6] * 2 + [0.4] * 18 + [0.1] * 20, [0.9] * 16 + [0.4] * 4 + [0.6, *[0.1] * 19]
    records = [
        classification_record(condition, seed, scores)
        for seed in (0, 1)
        for condition, scores in (("vgg_gap", plain), ("melanet", found))
    ]
    write_run(tmp_path / "runs" / "isic", records, commands=[MELANOMA])
    page, readme = written()
    beliefs = page.partition("## What to believe")[2].partition("## Runs")[0]
    assert "the sensitivity of MelaNet is 70.00 points higher than that of VGG-GAP" in beliefs
    assert "the thesis prints +44.00" in beliefs
    assert "**MelaNet keeps the specificity? " in beliefs
    assert "few synthetic images" not in beliefs  # neither augmented condition is there
    assert "weights vgg16.h5, float32, 2 seeds" in readme
    assert "| MelaNet | thesis | 81.18 | 70.67 |" in page
    assert "Unfinished: 4 of 8" in page


def test_tests_of_anonymity_and_quality_are_verdicts_a_section_and_rows(tmp_path, written):
    run = write_run(tmp_path / "runs" / "isic", [], commands=[MELANOMA])
    write_release(run, hits=90, kid=(0.1, 0.01))
    page, readme = written()
    beliefs = page.partition("## What to believe")[2].partition("## Runs")[0]
    assert "*CycleGAN of 3 epochs, seed 0, 64 × 64, 100 translated images.*" in beliefs
    assert (
        "of its source: 90 of 100 by pixels (95% interval 80.0% to 95.0%, by chance 1.0%)"
        in beliefs
    )
    assert "1. **A synthetic image is attributed to no" in beliefs
    assert "translated 0.100 (0.080 to 0.120), their sources 0.500 (0.480 to 0.520)" in beliefs
    assert "nearer to the rare class than those that they were made from? Yes.**" in beliefs
    assert "| nearest is the own source patient | 90 of 100 |" in page
    assert "--source PREPARED --out DIR --encoder vgg_gap --weights vgg16.h5 --seed 0" in page
    assert readme.count("| ISIC-2016: CycleGAN of 3 epochs") == 1


@pytest.mark.parametrize(
    ("kid", "answer"),
    [((0.1, 0.01), "yes"), ((0.49, 0.01), "open"), ((0.9, 0.01), "no"), ((0.1, 0.3), "open")],
)
def test_kid_is_an_answer_only_beyond_both_standard_errors(kid, answer, tmp_path):
    release = read_release(write_release(tmp_path, hits=0, kid=kid))
    anonymous, closer = release.beliefs
    assert list(closer.answers) == [answer]
    assert list(anonymous.answers) == ["leaves open"]  # that no patient is found proves nothing


def test_a_release_that_names_a_path_is_refused(tmp_path):
    run = write_run(tmp_path / "isic", [], commands=[MELANOMA])
    write_release(run, hits=1, kid=(0.1, 0.1), encoder="/home/someone/vgg16.h5")
    with pytest.raises(InputError, match=r"gan-s0\.json: encoder names a path"):
        read_runs(tmp_path)


def test_a_readme_without_a_place_is_refused_before_anything_is_written(tmp_path, capsys):
    (tmp_path / "README.md").write_text("nothing\n")
    words = ["--runs", str(tmp_path), "--page", str(tmp_path / "page.md")]
    assert results.main([*words, "--readme", str(tmp_path / "README.md")]) == 2
    assert "README.md: has no lines" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_writing_the_page_needs_no_tensorflow(tmp_path):
    write_run(tmp_path / "cvc", folds_of(0.1), commands=[SEGMENTATION])
    write_run(
        tmp_path / "isic", [classification_record("vgg_gap", 0, [0.9, 0.1])], commands=[MELANOMA]
    )
    code = (
        "import sys; from pathlib import Path; from experiments.results import *; "
        "from experiments.common.runs import read_runs; "
        f"results_page(Results(read_runs(Path({str(tmp_path)!r})))); "
        "sys.exit('tensorflow' in sys.modules or 'matplotlib' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
