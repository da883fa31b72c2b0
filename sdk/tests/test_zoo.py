"""The zoo: every bundle in it is whole, small, and answers as recorded."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from edgestill import zoo
from edgestill.errors import EdgestillError
from edgestill_runtime import load, open_bundle, replay_golden

NAMES = [one.name for one in zoo.entries()]


def test_it_is_small_enough_to_ship():
    assert NAMES and sum(one.bytes for one in zoo.entries()) <= 3_000_000


@pytest.mark.parametrize("name", NAMES)
def test_each_answers_as_recorded(name):
    bundle = zoo.find(name)
    bundle.verify()
    assert {entry.precision for entry in bundle.manifest.models.values()} == {"int8"}
    assert all(0.5 < entry.quality["accuracy"] <= 1 for entry in bundle.manifest.models.values())
    assert all(replay.passed for replay in replay_golden(bundle))


def test_the_list_and_a_copy(cli, tmp_path):
    done = cli("zoo", "--json")
    listed = json.loads(done.stdout)
    assert [one["name"] for one in listed] == NAMES
    shown = cli("zoo").stdout
    assert all(name in shown for name in NAMES)
    target = tmp_path / "copy.edge"
    assert cli("zoo", NAMES[0], "--output", target).returncode == 0
    open_bundle(target).verify()
    again = cli("zoo", NAMES[0], "--output", target)
    assert again.returncode == 1 and "exists already" in again.stderr


def test_a_name_that_is_not_there(cli):
    with pytest.raises(EdgestillError, match=f"did you mean '{NAMES[0]}'"):
        zoo.find(NAMES[0][:-1])


@pytest.mark.skipif(
    not Path(os.environ.get("EDGESTILL_DATA", ""), "fsdd", "test.parquet").is_file(), reason="needs the recordings"
)
def test_spoken_digits_hears_recordings_as_it_was_trained():
    import pyarrow.parquet as pq

    def recordings(split, rows):
        table = pq.read_table(Path(os.environ["EDGESTILL_DATA"], "fsdd", f"{split}.parquet")).take(rows)
        return table["audio"].to_pylist(), np.array(table["label"])

    bundle = zoo.find("spoken-digits")
    assert bundle.manifest.processor is not None and bundle.manifest.processor.kind == "audio"
    # Golden sample 5 is what training saw of recording 303.
    (recording,), _ = recordings("train", [303])
    assert np.array_equal(bundle.manifest.processor.pixels(recording)[0], bundle.golden().inputs[0][5])
    words, labels = recordings("test", list(range(0, 300, 15)))
    with load(bundle, engine="litert") as model:
        assert [model.predict(word, 1)[0].label for word in words] == [str(label) for label in labels]
