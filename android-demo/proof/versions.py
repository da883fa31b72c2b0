"""One file of versions: what Gradle takes and what Maven proves are the same."""

import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

# The Android Gradle Plugin, and ExecuTorch's archive, cannot be had by Maven here: see libraries.py.
GRADLE_ALONE = {"agp", "executorch"}
SPACE = {"m": "http://maven.apache.org/POM/4.0.0"}


def compare(demo: Path) -> str:
    """Names the versions that differ, and ends the proof, if any do."""
    catalogue = tomllib.loads((demo / "gradle/libs.versions.toml").read_text())["versions"]
    properties = ElementTree.parse(demo / "pom.xml").getroot().find("m:properties", SPACE)
    assert properties is not None
    found = {re.sub(r"^\{.*\}", "", one.tag).removesuffix(".version"): one.text for one in properties}
    wrong = [
        f"{name}: {version} in libs.versions.toml, {found.get(name)} in pom.xml"
        for name, version in catalogue.items()
        if name not in GRADLE_ALONE and found.get(name) != version
    ]
    if wrong:
        raise SystemExit("versions differ:\n" + "\n".join(wrong))
    return f"libs.versions.toml and pom.xml name the same versions ({len(catalogue) - len(GRADLE_ALONE)} of them)"
