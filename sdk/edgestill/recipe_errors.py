"""What is wrong with a recipe, in one line for each key: file, line, key, what it must be.

What a key must be is read from the recipe's own declarations, so that every key of every table is explained alike.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

from .errors import nearest

Keys = Sequence[str | int]
"""Where something stands: names of tables and keys, and numbers of entries in a list."""

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_KINDS = {
    "integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false",
    "array": "a list", "object": "a table", "null": "left out",
}  # fmt: skip


def explain(model: type[BaseModel], problems: Sequence[Any], path: Path, text: str) -> str:
    """A line for each wrong key, in the order of the file.

    Args:
        model: the recipe. problems: `ValidationError.errors()`. text: of the file at `path`.
    """
    lines: dict[tuple[str | int, ...], str] = {}
    for problem in problems:
        keys = _known_part(model, problem)
        same = (
            keys[:-1] if keys and isinstance(keys[-1], int) else keys
        )  # of the entries of a list the first one will do
        if any(keys[: len(earlier)] == earlier or earlier[: len(same)] == same != () for earlier in lines):
            continue  # so do the other members of a union
        lines[keys] = _explain(model, keys, problem, path, text)
    return "\n".join(lines.values())


def booleans_as_numbers(level: Any, tables: Mapping[str, Any], before: Keys = ()) -> Iterator[dict[str, Any]]:
    """A problem, as of `explain`, for each `true` and `false` where a number belongs: Python takes them as 1 and 0."""
    known = fields_of(level)
    for name in tables.keys() & known.keys():
        annotation, value = known[name].annotation, tables[name]
        entries = enumerate(value) if isinstance(value, list) else [(None, value)]
        for number, one in entries:
            keys = (*before, name) if number is None else (*before, name, number)
            if isinstance(one, Mapping) and fields_of(annotation):
                yield from booleans_as_numbers(annotation, one, keys)
            elif isinstance(one, bool) and _members(annotation) & {int, float} and bool not in _members(annotation):
                yield {"type": "boolean", "loc": keys, "input": one}


def _members(annotation: Any) -> set[Any]:
    """The plain types that an annotation is made of."""
    parts = get_args(annotation)
    return set().union(*map(_members, parts)) if parts else {annotation} if isinstance(annotation, type) else set()


def fields_of(table: Any) -> dict[str, Any]:
    """Fields of a table of the recipe, or of a list of tables; nothing for a value."""
    fields = getattr(table, "model_fields", None) or getattr(table, "__pydantic_fields__", None)
    if fields:
        return dict(fields)
    if get_origin(table) in (tuple, list, Union, UnionType):
        return next((inner for part in get_args(table) if (inner := fields_of(part))), {})
    return {}


def place(path: Path, text: str, keys: Keys) -> str:
    """`FILE, line N`, where a key is set, or the nearest table or inline table above it."""
    for length in range(len(keys), 0, -1):
        if line := _line_of(text, list(keys[:length])):
            return f"{path}, line {line}"
    return str(path)


def _explain(model: Any, keys: tuple[str | int, ...], problem: Any, path: Path, text: str) -> str:
    where, names = place(path, text, keys), [key for key in keys if isinstance(key, str)]
    if problem["type"] in _UNKNOWN:
        under = f" under [{'.'.join(names[:-1])}]" if names[:-1] else ""
        hint = _elsewhere(model, names) or nearest(names[-1], _keys_of(model, names[:-1]))
        return f"{where}: unknown key {names[-1]!r}{under}{hint}"
    if problem["type"] == "missing":
        return f"{where}: {_dotted(keys)} is missing"
    if problem["type"] == "value_error":  # said by the recipe itself
        message = problem["msg"].removeprefix("Value error, ")
        named = [name for name in _keys_of(model, names) if re.search(rf"\b{name}\b", message)]
        exact = next((line for name in named if (line := _line_of(text, [*keys, name]))), None)
        where = where if exact is None else f"{path}, line {exact}"
        return f"{where}: {_dotted(keys) or 'recipe'}: {message}"
    return f"{where}: {_dotted(keys)} = {shown(problem['input'])}: it must be {expected(_annotation(model, keys))}"


def _known_part(model: Any, problem: Any) -> tuple[str | int, ...]:
    """The keys of a problem without what the checker calls its own parts."""
    level, keys = model, []
    unknown = problem["type"] in _UNKNOWN
    for number, key in enumerate(problem["loc"]):
        last = number == len(problem["loc"]) - 1
        if isinstance(key, int):
            keys.append(key)
        elif key in fields_of(level):
            keys.append(key)
            level = fields_of(level)[key].annotation
        elif unknown and last:
            keys.append(key)
    return tuple(keys)


def _annotation(model: Any, keys: Keys) -> Any:
    """The declaration of a key, with its limits."""
    level, annotation = model, model
    for number, key in enumerate(keys):
        if isinstance(key, str):
            field = fields_of(level)[key]
            level = annotation = field.annotation
            for limit in field.metadata:
                annotation = Annotated[annotation, limit]
        elif number == len(keys) - 1:
            members = [part for part in get_args(level) if part is not Ellipsis]
            annotation = members[0] if members else annotation
    return annotation


def expected(annotation: Any) -> str:
    """What a value must be, in words."""
    schema = TypeAdapter(annotation).json_schema()
    return _words(schema, schema.get("$defs", {}))


def _words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return "a table"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            options = [_words(one, definitions) for one in schema[union] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(options))
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if schema.get("format") == "path":
        return "a path"
    if "pattern" in schema:
        return "a name of letters, digits, '.', '_' and '-', that begins with a letter or digit"
    if schema.get("type") == "string" and schema.get("minLength"):
        return "text that is not empty"
    words = _KINDS.get(schema.get("type", ""), "something else")
    if schema.get("type") == "array":
        inner = _words(schema.get("items", {}), definitions) if schema.get("items") else ""
        least = f" of at least {schema['minItems']}" if schema.get("minItems") else ""
        if inner == "a table":
            return "a list of tables"
        return f"{words}{least}{f': {inner}, each' if inner else ''}"
    limits = [
        f"{sign} {schema[key]:.15g}"
        for key, sign in (
            ("minimum", "at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]  # fmt: skip
    return " ".join([words, " and ".join(limits)]).strip()


def shown(value: Any) -> str:
    """A value of a file as a message has room for it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        text = repr(value)
    elif isinstance(value, Mapping):
        text = "{ … }" if value else "{}"
    elif isinstance(value, (list, tuple)):
        text = f"[{', '.join(shown(one) for one in value)}]"
    else:
        text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _dotted(keys: Keys) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def _elsewhere(model: Any, names: Sequence[str]) -> str:
    """The end of a message about a key that is valid in other places; empty where it is in none."""
    tables = [table for table in _tables(model) if names[-1] in _keys_of(model, table.split(".") if table else [])]
    # Tables in tables, such as [conversion.qat], only where no other has the key.
    tables = [table for table in tables if "." not in table] or tables
    places = [f"under [{table}]" if table else "at the top" for table in tables]
    return f"; it belongs {' or '.join(places)}" if places else ""


