from dataclasses import asdict

import pytest

from edgestill.errors import RecipeError
from edgestill.file_kinds import no_toml
from edgestill.recipe import Recipe, load_recipe
from edgestill.recipe_errors import fields_of
from edgestill.schedule import Schedule
from edgestill.workflow.sweep_plan import read_points

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
        (("epochs = 5", "epochs = 0"), "line 13: training: epochs must be at least 1, not 0"),
        (("epochs = 5", "warmup_epochs = -1"), "line 13: training: warmup_epochs must be at least 0, not -1"),
        (('"flip"', '"mixup:-1"'), "line 3: mixup must be 0 or more, and finite, not -1.0"),
        (('"flip"', '"cutout:-2"'), "line 3: cutout must be 0 or more, and finite, not -2"),
        (("epochs = 5", "epochs = true"), "line 13: training.epochs = true: it must be a whole number"),
        (('[1, "all"]', "[true]"), "line 20: measure.threads[0] = true: it must be a whole number at least 1 or 'all'"),
        (("[measure]", '[student]\nmodel = ""\n[measure]'), "student.model = '': it must be text that is not empty"),
        (("views = 3", "views = 0"), "line 14: training.views must be at least 1"),
        (("epochs = 5", 'epochs = "five"'), "line 13: training.epochs = 'five'"),
        (("seed = 7", "seed = -1"), "line 2: seed = -1"),
        (
            ("seed = 7", f"seed = {10**20}"),
            "line 2: seed = 100000000000000000000: it must be a whole number at least 0",
        ),
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


def test_what_the_system_refuses_has_a_reason_even_where_it_gives_no_words(tmp_path):
    path = tmp_path / "r.toml"
    assert no_toml(path, OSError(13, "Permission denied")) == f"{path} cannot be read: Permission denied"
    assert no_toml(path, OSError("the tape is torn")) == f"{path} cannot be read: the tape is torn"
    assert no_toml(path, OSError()) == f"{path} cannot be read: OSError"


TABLES = {
    "": "",
    "data": "[data]",
    "teacher": '[teacher]\ncheckpoint = "x"',
    "teacher.training": "[teacher.training]",
    "teacher.team": '[[teacher.team]]\nmodel = "resnet8"\ncheckpoint = "a"\n[[teacher.team]]',
    "student": "[student]",
    "training": "[training]",
    "distillation": "[distillation]",
    "conversion": "[conversion]",
    "conversion.qat": "[conversion.qat]",
    "measure": "[measure]",
}
JARGON = (
    "pydantic",
    "dataclass",
    "function-",
    "Input should",
    "validation error",
    "literal[",
    "constrained",
    "ArgsKwargs",
    "{}'",
)


def keys_of(table):
    level = Recipe
    for name in filter(None, table.split(".")):
        level = fields_of(level)[name].annotation
    return {name: field.annotation for name, field in fields_of(level).items()}


