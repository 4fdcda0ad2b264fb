import json

import pytest

from experiments.common.runs import read_run, read_runs
from melanet.data import InputError
from tests.experiments.example_records import classification_record, folds_of, write_run

COMMAND = "python -m experiments.table_3_1 --data DIR --datasets cvc_clinicdb --folds 4 --repeats 1"
MELANOMA = (
    "python -m experiments.table_2_1 --data DIR --conditions vgg_gap melanet --repeats 2 --weights "
    "DIR/vgg16.h5"
)


def test_a_run_says_what_is_missing_and_how_long_it_took(tmp_path):
    write_run(tmp_path / "cvc", folds_of(0.1)[:-1], commands=[COMMAND])
    run = read_run(tmp_path / "cvc")
    [command] = run.commands
    assert command.missing == ["cvc_clinicdb-sharp_unet-r0-f3"]
    assert [record["fold"] for record in command.records] == [0, 0, 1, 1, 2, 2, 3]
    assert run.hours == 7 / 2
    assert run.machines == "A processor, 2 cores"


def test_a_cyclegan_that_several_trainings_use_took_its_time_once(tmp_path):
    gan = {"key": "gan", "seconds": 3600}
    records = [classification_record(c, 0, [0.9, 0.1]) for c in ("vgg_gap", "melanet")]
    write_run(tmp_path / "a", [{**r, "synthetic": [gan]} for r in records], commands=[MELANOMA])
    assert read_run(tmp_path / "a").hours == 2 / 2 + 1


def test_each_record_is_of_the_command_with_its_settings(tmp_path):
    records = [*folds_of(0.1), *folds_of(0.1, protocol="clean", count=3)]
    commands = [COMMAND, f"{COMMAND} --protocol clean"]
    write_run(tmp_path / "cvc", records, commands=commands)
    thesis, clean = read_run(tmp_path / "cvc").commands
    assert {record["protocol"] for record in thesis.records} == {"thesis"}
    assert (len(thesis.records), len(clean.records), len(clean.missing)) == (8, 6, 2)


def test_folders_without_a_run_file_are_left_out(tmp_path):
    (tmp_path / "running" / "records").mkdir(parents=True)
    write_run(tmp_path / "done", folds_of(0.1), commands=[COMMAND])
    assert [run.name for run in read_runs(tmp_path)] == ["done"]
    assert read_runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"batch_size": 16}, None),
        ({"epochs": 5}, r"is of none of the commands .*\(epochs is 5 and not 200\)"),
        ({"protocol": "released"}, "is of none of the commands"),
        ({"image_size": [32, 32]}, "is of none of the commands"),
        ({"model": "vnet", "key": "cvc_clinicdb-vnet-r0-f0-0"}, "is of none of the commands"),
        ({"weights": "imagenet.h5"}, "is of none of the commands"),
        ({"weights": "/home/me/vgg16.h5"}, "weights names a path of the machine"),
        ({"dataset": {"name": "cvc_clinicdb", "notes": "of /home/me/cvc"}}, "dataset.notes names"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_by_name(change, reason, tmp_path):
    record = {**folds_of(0.1)[0], **change}
    write_run(tmp_path / "cvc", [record], commands=[COMMAND])
    if reason is None:
        assert len(read_run(tmp_path / "cvc").records) == 1
        return
    with pytest.raises(InputError, match=rf"{record['key']}\.json: .*{reason}"):
        read_run(tmp_path / "cvc")


def test_two_records_of_one_training_are_refused(tmp_path):
    first = folds_of(0.1)[0]
    again = {**first, "key": f"{first['key']}2", "seed": 5}
    write_run(tmp_path / "cvc", [first, again], commands=[COMMAND])
    with pytest.raises(InputError, match="second record of its training"):
        read_run(tmp_path / "cvc")


@pytest.mark.parametrize(
    "said",
    [
        "{",
        json.dumps({"title": "t", "commands": [COMMAND]}),
        json.dumps({"title": "t", "commands": ["rm -r results"], "reductions": []}),
        json.dumps({"title": "t", "commands": [f"{COMMAND} --no-such"], "reductions": []}),
        json.dumps({"title": "t", "commands": [f"{COMMAND} --out /data/a"], "reductions": []}),
        json.dumps(
            {"title": "t", "commands": ["python -m experiments.audit -x"], "reductions": []}
        ),
    ],
)
def test_a_damaged_run_file_is_refused_by_name(said, tmp_path):
    (tmp_path / "cvc").mkdir()
    (tmp_path / "cvc" / "run.json").write_text(said)
    with pytest.raises(InputError, match=r"cvc/run\.json: "):
        read_run(tmp_path / "cvc")
