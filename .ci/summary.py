"""The end of a run of CI: each step with its time, and the slowest tests of all steps."""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

SLOWEST = 20


def main(folder: Path) -> None:
    """Print both tables from what `.ci/run` left in a folder: `steps.tsv`, and JUnit's XML of each pytest."""
    written = folder / "steps.tsv"
    steps = [line.split("\t") for line in written.read_text().splitlines()] if written.exists() else []
    print("\n   seconds  step")
    for name, seconds, code in steps:
        print(f"{int(seconds):>10}  {name}{'' if code == '0' else '  FAILED'}")
    tests, passed, failed, skipped = [], 0, 0, 0
    for path in sorted(folder.glob("*.xml")):
        try:
            cases = list(ElementTree.parse(path).iter("testcase"))
        except ElementTree.ParseError:  # its step was ended while it was written
            print(f"{path.name} is not whole")
            continue
        for case in cases:
            tests.append((float(case.get("time", 0)), f"{case.get('classname')}::{case.get('name')}", path.stem))
            kinds = {child.tag for child in case}
            failed += bool(kinds & {"failure", "error"})
            skipped += "skipped" in kinds
            passed += not kinds & {"failure", "error", "skipped"}
    print(f"\n   seconds  the {SLOWEST} slowest of {len(tests)} tests")
    for seconds, name, step in sorted(tests, reverse=True)[:SLOWEST]:
        print(f"{seconds:>10.1f}  {name}  ({step})")
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
