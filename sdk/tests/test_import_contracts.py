"""`make lint` finds circles between files: this is how."""

import importlib.util

import pytest


@pytest.fixture(scope="module")
def circles(root):
    pytest.importorskip("importlinter")
    spec = importlib.util.spec_from_file_location("import_contracts", root / "sdk/tools/import_contracts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda imports: sorted(map(sorted, module.circles(imports)))


def test_imports_in_one_direction_have_no_circle(circles):
    assert circles({"cli": {"run", "errors"}, "run": {"errors"}, "errors": set()}) == []


def test_files_that_reach_each_other_are_a_circle(circles):
    imports = {"package": {"run"}, "run": {"store"}, "store": {"package", "errors"}, "errors": set(), "cli": {"run"}}
    assert circles(imports) == [["package", "run", "store"]]


def test_each_circle_is_found(circles):
    imports = {"a": {"b"}, "b": {"a", "c"}, "c": {"d"}, "d": {"c"}, "e": {"e"}}
    assert circles(imports) == [["a", "b"], ["c", "d"]]
