"""The files that a table means, among those that lie in a folder."""

import posixpath
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ...errors import DataError
from ...tasks.labels import few

_DRIVE = re.compile("[A-Za-z]:/")


class SampleFinder:
    """Finds files by how people write them: with `/` or `\\`, without subfolders, without the ending.

    Only what was found in the folder is ever given, so no name leads out of it.

    Args:
        files: all samples in the folder.
    """

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        self._folder = folder
        self._exact = {self._written(path): path for path in files}
        self._endings: dict[str, list[str]] = {}
        for written in self._exact:
            name = PurePosixPath(written)
            for key in {name.name, name.stem}:
                self._endings.setdefault(key, []).append(written)

    def find(self, name: str, roots: Sequence[Path], place: str) -> Path | None:
        """The file of a name; None where there is none.

        Args:
            roots: folders that it may be relative to, the first one first. place: of the name, for messages.

        Raises:
            DataError: the name leads out of the folder, is an address, or fits several files.
        """
        text = unicodedata.normalize("NFC", name.strip().replace("\\", "/"))
        if not text:
            raise DataError(f"{place} names no file; name one, or remove the row")
        if "://" in text:
            raise DataError(f"{place}: {text:.60} is an address; fetch the files, and name them by their paths here")
        text, outside = self._relative(text), False
        for root in roots:
            written = posixpath.normpath(posixpath.join(self._written(root), text))
            if written in self._exact:
                return self._exact[written]
            outside = outside or written.startswith(("/", "../"))
        if outside:
            raise DataError(f"{place}: {text:.80} leads out of {self._folder}; give paths that begin in it")
        return self._by_ending(text, roots, place)

    def _by_ending(self, text: str, roots: Sequence[Path], place: str) -> Path | None:
        text = posixpath.normpath(text)
        matches = [one for one in self._endings.get(posixpath.basename(text), ()) if _ends_with(one, text)]
        for root in roots:
            beginning = self._written(root)
            inside = [one for one in matches if beginning in ("", ".") or one.startswith(f"{beginning}/")]
            if len(inside) > 1:
                raise DataError(f"{place}: {text:.60} fits {few(inside, 3)}; write the path from {root} and the ending")
            if inside:
                return self._exact[inside[0]]
        return None

    def _relative(self, text: str) -> str:
        """A path from the root of this machine that leads into the folder, from the folder on."""
        beginning = f"{self._folder.resolve().as_posix().rstrip('/')}/"
        if text.startswith(beginning):
            return text[len(beginning) :]
        return f"/{text}" if _DRIVE.match(text) else text

    def _written(self, path: Path) -> str:
        return unicodedata.normalize("NFC", path.relative_to(self._folder).as_posix())


def _ends_with(written: str, text: str) -> bool:
    without = str(PurePosixPath(written).with_suffix(""))
    return any(one == text or one.endswith(f"/{text}") for one in (written, without))
