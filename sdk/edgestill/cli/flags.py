"""Commands that take one dataclass, whose fields are their flags.

Typer makes a flag of each parameter of a function. For a command with many of them, this declares those parameters from
the fields of a dataclass:

    @dataclass(frozen=True)
    class SignFlags:
        key: Annotated[Path, typer.Option(help="Ed25519 private key, PEM.")]

    @with_flags
    def sign(flags: SignFlags) -> None: ...
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

from edgestill_runtime.tasks import TASKS

Flags = TypeVar("Flags")
TASK_NAMES = ", ".join(name for name in TASKS if name != "tensors")  # for the help of `--task`


def with_flags(command: Callable[[Flags], None]) -> Callable[..., None]:
    """A function for Typer with a keyword parameter for each field of the command's dataclass, in their order.

    A field of type `typer.Context` gets the context, as a parameter of that type does.
    """
    (name,) = inspect.signature(command).parameters
    declared: Any = get_type_hints(command)[name]
    types = get_type_hints(declared, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=types[field.name],
        )
        for field in fields(declared)
    ]

    def function(**values: Any) -> None:
        command(declared(**values))

    function.__name__, function.__qualname__, function.__doc__ = command.__name__, command.__qualname__, command.__doc__
    function.__module__ = command.__module__
    function.__annotations__ = types
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function
