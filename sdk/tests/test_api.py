"""The public names: their table is up to date, and the same thing is asked for in the same way everywhere."""

import importlib
import inspect
from pathlib import Path

import pytest

import edgestill as es
from edgestill.models import create_model
from edgestill_runtime import load, open_bundle

ROOT = Path(__file__).parents[2]
PATHS = ("path", "output", "folder", "checkpoint", "cache", "log")
LEADING = {
    es.load_data: ["source", "task", "options"],
    es.load_teacher: ["model", "data"],
    es.create_student: ["model", "data"],
    es.distill: ["teacher", "student", "data"],
    es.train: ["model", "data", "objective", "options"],
    es.quantize: ["model", "data", "output", "budget", "options"],
    es.convert: ["model", "data", "output", "options"],
}


def public_functions():
    for package in ("edgestill", "edgestill_runtime", "edgestill_converters", "edgestill_benchmarks"):
        module = importlib.import_module(package)
        yield from (getattr(module, name) for name in module.__all__ if inspect.isfunction(getattr(module, name)))


def test_the_page_is_what_its_command_writes(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "sdk/tools"))
    page = importlib.import_module("make_api_page").page()
    assert (ROOT / "docs/api.md").read_text() == page, "run: python sdk/tools/make_api_page.py"


@pytest.mark.parametrize("function", LEADING, ids=lambda one: one.__name__)
def test_what_comes_first_and_second_is_the_same_everywhere(function):
    parameters = inspect.signature(function).parameters.values()
    assert [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD] == LEADING[function]


FUNCTIONS = {f"{one.__module__}.{one.__name__}": one for one in public_functions()}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_few_arguments_and_every_path_may_be_a_string(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    assert len(parameters) <= 8
    for parameter, one in parameters.items():
        if parameter in PATHS:
            assert "PathLike" in str(one.annotation), f"{parameter}: {one.annotation}"


class Place:
    """A path that is neither text nor `pathlib.Path`."""

    def __init__(self, path):
        self.path = str(path)

    def __fspath__(self):
        return self.path


def test_paths_of_any_kind_are_taken(bundle_path, tmp_path):
    model, checkpoint = create_model("dscnn_xs", 10), Place(tmp_path / "x.safetensors")
    es.save_checkpoint(checkpoint, model)
    es.load_checkpoint(checkpoint, model)
    assert es.load_recipe(Place(ROOT / "recipes/demo.toml")).name == "demo"
    assert open_bundle(Place(bundle_path)).manifest.labels
    with load(Place(bundle_path)) as loaded:
        assert loaded.labels


def test_an_argument_of_another_type_is_named(data):
    model, schedule = create_model("dscnn_xs", 10), es.Schedule(epochs=1)
    cases = {
        "options must be DataOptions": lambda: es.load_data(options=schedule),
        "data must be Data": lambda: es.load_teacher("resnet8", "teacher.safetensors"),
        "inputs must be TeacherInputs": lambda: es.load_teacher("resnet8", data, inputs=schedule),
        "data must be what load_data gives, not 10": lambda: es.create_student("dscnn_s", 10),
        "options must be DistillOptions": lambda: es.distill(None, model, data, options=es.TrainOptions(schedule)),
        "options must be TrainOptions": lambda: es.train(model, data, es.objectives.CrossEntropy(), schedule),
        "budget must be Budget": lambda: es.quantize(model, data, "x.edge", es.ConversionOptions()),
        "options must be ConversionOptions": lambda: es.convert(model, data, "x.edge", ("litert",)),
    }
    for message, call in cases.items():
        with pytest.raises(es.EdgestillError, match=message):
            call()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: es.Budget(quantize="qatt"), "unknown quantize 'qatt'; did you mean 'qat'"),
        (lambda: es.Budget(precision="int4"), "unknown precision 'int4'; did you mean 'int8'"),
        (lambda: es.DistillOptions(combine="avg"), "unknown combine 'avg'"),
        (lambda: es.Schedule(precision="fp8"), "unknown precision 'fp8'"),
        (lambda: es.TrainOptions(augmentation=["flip"]), "augmentation must be Augmentation"),
        (lambda: es.TrainOptions(3), "schedule must be Schedule"),
    ],
)
def test_an_option_of_no_meaning_is_refused_where_it_is_given(make, message):
    with pytest.raises(es.EdgestillError, match=message):
        make()
