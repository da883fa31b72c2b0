"""Validated access to an untrusted JSON object: each method checks the type and range of a field."""

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
    """A JSON object with its path in the document.

    Args:
        place: prefix of its fields' names in messages: `models.model.pte.`.

    Raises:
        ValueError: it is not an object. Each method raises it too, for a field that is missing or invalid.
    """

    def __init__(self, data: Any, place: str = "") -> None:
        if not isinstance(data, dict):
            raise ValueError(f"{place or 'it'} must be an object")
        self.data, self.place = data, place

    def get(self, key: str, kind: type[_Kind]) -> _Kind:
        """A required field of this type; integers are accepted as floats."""
        if key not in self.data:
            raise ValueError(f"{self.place}{key} is missing")
        value = self.data[key]
        if kind is float and type(value) is int and abs(value) < 1 << 1023:
            value = float(value)
        # 1e999 is valid JSON, and becomes infinity.
        if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"{self.place}{key} must be {_WORDS[kind]}, not {value!r:.40}")
        return value

    def optional(self, key: str, kind: type[_Kind]) -> _Kind | None:
        """An optional field of this type; None if it is missing or null."""
        return None if self.data.get(key) is None else self.get(key, kind)

    def count(self, key: str, least: int = 0, most: int = 1 << 60) -> int:
        """A required integer from `least` to `most`."""
        number = self.get(key, int)
        if not least <= number <= most:
            raise ValueError(f"{self.place}{key} must be {least} to {most}, not {number}")
        return number

    def share(self, key: str) -> float | None:
        """An optional number from 0 to 1."""
        number = self.optional(key, float)
        if number is not None and not 0 <= number <= 1:
            raise ValueError(f"{self.place}{key} must be 0 to 1, not {number}")
        return number

    def choice(self, key: str, valid: Sequence[_Choice]) -> _Choice:
        """A required text that is one of `valid`."""
        word = self.get(key, str)
        for one in valid:
            if one == word:
                return one
        raise ValueError(f"{self.place}{key} must be one of {', '.join(valid)}, not {word!r:.40}")

    def numbers(self, key: str, kind: type[_Kind], most: int) -> tuple[_Kind, ...]:
        """A required list of at most `most` entries, all of one type."""
        values = self.get(key, list)
        if len(values) > most:
            raise ValueError(f"{self.place}{key} has more than {most} entries")
        return tuple(Fields({key: value}, self.place).get(key, kind) for value in values)

    def items(self, key: str, most: int) -> "list[tuple[str, Fields]]":
        """A required object of at most `most` objects, as pairs of name and object."""
        found = self.get(key, dict)
        if len(found) > most:
            raise ValueError(f"{self.place}{key} has more than {most} entries")
        return [(name, Fields(entry, f"{self.place}{key}.{name:.60}.")) for name, entry in found.items()]

    def measures(self, key: str = "") -> dict[str, float]:
        """Name → finite number, of an optional field, or without `key` of the object itself."""
        if key:
            return Fields(self.data[key], f"{self.place}{key}.").measures() if self.optional(key, dict) else {}
        if len(self.data) > MOST_MEASURES:
            raise ValueError(f"{self.place[:-1]} has more than {MOST_MEASURES} entries")
        return {name: self.get(name, float) for name in self.data}
