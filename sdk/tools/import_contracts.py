"""A contract of ours for `lint-imports`: no circle between files.

import-linter's own `acyclic_siblings` looks at the files of a folder beside each other. This one looks at every file by
itself, so it also sees a file that imports the `__init__.py` above it, which imports the file. Imports inside functions
and under `if TYPE_CHECKING` count: both say that two files cannot be read, or tested, one without the other.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck
from importlinter.application import output


class NoCircles(Contract):
    """Files import each other in one direction."""

    type_name = "no_circles"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find the circles of all root packages."""
        own = {name for name in graph.modules if not graph.is_module_squashed(name)}  # not the packages of others
        imports = {name: graph.find_modules_directly_imported_by(name) & own for name in own}
        found = sorted(sorted(circle) for circle in circles(imports))
        return ContractCheck(kept=not found, metadata={"circles": found, "imports": imports})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Each circle with the imports that make it."""
        metadata: dict[str, Any] = check.metadata
        for circle in metadata["circles"]:
            output.print_error(f"A circle of {len(circle)} files:")
            for name in circle:
                for imported in sorted(metadata["imports"][name] & set(circle)):
                    output.print_error(f"  {name} -> {imported}", bold=False)


def circles(imports: Mapping[str, set[str]]) -> Iterator[set[str]]:
    """Groups of files that reach one another (Tarjan 1972, strongly connected components of more than one file)."""
    place: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> Iterator[set[str]]:
        place[name] = lowest[name] = len(place)
        stack.append(name)
        for other in sorted(imports[name]):
            if other not in place:
                yield from visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], place[other])
        if lowest[name] == place[name]:
            group = set(stack[stack.index(name) :])
            del stack[stack.index(name) :]
            if len(group) > 1:
                yield group

    for name in sorted(imports):
        if name not in place:
            yield from visit(name)
