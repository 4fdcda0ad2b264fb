import argparse
import dataclasses
import warnings
from pathlib import Path

import pytest

from experiments.sweep import (
    EarlyExit,
    Parser,
    add_common_arguments,
    run_cli,
    run_sweep,
    shard_of,
    take_shard,
)
from experiments.trial import checkpoint_path, write_record


@dataclasses.dataclass(frozen=True)
class Named:
    """A trial that only writes its record."""

    key: str
    shared_artifacts: tuple[str, ...] = ()
    seed: int = 0

    def record_path(self, out):
        return out / "records" / f"{self.key}.json"

    def run(self, out):
        write_record(self.record_path(out), {"key": self.key})


TRIALS = [
    Named("plain-0"), Named("own-0", ("gan-a",)), Named("both-0", ("gan-a", "gan-b")),
    Named("plain-1"), Named("own-1", ("gan-c",)), Named("other-0", ("gan-b",)), Named("plain-2"),
]  # fmt: skip


@pytest.mark.parametrize("of", range(1, 9))
def test_shards_do_every_trial_once_and_make_no_cyclegan_twice(of):
    shards = [take_shard(TRIALS, (number, of)) for number in range(1, of + 1)]
    keys = [trial.key for shard in shards for trial in shard]
    assert sorted(keys) == sorted(trial.key for trial in TRIALS)
    makers = [{name for trial in shard for name in trial.shared_artifacts} for shard in shards]
    assert sum(map(len, makers)) == len(set.union(*makers)) == 3


def test_the_last_shard_to_end_reports(tmp_path, capsys):
    with pytest.raises(EarlyExit):
        run_sweep(TRIALS, tmp_path, (1, 2))
    done = len(take_shard(TRIALS, (1, 2)))
    config = capsys.readouterr().out
    assert f"shard 1/2 is done; {len(TRIALS) - done} trials of other shards are not yet" in config
    records = run_sweep(TRIALS, tmp_path, (2, 2))
    assert [record["key"] for record in records] == [trial.key for trial in TRIALS]


def test_what_a_killed_end_left_of_a_training_is_removed(tmp_path):
    run_sweep(TRIALS[:1], tmp_path)
    left = checkpoint_path(tmp_path, TRIALS[0].key)
    left.parent.mkdir()
    left.touch()
    others = checkpoint_path(tmp_path, "another-run")
    others.touch()
    run_sweep(TRIALS[:1], tmp_path)
    assert not left.exists()
    assert others.exists()


def test_ctrl_c_is_the_same_wherever_it_comes_from(capsys):
    def interrupted(error):
        def act():
            raise error

        return run_cli(act)

    assert interrupted(KeyboardInterrupt()) == 130
    assert (
        interrupted(RuntimeError("UnavailableError REPLACED BY KeyboardInterrupt: <EMPTY>")) == 130
    )
    assert capsys.readouterr().err.count("stopped; the same command goes on") == 2
    with pytest.raises(RuntimeError, match="another"):
        interrupted(RuntimeError("another"))


def test_a_warning_is_a_line(capsys):
    assert run_cli(lambda: warnings.warn("5 images found", stacklevel=1)) == 0
    assert capsys.readouterr().err == "warning: 5 images found\n"


def test_a_mistyped_argument_is_one_line(capsys):
    parser = Parser(prog="python -m experiments.table_0_0")
    add_common_arguments(parser, Path("results"))
    with pytest.raises(SystemExit) as stopped:
        parser.parse_args(["--batch-size", "0"])
    assert stopped.value.code == 2
    config = capsys.readouterr().err.splitlines()
    assert len(config) == 1
    assert config[0].startswith("error: argument --batch-size: 0 is not at least 1")
    assert config[0].endswith("see python -m experiments.table_0_0 --help")


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "-1/2", "1/0", "1/2/3"])
def test_an_impossible_shard_is_named(text):
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        shard_of(text)
    assert shard_of("2/3") == (2, 3)
