import argparse
import dataclasses

import pytest

from experiments.sweep import Finished, run_sweep, shard_of, take_shard
from experiments.trial import write_record


@dataclasses.dataclass(frozen=True)
class Named:
    """A trial that only writes its record."""

    key: str
    makes: tuple[str, ...] = ()
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
    makers = [{name for trial in shard for name in trial.makes} for shard in shards]
    assert sum(map(len, makers)) == len(set.union(*makers)) == 3


def test_the_last_shard_to_end_reports(tmp_path, capsys):
    with pytest.raises(Finished):
        run_sweep(TRIALS, tmp_path, (1, 2))
    done = len(take_shard(TRIALS, (1, 2)))
    told = capsys.readouterr().out
    assert f"shard 1/2 is done; {len(TRIALS) - done} trials of other shards are not yet" in told
    records = run_sweep(TRIALS, tmp_path, (2, 2))
    assert [record["key"] for record in records] == [trial.key for trial in TRIALS]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "-1/2", "1/0", "1/2/3"])
def test_an_impossible_shard_is_named(text):
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        shard_of(text)
    assert shard_of("2/3") == (2, 3)
