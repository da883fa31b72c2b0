"""The graph: which stage needs which.

    teacher ──▶ trained-teacher-check        student-alone ─────────────┐
       ├──▶ teacher-outputs ──▶ student-distilled ──▶ conversion ──▶ gate, measurement
       └──▶ teacher-evaluation ───────────────────────────┴──▶ evaluation

`run`, `distill`, `sweep` and its trials are this graph with different ends. A node gets only the stages that it names
as its needs; `binding.py` selects its inputs from the recipe.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..recipe import Recipe
from . import binding
from .binding import Bound, Made, Name
from .plan import Plan
from .stage import Context, Finished
from .store import Store


def make(plan: Plan, store: Store, context: Context, ends: Sequence[Name]) -> Made:
    """Run the requested stages and their dependencies, each at most once, or reuse finished ones.

    Returns:
        All visited stages, by name.

    Raises:
        EdgestillError: a stage failed; those before it are kept.
        NotMadeError: a stage is missing in a store that only looks.
    """
    made: dict[Name, Finished] = {}

    def visit(name: Name) -> None:
        if name in made:
            return
        node = NODES[name]
        needs = list(node.needs(plan.recipe))
        for earlier in (*node.after(plan.recipe), *needs):
            visit(earlier)
        stage, inputs = node.bind(plan, {earlier: made[earlier] for earlier in needs})
        made[name] = store.run(stage, inputs, context)

    for end in ends:
        visit(end)
    return made


def ends_of_run(recipe: Recipe) -> tuple[Name, ...]:
    """The end stages of `run`."""
    teacher: tuple[Name, ...] = ("teacher", *_trained_check(recipe))
    return (*_given_check(recipe), *teacher, *_STUDENTS, "conversion", "gate", "evaluation", "measurement")


def ends_of_training(recipe: Recipe) -> tuple[Name, ...]:
    """The end stages of `distill`; without the teacher if it is not needed."""
    return (*_given_check(recipe), *_STUDENTS)


def ends_of_trial(recipe: Recipe, evaluate: bool) -> tuple[Name, ...]:
    """The end stages of a trial of a sweep.

    Args:
        evaluate: convert the student, and measure on the test split too.
    """
    more: tuple[Name, ...] = ("conversion", "evaluation") if evaluate else ()
    return (*ends_of_training(recipe), *more)


_STUDENTS: tuple[Name, ...] = ("student-alone", "student-distilled")


@dataclass(frozen=True)
class Node:
    """A node of the graph.

    Args:
        bind: the stage, and its inputs, from a plan and the stages that it needs.
        needs: whose outputs it is handed. after: what has to be finished before it and gives it nothing: checks.
    """

    bind: Callable[[Plan, Made], Bound]
    needs: Callable[[Recipe], Sequence[Name]] = lambda recipe: ()
    after: Callable[[Recipe], Sequence[Name]] = lambda recipe: ()


def _given_check(recipe: Recipe) -> Sequence[Name]:
    """The check of teachers that come as checkpoints, if requested."""
    table = recipe.teacher
    given = table.checkpoint is not None or (table.team and recipe.distillation.method == "teacher")
    return ("teacher-check",) if given and table.check else ()


def _trained_check(recipe: Recipe) -> Sequence[Name]:
    """The check of a teacher that was trained here; not in a quick run, whose epochs are too few."""
    table = recipe.teacher
    return ("trained-teacher-check",) if table.checkpoint is None and table.check and not recipe.quick else ()


def _checks(recipe: Recipe) -> Sequence[Name]:
    return (*_given_check(recipe), *_trained_check(recipe))


def _needs_of_distilled(recipe: Recipe) -> Iterator[Name]:
    if recipe.distillation.method == "alone":
        yield "student-alone"
    if recipe.distillation.method == "teacher":
        yield "teacher"
    if recipe.cached():
        yield "teacher-outputs"


def _needs_of_conversion(recipe: Recipe) -> Iterator[Name]:
    yield "student-distilled"
    if recipe.conversion.learn_from == "teacher":
        yield "teacher"


def _only(*names: Name) -> Callable[[Recipe], Sequence[Name]]:
    return lambda recipe: names


NODES: dict[Name, Node] = {
    "teacher": Node(binding.bind_teacher),
    "teacher-check": Node(binding.bind_given_check),
    "trained-teacher-check": Node(binding.bind_trained_check, _only("teacher")),
    "teacher-outputs": Node(binding.bind_teacher_outputs, _only("teacher"), after=_checks),
    "student-alone": Node(binding.bind_baseline),
    "student-distilled": Node(
        binding.bind_distilled,
        lambda recipe: tuple(_needs_of_distilled(recipe)),
        after=lambda recipe: _checks(recipe) if recipe.distillation.method == "teacher" else (),
    ),
    "conversion": Node(
        binding.bind_conversion,
        lambda recipe: tuple(_needs_of_conversion(recipe)),
        after=lambda recipe: _checks(recipe) if recipe.conversion.learn_from == "teacher" else (),
    ),
    "gate": Node(binding.bind_gate, _only("conversion")),
    "teacher-evaluation": Node(binding.bind_teacher_evaluation, _only("teacher")),
    "evaluation": Node(
        binding.bind_evaluation, _only("teacher-evaluation", "student-alone", "student-distilled", "conversion")
    ),
    "measurement": Node(binding.bind_measurement, _only("conversion")),
}  # fmt: skip
