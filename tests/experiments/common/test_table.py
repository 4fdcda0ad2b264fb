import dataclasses

import pytest

from experiments.common.cli import EarlyExit
from experiments.common.records import checkpoint_path, write_record
from experiments.common.table import Trial, run_trials, take_shard


@dataclasses.dataclass(frozen=True)
class NamedTrial(Trial):
    """A trial that only writes its record."""

    name: str
    artifacts: tuple[str, ...] = ()
    record_fields = ()

    @property
    def key(self):
        return self.name

    @property
    def title(self):
        return self.name.rpartition("-")[0]

    config = key

    @property
    def shared_artifacts(self):
        return self.artifacts

    def train_and_test(self, out):
        return {}

    def run(self, out):  # without what is trained on
        write_record(self.record_path(out), {"key": self.key})


TRIALS = [
    NamedTrial("plain-0"), NamedTrial("own-0", ("gan-a",)),
    NamedTrial("both-0", ("gan-a", "gan-b")), NamedTrial("plain-1"),
    NamedTrial("own-1", ("gan-c",)), NamedTrial("other-0", ("gan-b",)), NamedTrial("plain-2"),
]  # fmt: skip


@pytest.mark.parametrize("count", range(1, 9))
def test_shards_run_every_trial_once_and_train_no_cyclegan_twice(count):
    shards = [take_shard(TRIALS, (number, count)) for number in range(1, count + 1)]
    keys = [trial.key for shard in shards for trial in shard]
    assert sorted(keys) == sorted(trial.key for trial in TRIALS)
    artifacts = [{name for trial in shard for name in trial.artifacts} for shard in shards]
    assert sum(map(len, artifacts)) == len(set.union(*artifacts)) == 3


def test_the_last_shard_to_finish_returns_all_records(tmp_path, capsys):
    with pytest.raises(EarlyExit):
        run_trials(TRIALS, tmp_path, (1, 2))
    missing = len(TRIALS) - len(take_shard(TRIALS, (1, 2)))
    assert (
        f"shard 1/2 is done; {missing} trials of other shards are not yet"
        in capsys.readouterr().out
    )
    records = run_trials(TRIALS, tmp_path, (2, 2))
    assert [record["key"] for record in records] == [trial.key for trial in TRIALS]


def test_records_of_other_settings_are_counted_and_not_used(tmp_path, capsys):
    stale = NamedTrial("x-r0-aaaaaaaa")
    run_trials([stale], tmp_path)
    [record] = run_trials([NamedTrial("x-r0-bbbbbbbb")], tmp_path)
    assert record["key"] == "x-r0-bbbbbbbb"
    assert "1 records are of other settings, data, models or code" in capsys.readouterr().out


def test_a_checkpoint_left_by_a_finished_trial_is_removed(tmp_path):
    run_trials(TRIALS[:1], tmp_path)
    left = checkpoint_path(tmp_path, TRIALS[0].key)
    unfinished = checkpoint_path(tmp_path, "another-trial")
    left.parent.mkdir()
    left.touch()
    unfinished.touch()
    run_trials(TRIALS[:1], tmp_path)
    assert not left.exists()
    assert unfinished.exists()
