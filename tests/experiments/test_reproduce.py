import pytest

from experiments import reproduce


@pytest.mark.slow
def test_one_page_shows_both_chapters(tmp_path, monkeypatch, capsys):
    small = ["--epochs", "1", "--repeats", "1", "--precision", "float32"]
    segmentation = [*small, "--folds", "2", "--image-size", "16", "16"]
    classification = [*reproduce.CLASSIFICATION_OPTIONS, *small, "--gan-epochs", "1"]
    classification += ["--image-size", "32", "32"]
    monkeypatch.setattr(reproduce, "SEGMENTATION_OPTIONS", segmentation)
    monkeypatch.setattr(reproduce, "CLASSIFICATION_OPTIONS", classification)
    out = tmp_path / "out"
    assert reproduce.main(["--out", str(out), "--prepared", str(tmp_path / "prepared")]) == 0
    page = (out / "index.html").read_text()
    for title in (reproduce.SEGMENTATION.title, reproduce.CLASSIFICATION.title):
        assert f">{title}</h2>" in page
    found = page.partition('id="found"')[2].partition("</section>")[0]
    assert found.count("<li>Phantom: ") >= 3  # sharp or plain, ranking, sensitivity
    assert (out / "report.tex").is_file()
    assert "first filters 16 and 16" in page
    assert (out / "segmentation" / "table.csv").is_file()
    assert (out / "classification" / "table.csv").is_file()
    assert f"Open {out / 'index.html'}" in capsys.readouterr().out
