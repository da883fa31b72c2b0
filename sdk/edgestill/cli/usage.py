"""Help and wrong usage of the command line, in our words.

Typer's newer versions hand on those of the library that checks values; and in a text Rich takes `[data]` for a style.
"""

from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperCommand

# Kind of a problem, as pydantic names it → what the value must be; the numbers are those of the problem.
_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number that fits in 64 bits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "greater_than_equal": "at least {ge:g}",
    "greater_than": "above {gt:g}",
    "less_than_equal": "at most {le:g}",
    "less_than": "below {lt:g}",
}


class Command(TyperCommand):
    """A command whose help is shown as it is written, and that says what a value must be."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        for one in (self, *self.params):
            if text := getattr(one, "help", None):
                setattr(one, "help", escape(text))  # noqa: B010 (not every kind of parameter has it)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As of Typer."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = _in_our_words(error)
            raise


def _in_our_words(error: typer.BadParameter) -> str:
    problems: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    if not problems:
        return error.message
    problem = problems[0]
    if expected := _EXPECTED.get(problem["type"]):
        return f"it must be {expected.format(**problem.get('ctx', {}))}, not {problem['input']!r}"
    return str(problem["msg"]).removeprefix("Value error, ")
