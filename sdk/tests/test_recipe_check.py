"""What is cheap to check is checked before any data is read, all of it at once."""

import pytest
import torch

from edgestill.errors import EdgestillError, MissingExtraError, ModelError
from edgestill.extras import EXTRAS, require
from edgestill.locks import exclusive
from edgestill.models import create_model
from edgestill.recipe import load_recipe
from edgestill.recipe_check import check_recipe
from edgestill.workflow.graph import ends_of_training, make
from edgestill.workflow.plan import prepare
from edgestill.workflow.run import run, train_students
from edgestill.workflow.stage import Context
from edgestill.workflow.store import Store

WRONG = """
name = "wrong"
[data]
source = "no-such-source"
[teacher]
model = "resnet9"
checkpoint = "teacher.pt"
[[teacher.team]]
model = "timm:resnet_18"
checkpoint = "none.pt"
[student]
model = "dscnn_z"
"""


def recipe(tmp_path, text):
    (tmp_path / "r.toml").write_text(text)
    return load_recipe(tmp_path / "r.toml")


def test_everything_that_is_wrong_is_said_before_the_data_is_read(tmp_path):
    (tmp_path / "teacher.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    for begin in (
        lambda made: train_students(made, tmp_path / "run"),
        lambda made: run(made, tmp_path / "run"),
    ):
        with pytest.raises(EdgestillError) as caught:
            begin(recipe(tmp_path, WRONG))
        said = str(caught.value).splitlines()
        assert len(said) == 5
        for words in (
            "unknown model 'dscnn_z'", "unknown model 'resnet9'", "Git LFS pointer", "timm has no model 'resnet_18'",
            "none.pt cannot be read: no such file",
        ):  # fmt: skip
            assert sum(words in line for line in said) == 1
        assert "no-such-source" not in str(caught.value)


def test_one_mistake_keeps_its_own_kind(tmp_path):
    with pytest.raises(EdgestillError, match="unknown model 'dscnn_z'; did you mean"):
        check_recipe(recipe(tmp_path, 'name = "x"\n[student]\nmodel = "dscnn_z"\n'))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_checkpoints_classes_are_held_against_a_folders_before_an_image_is_read(tmp_path, channels):
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "data" / name / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    text = f"""
name = "x"
[data]
source = "image-folder:{tmp_path}/data"
[teacher]
model = "dscnn_xs"
checkpoint = "t.pt"
"""
    for classes in (2, 3):
        torch.save(create_model("dscnn_xs", classes, channels).state_dict(), tmp_path / "t.pt")
        if classes == 2:
            refused = pytest.raises(EdgestillError, match="image")  # it fits, so that the images were read
        else:
            refused = pytest.raises(ModelError, match="Its head has 3 classes, and 2 are needed")
        with refused:
            prepare(recipe(tmp_path, text))
    with pytest.raises(ModelError, match="holds no moving average"):
        prepare(recipe(tmp_path, f'{text}weights = "ema"\n'))


def test_layers_are_looked_for_first(tmp_path):
    text = """
name = "x"
[data]
source = "no-such-source"
[distillation]
objective = { kind = "fitnets", layers = [["block.3", "stage.1"]] }
"""
    with pytest.raises(EdgestillError) as caught:
        check_recipe(recipe(tmp_path, text))
    assert "the student has no layer 'block.3'; did you mean 'blocks.3'" in str(caught.value)
    assert "the teacher has no layer 'stage.1'; did you mean 'stages.1'" in str(caught.value)


def test_a_package_that_is_needed_at_the_end_is_missed_at_the_beginning(tmp_path, monkeypatch):
    monkeypatch.setitem(EXTRAS, "convert", ("make files", ("no_such_exporter",)))
    with pytest.raises(MissingExtraError, match=r"no_such_exporter is not installed.*edgestill\[convert\]"):
        require("convert")
    with pytest.raises(MissingExtraError, match="no_such_exporter"):
        run(recipe(tmp_path, 'name = "x"\n[data]\nsource = "no-such-source"\n'), tmp_path / "run")


def test_an_output_folder_that_cannot_be_written_is_said_first(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgestillError, match="could not write to"):
        run(recipe(tmp_path, 'name = "x"\n[data]\nsource = "no-such-source"\n'), tmp_path / "file" / "run")


def test_two_runs_in_one_folder_are_refused(tmp_path):
    with exclusive(tmp_path / "run"), pytest.raises(EdgestillError, match="is in use by another edgestill"):
        run(recipe(tmp_path, 'name = "x"\n'), tmp_path / "run")


def test_a_given_teacher_that_only_guesses_stops_the_run_before_anything_is_trained(tmp_path):
    torch.save(create_model("dscnn_xs", 10).state_dict(), tmp_path / "t.pt")
    text = 'name = "x"\n[data]\ncalibration = 8\n[teacher]\nmodel = "dscnn_xs"\ncheckpoint = "t.pt"\n{}\n'
    with pytest.raises(EdgestillError, match="the teacher dscnn_xs reaches accuracy .* guessing "):
        train_students(recipe(tmp_path, text.format("")), tmp_path / "run")
    assert not list((tmp_path / "run").rglob("model.safetensors"))
    plan = prepare(recipe(tmp_path, text.format("check = false")))
    assert "teacher-check" not in ends_of_training(plan.recipe)
    made = make(plan, Store(tmp_path / "run/stages"), Context(), ["teacher-outputs"])
    assert made.keys() == {"teacher", "teacher-outputs"}


@pytest.mark.parametrize("method", ["self", "generations"])
def test_layers_of_a_student_that_teaches_itself_are_the_students(tmp_path, method):
    text = """
name = "x"
[distillation]
method = "{}"
objective = {{ kind = "fitnets", layers = [["blocks.2", "{}"]] }}
"""
    check_recipe(recipe(tmp_path, text.format(method, "blocks.3")))
    with pytest.raises(EdgestillError, match="has no layer 'stages.1'"):
        check_recipe(recipe(tmp_path, text.format(method, "stages.1")))
