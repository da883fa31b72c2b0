"""A JSON object read without believing a word of it: each field is handed out only as what it must be."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

MOST_MEASURES = 64
_WORDS: Mapping[type, str] = {
    str: "text", int: "a whole number", float: "a finite number", bool: "true or false", list: "a list",
    dict: "an object",
}  # fmt: skip
_Kind = TypeVar("_Kind")
_Choice = TypeVar("_Choice", bound=str)


class Fields:
    """A JSON object that knows where it stands.

    Args:
        place: before the names of its fields, in messages: `models.model.pte.`.

    Raises:
        ValueError: it is none. So does each method, where a field is not what it must be.
    """

    def __init__(self, data: Any, place: str = "") -> None:
        if not isinstance(data, dict):
            raise ValueError(f"{place or 'it'} must be an object")
        self.data, self.place = data, place

    def get(self, key: str, kind: type[_Kind]) -> _Kind:
        """A field that must be there and of this type; a whole number is a float as well."""
        if key not in self.data:
            raise ValueError(f"{self.place}{key} is missing")
        value = self.data[key]
        if kind is float and type(value) is int and abs(value) < 1 << 1023:
            value = float(value)
        # 1e999 is a JSON number too, and infinite.
        if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"{self.place}{key} must be {_WORDS[kind]}, not {value!r:.40}")
        return value

    def optional(self, key: str, kind: type[_Kind]) -> _Kind | None:
        """The same of a field that may be missing, or null."""
        return None if self.data.get(key) is None else self.get(key, kind)

    def count(self, key: str, least: int = 0, most: int = 1 << 60) -> int:
        """A whole number within limits."""
        number = self.get(key, int)
        if not least <= number <= most:
            raise ValueError(f"{self.place}{key} must be {least} to {most}, not {number}")
        return number

    def share(self, key: str) -> float | None:
        """A number from 0 to 1, or None."""
        number = self.optional(key, float)
        if number is not None and not 0 <= number <= 1:
            raise ValueError(f"{self.place}{key} must be 0 to 1, not {number}")
        return number

    def choice(self, key: str, valid: Sequence[_Choice]) -> _Choice:
        """One of several words."""
        word = self.get(key, str)
        for one in valid:
            if one == word:
                return one
        raise ValueError(f"{self.place}{key} must be one of {', '.join(valid)}, not {word!r:.40}")

    def numbers(self, key: str, kind: type[_Kind], most: int) -> tuple[_Kind, ...]:
        """A list whose entries are all of one type."""
        values = self.get(key, list)
        if len(values) > most:
            raise ValueError(f"{self.place}{key} has more than {most} entries")
        return tuple(Fields({key: value}, self.place).get(key, kind) for value in values)

    def items(self, key: str, most: int) -> "list[tuple[str, Fields]]":
        """The objects in an object, with their names."""
        found = self.get(key, dict)
        if len(found) > most:
            raise ValueError(f"{self.place}{key} has more than {most} entries")
        return [(name, Fields(entry, f"{self.place}{key}.{name:.60}.")) for name, entry in found.items()]

    def measures(self, key: str = "") -> dict[str, float]:
        """Names and finite numbers, of a field that may be missing, or of the object itself."""
        if key:
            return Fields(self.data[key], f"{self.place}{key}.").measures() if self.optional(key, dict) else {}
        if len(self.data) > MOST_MEASURES:
            raise ValueError(f"{self.place[:-1]} has more than {MOST_MEASURES} entries")
        return {name: self.get(name, float) for name in self.data}
