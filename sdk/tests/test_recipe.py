from dataclasses import asdict

import pytest

from edgestill.errors import RecipeError
from edgestill.recipe import load_recipe
from edgestill.schedule import Schedule

GOOD = """\
name = "shirts"
seed = 7
augmentation = ["flip", "shift:1"]

[data]
source = "fashion-mnist-mini"

[teacher]
model = "resnet8"
checkpoint = "weights/teacher.safetensors"

[training]
epochs = 5
views = 3

[distillation]
objective = { kind = "hinton-kd", temperature = 2.0 }

[measure]
threads = [1, "all"]
"""


def recipe(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_is_read_and_completed_with_defaults(tmp_path):
    read = load_recipe(recipe(tmp_path, GOOD))
    assert (read.name, read.seed, read.data.validation) == ("shirts", 7, 0.1)
    assert isinstance(read.training, Schedule) and asdict(read.training) == asdict(Schedule(epochs=5, views=3))
    assert read.objective().temperature == 2.0
    assert read.teacher.checkpoint == tmp_path / "weights" / "teacher.safetensors"
    assert read.measure.threads == (1, "all")


def test_a_shortened_recipe_says_so_and_keeps_the_rest(tmp_path):
    short = load_recipe(recipe(tmp_path, GOOD)).shortened()
    assert short.quick and short.name == "shirts-quick" and short.training.epochs == 2
    assert short.student == load_recipe(recipe(tmp_path, GOOD)).student


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("epochs = 5", "epoch = 5"), "line 13: unknown key 'epoch' under [training]; did you mean 'epochs'?"),
        (("seed = 7", "sead = 7"), "line 2: unknown key 'sead'; did you mean 'seed'?"),
        (("[measure]", "[mesure]"), "line 19: unknown key 'mesure'; did you mean 'measure'?"),
        (("source =", "sorce ="), "line 6: unknown key 'sorce' under [data]; did you mean 'source'?"),
        (("source =", "epochs ="), "line 6: unknown key 'epochs' under [data]; it belongs under [training]"),
        (("source =", "name ="), "line 6: unknown key 'name' under [data]; it belongs at the top"),
        (("seed = 7", "model = 7"), "line 2: unknown key 'model'; it belongs under [teacher] or under [student]"),
        (("epochs = 5", "epochs = 0"), "epochs ≥ 1"),
        (("views = 3", "views = 0"), "line 14: training.views must be at least 1"),
        (("epochs = 5", 'epochs = "five"'), "line 13: training.epochs = 'five'"),
        (("seed = 7", "seed = -1"), "line 2: seed = -1"),
        (('name = "shirts"', 'name = "../up"'), "line 1: name = '../up'"),
        (('name = "shirts"\n', ""), "name is missing"),
        (("hinton-kd", "hinton"), "line 17: unknown objective 'hinton'; did you mean 'hinton-kd'?"),
        (("temperature", "temprature"), "line 17: objective 'hinton-kd' has no argument 'temprature'"),
        (('"flip"', '"flop"'), "line 3: unknown augmentation 'flop'; did you mean 'flip'?"),
        (('[1, "all"]', "[0]"), "line 20: measure.threads"),
        (("[data]", "[data"), "is not valid TOML"),
    ],
)
def test_mistakes_are_named_with_file_line_and_nearest_key(tmp_path, change, said):
    path = recipe(tmp_path, GOOD.replace(*change))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_recipe_that_cannot_be_read(tmp_path):
    with pytest.raises(RecipeError, match="No such file"):
        load_recipe(tmp_path / "nothing.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(RecipeError, match="not UTF-8"):
        load_recipe(tmp_path / "latin.toml")


def test_the_recipes_of_the_repository_are_valid(root):
    recipes = sorted((root / "recipes").glob("*.toml"))
    assert {path.stem for path in recipes} >= {"demo", "fashion-mnist"}
    for path in recipes:
        read = load_recipe(path)
        assert read.teacher.checkpoint is None or read.teacher.checkpoint.is_file()
