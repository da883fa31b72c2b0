"""A forgotten input is impossible: a stage sees its inputs and nothing else of the run, and all of them are in its key.

seen by the stage   → is a field of its inputs       (the function has no other way to it)
a field of the inputs → changes the key              (each of them, here by itself)
"""

import ast
import builtins
import importlib
import inspect
import pkgutil
import textwrap
from dataclasses import dataclass, fields, is_dataclass, make_dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import numpy as np
import pytest

from edgestill import workflow
from edgestill.data import Augmentation, Data, Split
from edgestill.schedule import Schedule
from edgestill.workflow.binding import _converters
from edgestill.workflow.graph import NODES
from edgestill.workflow.inputs import (
    File,
    GivenTeacher,
    NamedModel,
    NamedObjective,
    TrainedModel,
    read_file,
    without_calibration,
)
from edgestill.workflow.key import key_of
from edgestill.workflow.stage import Context, Finished, Stage, stage
from edgestill_runtime import ImageProcessor

STAGES = {
    found.make.__name__: found
    for info in pkgutil.iter_modules(workflow.__path__)
    for found in vars(importlib.import_module(f"edgestill.workflow.{info.name}")).values()
    if isinstance(found, Stage)
}
RANDOM = np.random.default_rng(0)


def split(count):
    return Split(RANDOM.integers(0, 256, (count, 4, 4, 1), np.uint8), np.arange(count) % 2)


DATA = Data(
    "some", ("a", "b"), split(8), split(4), split(3), split(2), ImageProcessor(4, 4, (0.5,), (0.5,)), "sha256:1"
)
# One value for each type that an input may have. What is none of these is a dataclass of them.
EXAMPLES = {
    int: 1, float: 0.5, str: "text", bool: False, Path: Path("teacher.pt"), type(None): None, tuple: ("one",),
    dict: {"kind": "dist"}, Data: DATA, Schedule: Schedule(),
    Augmentation: Augmentation(), NamedModel: NamedModel("net", ""), Finished: Finished(Path("stage"), "key"),
    File: File(Path("teacher.pt"), "sha"),
}  # fmt: skip


def example(hint):
    """A value of a field's type; of a union the richest, so that as much as possible is there to be changed."""
    text = str(hint)
    if is_dataclass(hint) and hint not in EXAMPLES:
        return make_example(hint)
    if "GivenTeacher" in text:
        return (make_example(GivenTeacher),)
    if "NamedObjective" in text:
        return make_example(NamedObjective)
    if "tuple[str" in text:
        return ("one",)
    if "NamedModel, ..." in text:
        return (NamedModel("peer", ""),)
    if "TrainedModel" in text:
        return make_example(TrainedModel)
    if "Finished" in text and hint is not Finished:
        return EXAMPLES[Finished]
    if "Mapping" in text:
        return {"one": "1"}
    if "tuple[float" in text:
        return (0.5,)
    if "tuple[int" in text:
        return (1, 2)
    if "Literal" in text:
        return "int8" if "int8" in text else "ptq" if "ptq" in text else "average"
    if "str | None" in text:
        return "text"
    if "int | None" in text:
        return 3
    return EXAMPLES[hint]


def make_example(kind):
    hints = get_type_hints(kind)
    return kind(**{one.name: example(hints[one.name]) for one in fields(kind)})


def changes(value):
    """The same value with one thing in it changed, for each thing in it; and what was changed."""
    if isinstance(value, Finished):
        yield "key", replace(value, key="other")
    elif isinstance(value, File):
        yield "content", replace(value, digest="other")
    elif isinstance(value, Data):
        yield "digest", replace(value, digest="sha256:2")
        yield "seed", replace(value, seed=7)
        yield "processor", replace(value, processor=ImageProcessor(4, 4, (0.25,), (0.5,)))
        for part in ("train", "calibration_split", "validation", "test"):
            yield part, replace(value, **{part: split(1)})
    elif isinstance(value, Schedule):
        numbers = ("epochs", "batch_size", "learning_rate", "weight_decay", "warmup_epochs", "views")
        assert {*numbers, "ema", "precision", "compile"} == {one.name for one in fields(value)}
        yield from ((name, replace(value, **{name: getattr(value, name) + 1})) for name in numbers)
        yield from (("ema", replace(value, ema=0.9)), ("precision", replace(value, precision="bf16")))
        yield "compile", replace(value, compile=True)
    elif is_dataclass(value):
        for one in fields(value):
            for name, changed in changes(getattr(value, one.name)):
                yield f"{one.name}.{name}", replace(value, **{one.name: changed})
    elif isinstance(value, tuple):
        yield "longer", (*value, value[0])
        yield from ((f"first.{name}", (one, *value[1:])) for name, one in changes(value[0]))
    elif isinstance(value, dict):
        yield "more", {**value, "more": 1}
    elif isinstance(value, bool):
        yield "", not value
    elif isinstance(value, str):
        yield "", f"{value}-other"
    else:
        yield "", value + 1


