"""A stage is made once for its inputs, in a folder of its own, and found again."""

from dataclasses import dataclass, replace

import pytest

from edgestill.workflow.stage import Context, Stage
from edgestill.workflow.store import NotMadeError, Store


class Notes:
    """Keeps messages."""

    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)


@dataclass(frozen=True)
class Inputs:
    a: int = 1


def step(calls, content="made"):
    def write(inputs, folder, context):
        calls.append(folder.name)
        (folder / "out.txt").write_text(content)

    return Stage("one", Inputs, write)


def run(store, stage, a=1, notes=None):
    return store.run(stage, Inputs(a), Context(notes or Notes()))


def test_a_finished_stage_is_reused_and_says_so(tmp_path):
    calls, notes = [], Notes()
    first = run(Store(tmp_path), step(calls), notes=notes)
    again = run(Store(tmp_path), step(calls), notes=notes)
    assert calls == ["one"] and notes.said == ["one: reused"]
    assert (first.reused, again.reused) == (False, True) and first.key == again.key


def test_other_inputs_start_in_an_empty_folder(tmp_path):
    calls = []
    run(Store(tmp_path), step(calls))
    (tmp_path / "one" / "left-over").write_text("of the first")
    other = run(Store(tmp_path), step(calls), a=2)
    assert calls == ["one", "one"] and not (other.folder / "left-over").exists()


def test_a_pool_keeps_stages_of_other_inputs_beside_each_other(tmp_path):
    calls = []
    found = [run(Store(tmp_path, pooled=True), step(calls), a) for a in (1, 2, 1)]
    assert [one.reused for one in found] == [False, False, True]
    assert found[0].folder == found[2].folder != found[1].folder and found[0].folder.name.startswith("one-")


def test_another_stage_under_the_same_name_does_not_take_its_files(tmp_path):
    """A teacher that is trained and one that is read share a folder, and never a key."""

    @dataclass(frozen=True)
    class Others:
        a: int = 1

    calls = []
    run(Store(tmp_path), step(calls))
    other = replace(step(calls), inputs=Others)
    assert not Store(tmp_path).run(other, Others(), Context(Notes())).reused


def test_inputs_of_another_stage_are_refused(tmp_path):
    with pytest.raises(TypeError, match="stage one is handed Inputs, not dict"):
        Store(tmp_path).run(step([]), {"a": 1}, Context())


def test_a_stage_that_is_looked_for_is_not_made(tmp_path):
    calls = []
    for a in (1, 2):
        with pytest.raises(NotMadeError):
            run(Store(tmp_path, look=True), step(calls), a)
        assert calls == [] or (tmp_path / "one/out.txt").exists()
        run(Store(tmp_path), step(calls))
        assert run(Store(tmp_path, look=True), step(calls)).reused
    assert calls == ["one"]


def test_force_makes_it_again(tmp_path):
    calls = []
    run(Store(tmp_path), step(calls))
    assert not run(Store(tmp_path, force=True), step(calls)).reused
    assert len(calls) == 2


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("mad")])
def test_outputs_that_are_gone_or_changed_are_made_again(tmp_path, damage):
    calls = []
    stage = run(Store(tmp_path), step(calls))
    damage(stage.folder / "out.txt")
    assert not run(Store(tmp_path), step(calls)).reused
    assert (stage.folder / "out.txt").read_text() == "made"


def test_a_stage_that_was_interrupted_finds_what_it_had_written(tmp_path):
    def interrupted(inputs, folder, context):
        (folder / "state").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Store(tmp_path), Stage("one", Inputs, interrupted))
    found = []
    goes_on = Stage("one", Inputs, lambda inputs, folder, context: found.append((folder / "state").read_text()))
    stage = run(Store(tmp_path), goes_on)
    assert found == ["half"] and not stage.reused


def test_what_a_training_goes_on_from_is_gone_at_the_end(tmp_path):
    def train(inputs, folder, context):
        (folder / "generation-1").mkdir()
        for place in (folder, folder / "generation-1"):
            (place / "state.safetensors").write_bytes(b"large")

    run(Store(tmp_path), Stage("one", Inputs, train))
    assert not list(tmp_path.rglob("state.safetensors"))


@pytest.mark.parametrize("content", ["", "[]", '{"key": 3', "\x00"])
def test_a_damaged_mark_counts_as_not_finished(tmp_path, content):
    calls = []
    run(Store(tmp_path), step(calls))
    (tmp_path / "one" / "stage.json").write_text(content)
    assert not run(Store(tmp_path), step(calls)).reused
    assert len(calls) == 2
