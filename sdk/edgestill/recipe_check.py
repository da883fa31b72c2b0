"""What can be said of a recipe before a sample is read: models, layers, checkpoints, and all of it at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from .errors import EdgestillError, ModelError
from .models import create_model
from .models.checkpoint import check_fit
from .models.registry import find_model
from .models.weights import check_file
from .objectives.layers import check_layers
from .recipe import Recipe, TeacherTable, TeamMember

_CLASSES, _CHANNELS = 10, 3  # of a model whose layers are looked at; their names do not depend on it


def check_recipe(recipe: Recipe, *more: Callable[[], None]) -> None:
    """Refuse a recipe that cannot be carried out, whatever its data are.

    Args:
        more: further checks, each of which raises an EdgestillError.

    Raises:
        EdgestillError: a line for each thing that is wrong.
    """
    wrong = []
    for check in (*_checks(recipe), *more):
        try:
            check()
        except EdgestillError as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise EdgestillError("\n".join(dict.fromkeys(str(error) for error in wrong)))


def _checks(recipe: Recipe) -> Iterator[Callable[[], None]]:
    objective = recipe.objective()
    pairs = objective.layers if objective else ()
    yield partial(_model, recipe.student.model, [ours for ours, _ in pairs], "student")
    yield partial(_model, recipe.teaching_model(), [theirs for _, theirs in pairs], "teacher")
    yield partial(_model, recipe.teacher.model, (), "teacher")
    for peer in recipe.distillation.peers:
        yield partial(_model, peer, (), "student")
    for member in recipe.teacher.team:
        yield partial(_model, member.model, (), "teacher")
    teachers: tuple[TeacherTable | TeamMember, ...] = (recipe.teacher, *recipe.teacher.team)
    for one in teachers:
        if one.checkpoint is not None:
            yield partial(check_file, one.checkpoint)


def check_checkpoint(
    model: str, path: Path, weights: str | None, classes: int, channels: Sequence[int] = (_CHANNELS, 1)
) -> None:
    """Refuse a checkpoint that cannot fit the model, before a sample is decoded.

    Args:
        classes: how many the data have. channels: that they may have.

    Raises:
        ModelError: no such file, no weights in it, or weights that do not fit.
    """
    check_file(path)
    made = []
    for count in channels:
        with suppress(ModelError):  # no such model, which is said by itself, or not for these numbers
            made.append(create_model(model, classes, count))
    check_fit(path, made, weights)


def _model(name: str, layers: Sequence[str], who: str) -> None:
    find_model(name)
    if not layers:
        return
    try:
        model = create_model(name, _CLASSES, _CHANNELS)
    except ModelError:  # not for these numbers, perhaps; it is made again for those of the data
        return
    check_layers(model, layers, who)