@pytest.mark.parametrize("name", sorted(STAGES))
def test_each_field_of_a_stages_inputs_changes_its_key(name):
    found = STAGES[name]
    inputs = make_example(found.inputs)
    before, seen = key_of(found.name, inputs), set()
    assert key_of(found.name, make_example(found.inputs)) == before
    for what, changed in changes(inputs):
        key = key_of(found.name, changed)
        assert key not in {before, *seen}, f"{found.inputs.__name__}.{what} is no part of the key"
        seen.add(key)
    assert {what.partition(".")[0] for what, _ in changes(inputs)} == {one.name for one in fields(found.inputs)}


@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_stage_sees_nothing_but_what_it_is_handed(name):
    """Beside its arguments, the function reaches only code and constants: nothing that a run could have put there."""
    make = STAGES[name].make
    assert list(inspect.signature(make).parameters) == ["inputs", "folder", "context"] and make.__closure__ is None
    seen, waiting = set(), [make]
    while waiting:
        function = waiting.pop()
        for word in names_in(function) - vars(builtins).keys() - seen:
            seen.add(word)
            value = function.__globals__[word]  # set later, as by a run, would be a KeyError here
            assert isinstance(value, (ModuleType, type, str, int, tuple)) or callable(value), f"{word}: {value!r}"
            if inspect.isfunction(value) and value.__module__.startswith("edgestill.workflow."):
                waiting.append(value)
    assert seen


def names_in(function):
    """What the body of a function reads and does not set; its decorators and annotations are there before any run."""
    definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    inside = [one for statement in definition.body for one in ast.walk(statement)]
    names = [one for one in inside if isinstance(one, ast.Name)]
    own = {one.arg for one in [*inside, *ast.walk(definition.args)] if isinstance(one, ast.arg)}
    own |= {one.id for one in names if isinstance(one.ctx, ast.Store)}
    return {one.id for one in names if isinstance(one.ctx, ast.Load)} - own


def test_every_stage_has_a_place_in_the_graph():
    assert {found.name for found in STAGES.values()} == set(NODES)
    assert len(STAGES) == 16


def test_a_context_has_nothing_that_a_result_could_depend_on():
    assert {one.name for one in fields(Context)} == {"progress", "capture", "note"}
    public = {name for name in dir(Context().note) if not name.startswith("_")}
    assert public == {"added_to"}  # a note is written down, not read


def test_a_key_depends_on_the_stage_too():
    assert key_of("gate", NamedModel("net", "")) != key_of("teacher", NamedModel("net", ""))


def test_what_has_no_identity_is_no_input():
    kinds = {"object": object(), "path": Path("x"), "set": {1}, "array": np.zeros(1), "function": len}
    for value in kinds.values():
        holder = make_dataclass("Holder", ["value"], frozen=True)(value)
        with pytest.raises(TypeError, match="has no declared identity"):
            key_of("one", holder)


def test_inputs_that_could_change_afterwards_are_refused():
    @dataclass
    class Loose:
        a: int = 1

    with pytest.raises(TypeError, match="Loose is not frozen"):
        key_of("one", Loose())
    with pytest.raises(TypeError, match="inputs must be a frozen dataclass, not Loose"):

        @stage("one")
        def make(inputs: Loose, folder: Path, context: Context) -> None: ...


def test_a_function_that_holds_something_else_of_the_run_is_no_stage():
    def of(recipe):
        @stage("one")
        def make(inputs: NamedModel, folder: Path, context: Context) -> None:
            (folder / "out").write_text(recipe)

    with pytest.raises(TypeError, match="holds variables of another function"):
        of("seed = 3")
    with pytest.raises(TypeError, match=r"takes \(inputs, folder, context: Context\)"):

        @stage("one")
        def more(inputs: NamedModel, folder: Path, context: Context, recipe: str) -> None: ...


def test_a_file_is_its_content_and_not_its_place(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    one, same, other = (key_of("one", read_file(tmp_path / name, "file")) for name in "abc")
    assert one == same != other


def test_how_many_samples_calibrate_is_no_input_of_a_training():
    fewer = replace(DATA, calibration_split=split(2))
    assert key_of("one", without_calibration(DATA)) == key_of("one", without_calibration(fewer))
    assert key_of("one", DATA) != key_of("one", fewer)
    assert len(without_calibration(DATA).calibration_split) == 0


def test_the_packages_that_convert_are_named():
    found = set(_converters(("executorch", "litert")))
    assert {"torch", "torchao", "executorch", "litert-torch", "ai-edge-litert"} <= found
