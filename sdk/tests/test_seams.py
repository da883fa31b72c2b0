"""Adding a task touches its own files and the registries, and nothing else: counted on the tasks that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [
    *(ROOT / "sdk/edgestill").rglob("*.py"),
    *(ROOT / "converters/edgestill_converters").rglob("*.py"),
    *(ROOT / "runtime/edgestill_runtime").rglob("*.py"),
    *(ROOT / "benchmarks/edgestill_benchmarks").rglob("*.*"),
    *(ROOT / "android-demo").glob("*/src/main/**/*.kt"),
    *(ROOT / "android-demo/web").glob("*.js"),
    *(ROOT / "android-demo/web/tasks").glob("*.js"),
]
REGISTRIES = {
    "sdk/edgestill/tasks/__init__.py",
    "runtime/edgestill_runtime/tasks/__init__.py",
    "runtime/edgestill_runtime/__init__.py",  # exports what its predictions are made of, where a task has its own
    "android-demo/core/src/main/kotlin/dev/edgestill/core/tasks/Task.kt",
    "android-demo/web/task.js",
}


@pytest.mark.parametrize("task", ["multi-label-classification", "regression"])
def test_a_task_is_known_to_its_own_files_and_to_the_registries_alone(task):
    own = {
        f"sdk/edgestill/tasks/{task.replace('-', '_')}.py",
        f"runtime/edgestill_runtime/tasks/{task.replace('-', '_')}.py",
        f"android-demo/core/src/main/kotlin/dev/edgestill/core/tasks/{task.title().replace('-', '')}.kt",
        f"android-demo/web/tasks/{task.replace('-', '_')}.js",
    }
    word = re.compile(task.replace("-", "[-_ ]?"), re.IGNORECASE)
    files = {str(path.relative_to(ROOT)) for path in SOURCES if word.search(path.read_text(errors="replace"))}
    assert own <= files <= own | REGISTRIES
