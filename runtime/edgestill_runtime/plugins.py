"""Objects of other packages, found through Python's entry points.

Importing `importlib.metadata` takes 14 ms, so nothing here is called until a name is requested that this package does
not have itself.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from .errors import EdgestillError, one_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Found(Generic[_Kind]):
    """An object of another package. distribution, version: of that package."""

    value: _Kind
    distribution: str
    version: str


@dataclass(frozen=True)
class Group(Generic[_Kind]):
    """One group of entry points; an entry point has the name of its object.

    Args:
        name: of the group, as in `[project.entry-points."NAME"]`. kind: class of the objects.
        what: noun for one object, for messages. own: names that this project has itself. error: class to raise.
    """

    name: str
    kind: type[_Kind]
    what: str
    own: Collection[str]
    error: type[EdgestillError]

    def names(self) -> list[str]:
        """Names of all objects of installed packages; none of them is imported.

        Raises:
            EdgestillError (`error`): two packages have the same name, or one has a name of this project.
        """
        return sorted(self._entries())

    def find(self, name: str) -> Found[_Kind] | None:
        """The object of this name; None if no package provides it.

        Raises:
            EdgestillError (`error`): it cannot be imported, or has a wrong class or name; states the package.
        """
        entry = self._entries().get(name)
        if entry is None:
            return None
        package, version = _distribution(entry)
        place = f"the {self.what} {name!r} of the package {package} ({entry.value})"
        remedy = f"install another version of {package}, or uninstall it"
        try:
            value = entry.load()
        except Exception as error:  # third-party code may raise anything on import
            raise self.error(f"{place} cannot be imported: {one_line(error)}; {remedy}") from error
        if not isinstance(value, self.kind):
            raise self.error(f"{place} is of class {type(value).__name__}, not {self.kind.__name__}; {remedy}")
        if (called := getattr(value, "name", name)) != name:
            raise self.error(f"{place} calls itself {called!r}; both names must be the same; {remedy}")
        return Found(value, package, version)

    def _entries(self) -> "dict[str, EntryPoint]":
        from importlib.metadata import entry_points

        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=self.name):
            package, _ = _distribution(entry)
            if entry.name in self.own:
                raise self.error(
                    f"the package {package} provides the {self.what} {entry.name!r}, a name that edgestill has itself; "
                    f"it must choose another: uninstall {package} until it does"
                )
            if entry.name in found:
                other, _ = _distribution(found[entry.name])
                raise self.error(
                    f"the packages {other} and {package} both provide the {self.what} {entry.name!r}; uninstall one of "
                    "them"
                )
            found[entry.name] = entry
        return found


def _distribution(entry: "EntryPoint") -> tuple[str, str]:
    distribution = entry.dist
    return ("an unknown package", "") if distribution is None else (distribution.name, distribution.version)