def said_of(tmp_path, table, line, name='name = "x"'):
    """The message about a recipe whose `table` has a `line`, and the number of that line."""
    head = TABLES[table].replace('checkpoint = "x"', "") if line.startswith("checkpoint") else TABLES[table]
    text = f"{name}\n{head}\n{line}\n" if table else f"{line}\n{name}\n"
    path = recipe(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    return str(caught.value), text.splitlines().index(line) + 1


@pytest.mark.parametrize("table", TABLES)
def test_an_unknown_key_of_any_table_is_one_line_with_the_valid_ones(tmp_path, table):
    said, number = said_of(tmp_path, table, "zzzz = 1")
    first = next(line for line in said.splitlines() if f"line {number}: unknown key 'zzzz'" in line)
    assert not any(word in said for word in JARGON)
    assert "valid: " in first and all(key in first for key in keys_of(table) if key != "quick")
    near = next(key for key in keys_of(table) if len(key) > 4)
    said, _ = said_of(tmp_path, table, f"{near}x = 1")
    assert f"did you mean {near!r}?" in said


EVERY = [
    (table, key)
    for table in TABLES
    for key, annotation in keys_of(table).items()
    if key not in ("quick", "name") and not fields_of(annotation)
]


@pytest.mark.parametrize(("table", "key"), EVERY)
@pytest.mark.parametrize("value", ["{ a = 1 }", "[[]]", "1979-05-27", "[0, {}]", "-1", "nan"])
def test_a_wrong_value_of_any_key_is_one_line_that_says_what_it_must_be(tmp_path, table, key, value):
    if key in ("objective", "task_options") and value in ("{ a = 1 }",):
        return  # which has messages of its own, and any table may be one
    said, number = said_of(tmp_path, table, f"{key} = {value}")
    lines = [line for line in said.splitlines() if f"line {number}:" in line]
    assert len(lines) == 1 and key in lines[0] and not any(word in said for word in JARGON), said
    assert len(said.splitlines()) <= 3  # what the table lacks beside


@pytest.mark.parametrize(
    ("line", "table", "said"),
    [
        ("threads = [0]", "measure", "measure.threads[0] = 0: it must be a whole number at least 1 or 'all'"),
        ('threads = [1, "most"]', "measure", "measure.threads[1] = 'most': it must be a whole number"),
        ("threads = []", "measure", "measure.threads = []: it must be a list of at least 1"),
        ('method = "teach"', "distillation", "it must be one of teacher, self, generations, together, alone"),
        ("validation = 0.7", "data", "data.validation = 0.7: it must be a number above 0 and at most 0.5"),
        ("learning_rate = -1.0", "training", "learning_rate must be above 0"),
        ("peers = [3]", "distillation", "distillation.peers[0] = 3: it must be text"),
        ('live = "perhaps"', "distillation", "distillation.live = 'perhaps': it must be true or false"),
        ('mean = [0.5, "x"]', "data", "data.mean[1] = 'x': it must be a number"),
        ("mean = [0.5]", "data", "data: mean and std belong together, 3 values (RGB) each, or 1 for all"),
        ("std = [0.5]", "teacher", "teacher: mean and std belong together"),
        ("seconds = 0.01", "data", "data.seconds = 0.01: it must be a number at least 0.032 and at most 3600"),
        ("image_size = 0", "teacher.team", "teacher.team[1].image_size = 0: it must be a whole number at least 1"),
    ],
)
def test_what_a_value_must_be(tmp_path, line, table, said):
    message, number = said_of(tmp_path, table, line)
    assert any(said in one and f"line {number}:" in one for one in message.splitlines()), message


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        ('{ kind = "hinton-kd", temperature = "x" }', "temperature must be a number, not 'x'"),
        ('{ kind = "hinton-kd", standardize = 1 }', "standardize must be true or false, not 1"),
        ('{ kind = "hinton-kd", temperature = [1] }', "temperature must be a number, not [1]"),
        ('{ kind = "fitnets", layers = 3 }', "objective 'fitnets' does not take layers = 3"),
        ('{ kind = "fitnets" }', "layers"),
        ('{ kind = ["dkd"] }', "unknown objective ['dkd']"),
        ("{ a = 1 }", "objective has no kind; valid: attention-transfer"),
        ("[]", "objective is empty"),
        ("3", "distillation.objective = 3: it must be a table or a list of tables"),
        ('[{ kind = "dkd", weight = nan }]', "weight is a number ≥ 0, not nan"),
    ],
)
def test_objectives_say_what_they_need(tmp_path, objective, said):
    message, number = said_of(tmp_path, "distillation", f"objective = {objective}")
    assert said in message and f"line {number}:" in message and len(message.splitlines()) == 1, message


def test_a_teachers_pixels_belong_to_a_checkpoint(tmp_path):
    member = '[[teacher.team]]\nmodel = "resnet8"\ncheckpoint = "x"\nmean = [1, 2, 3]\nstd = [1]\n'
    with pytest.raises(RecipeError, match=r"teacher.team\[0\]: mean and std belong together, .* not 3 and 1"):
        load_recipe(recipe(tmp_path, f'name = "x"\n{member}'))
    with pytest.raises(RecipeError, match="line 3: teacher: mean, std are for a teacher with a checkpoint"):
        load_recipe(recipe(tmp_path, 'name = "x"\n[teacher]\nmean = [0.5]\nstd = [0.5]\n'))


def test_a_recipe_that_cannot_be_read(tmp_path):
    with pytest.raises(RecipeError, match="No such file"):
        load_recipe(tmp_path / "nothing.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(RecipeError, match="latin.toml is not text in UTF-8, as TOML is"):
        load_recipe(tmp_path / "latin.toml")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(RecipeError, match="photo.png is an image, and TOML is wanted, a text file"):
        load_recipe(tmp_path / "photo.png")
    with pytest.raises(RecipeError, match="is a folder, and TOML is wanted"):
        load_recipe(tmp_path)
    (tmp_path / "x.toml").write_text('{"name": "x"}')
    with pytest.raises(RecipeError, match="is JSON text, and TOML is wanted"):
        load_recipe(tmp_path / "x.toml")
    with pytest.raises(RecipeError, match="the file of points .*photo.png is an image"):
        read_points(tmp_path / "photo.png")


def test_the_recipes_of_the_repository_are_valid(root):
    recipes = sorted((root / "recipes").glob("*.toml"))
    assert {path.stem for path in recipes} >= {"demo", "fashion-mnist"}
    for path in recipes:
        read = load_recipe(path)
        assert read.teacher.checkpoint is None or read.teacher.checkpoint.is_file()