def _tables(level: Any, name: str = "") -> Iterator[str]:
    yield name
    for key, field in fields_of(level).items():
        if fields_of(field.annotation):
            yield from _tables(field.annotation, f"{name}.{key}" if name else key)


def _keys_of(model: Any, tables: Sequence[str]) -> list[str]:
    """Valid keys of a table, by walking the declarations."""
    level: Any = model
    for name in tables:
        field = fields_of(level).get(name)
        if field is None:
            return []
        level = field.annotation
    return [name for name in fields_of(level) if name != "quick"]


def _line_of(text: str, keys: list[str | int]) -> int | None:
    """The line of a table, of the n-th of several, or of a key."""
    names = [key for key in keys if isinstance(key, str)]
    entry_number = next((key for key in keys if isinstance(key, int)), None)
    table: list[str] = []
    count: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*(\[+)\s*([^\]]+?)\s*\]+", line):
            table = [part.strip().strip("\"'") for part in header[2].split(".")]
            if header[1] == "[[":
                count[".".join(table)] = count.get(".".join(table), -1) + 1
            if table == names and (entry_number is None or count.get(".".join(table), entry_number) == entry_number):
                return number
            continue
        entry = re.match(r"\s*([A-Za-z0-9_\"'.-]+)\s*=", line)
        if entry and table + [part.strip("\"'") for part in entry[1].split(".")] == names:
            nth = count.get(".".join(table))
            if entry_number is None or nth is None or nth == entry_number:
                return number
    return None
