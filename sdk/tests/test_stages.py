import pytest

from edgestill.stages import NotMadeError, Stages


class Notes:
    """Keeps messages."""

    def __init__(self):
        self.said = []

    def message(self, text):
        self.said.append(text)


def make(calls, content="made"):
    def write(folder):
        calls.append(folder.name)
        (folder / "out.txt").write_text(content)

    return write


def test_a_finished_stage_is_reused_and_says_so(tmp_path):
    calls, notes = [], Notes()
    first = Stages(tmp_path, notes).run("one", {"a": 1}, make(calls))
    again = Stages(tmp_path, notes).run("one", {"a": 1}, make(calls))
    assert calls == ["one"] and notes.said == ["one: reused"]
    assert (first.reused, again.reused) == (False, True) and first.key == again.key


def test_other_inputs_start_in_an_empty_folder(tmp_path):
    calls = []
    Stages(tmp_path, Notes()).run("one", {"a": 1}, make(calls))
    (tmp_path / "one" / "left-over").write_text("of the first")
    other = Stages(tmp_path, Notes()).run("one", {"a": 2}, make(calls))
    assert calls == ["one", "one"] and not (other.folder / "left-over").exists()


def test_a_stage_that_is_looked_for_is_not_made(tmp_path):
    calls = []
    for inputs in ({"a": 1}, {"a": 2}):
        with pytest.raises(NotMadeError):
            Stages(tmp_path, Notes(), look=True).run("one", inputs, make(calls))
        assert calls == [] or (tmp_path / "one/out.txt").exists()
        Stages(tmp_path, Notes()).run("one", {"a": 1}, make(calls))
        assert Stages(tmp_path, Notes(), look=True).run("one", {"a": 1}, make(calls)).reused
    assert calls == ["one"]


def test_force_makes_it_again(tmp_path):
    calls = []
    Stages(tmp_path, Notes()).run("one", {}, make(calls))
    assert not Stages(tmp_path, Notes(), force=True).run("one", {}, make(calls)).reused
    assert len(calls) == 2


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("mad")])
def test_outputs_that_are_gone_or_changed_are_made_again(tmp_path, damage):
    calls = []
    stage = Stages(tmp_path, Notes()).run("one", {}, make(calls))
    damage(stage.folder / "out.txt")
    assert not Stages(tmp_path, Notes()).run("one", {}, make(calls)).reused
    assert (stage.folder / "out.txt").read_text() == "made"


def test_a_stage_that_was_interrupted_finds_what_it_had_written(tmp_path):
    def interrupted(folder):
        (folder / "state").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stages(tmp_path, Notes()).run("one", {}, interrupted)
    found = []
    stage = Stages(tmp_path, Notes()).run("one", {}, lambda folder: found.append((folder / "state").read_text()))
    assert found == ["half"] and not stage.reused


@pytest.mark.parametrize("content", ["", "[]", '{"key": 3', "\x00"])
def test_a_damaged_mark_counts_as_not_finished(tmp_path, content):
    calls = []
    Stages(tmp_path, Notes()).run("one", {}, make(calls))
    (tmp_path / "one" / "stage.json").write_text(content)
    assert not Stages(tmp_path, Notes()).run("one", {}, make(calls)).reused
    assert len(calls) == 2
