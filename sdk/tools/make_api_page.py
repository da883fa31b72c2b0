"""Write docs/api.md, the table of all public signatures: `python sdk/tools/make_api_page.py`.

The signatures are those of the source, so that defaults and types read as written.
"""

import ast
import importlib
import inspect
import textwrap
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
PACKAGES = {
    "edgestill": "on the host: data, models, distillation, conversion, runs",
    "edgestill.objectives": "what a student learns from",
    "edgestill.tasks": "what is learnt",
    "edgestill_runtime": "on the device: numpy and an engine",
    "edgestill_converters": "a model to files, from below",
    "edgestill_benchmarks": "measurements of a bundle on this machine",
}
INTRODUCTION = """\
# The API

All public names, with their arguments, as `python sdk/tools/make_api_page.py` writes them; docstrings have shapes,
units, ranges and errors (`help(edgestill.distill)`). The functions from data to a device ask for the same things in the
same order:

| function | first | then | typed options | returns |
| --- | --- | --- | --- | --- |
| `load_data` | `source` | `task` | `DataOptions` | `Data` |
| `load_teacher` | `model` | `data` | `TeacherInputs` | a frozen `nn.Module` |
| `create_student` | `model` | `data` | | `nn.Module` |
| `distill` | `teacher`, `student` | `data` | `DistillOptions` | `Distilled` |
| `train` | `model` | `data`, `objective` | `TrainOptions` | `Trained` |
| `quantize` | `model` | `data`, `output` | `Budget`, `ConversionOptions` | `Bundle` |
| `convert` | `model` | `data`, `output` | `ConversionOptions` | `Bundle` |
| `load` | `source` | | | `Model` |

Paths are `str` or `os.PathLike`. Classes and channels come from the data. A model that is an argument is never changed,
and a result is never the same object. Options are frozen dataclasses; `dataclasses.replace` makes one with other
values. Every error that this project raises is an
`EdgestillError` that says what was wrong, where, and what to do. `load` is of `edgestill_runtime`, the others of
`edgestill`.
"""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole page."""
    return INTRODUCTION + "".join(_package(name, words) for name, words in PACKAGES.items())


def _package(name: str, words: str) -> str:
    module = importlib.import_module(name)
    lines = [_line(one, getattr(module, one)) for one in sorted(module.__all__, key=str.lower)]
    rows = "".join(f"| {left} | {right} |\n" for left, right in filter(None, lines))
    return f"\n## {name}: {words}\n\n| | |\n| --- | --- |\n{rows}"


def _line(name: str, value: Any) -> tuple[str, str] | None:
    """A signature, and the first sentence of its docstring; None for what is neither a function nor a class."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return None
    text = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ").replace("|", r"\|")
    return f"`{name}{signature(value)}`".replace("|", r"\|"), text


def signature(value: Any) -> str:
    """The arguments as the source has them; of a dataclass its fields; of an error nothing."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    if isinstance(tree, ast.FunctionDef):
        gives = "" if tree.returns is None else f" -> {ast.unparse(tree.returns)}"
        return f"({_arguments(tree.args)}){gives}"
    assert isinstance(tree, ast.ClassDef)
    if issubclass(value, Exception):
        return ""
    for one in tree.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            return f"({_arguments(one.args)})"
    if "__dataclass_fields__" not in vars(value):
        return ""
    fields = [one for kind in reversed(value.__mro__[:-1]) for one in _fields(kind)]
    return f"({', '.join(dict(fields).values())})"


def _arguments(arguments: ast.arguments) -> str:
    text = ast.unparse(arguments)
    return text.removeprefix("self, ").removeprefix("self")


def _fields(kind: type) -> list[tuple[str, str]]:
    """Name → declaration of each field of a dataclass, those of its bases left out."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = [one for one in tree.body if isinstance(one, ast.AnnAssign)]
    named = [(one.target.id, one) for one in found if isinstance(one.target, ast.Name)]
    return [
        (name, ast.unparse(one))
        for name, one in named
        if not name.startswith("_") and "ClassVar" not in ast.unparse(one.annotation)
    ]


if __name__ == "__main__":
    main()
