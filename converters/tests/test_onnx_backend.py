"""A backend of somebody else, installed as a package of its own: ONNX, in fp32, run by ONNX Runtime.

Nothing of this project knows of it. It goes through `convert` and the gate, `bench`, a whole run and its report.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

UV = Path(sys.executable).parent / "uv"
PACKAGE = Path(__file__).parent / "onnx_backend"
pytestmark = pytest.mark.environments


@pytest.fixture(scope="module")
def python(root, tmp_path_factory):
    """An environment with the package and what it needs; the rest is this environment's, and this checkout's."""
    folder = tmp_path_factory.mktemp("onnx") / "environment"
    source = shutil.copytree(PACKAGE, folder.parent / "package")
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    found = folder / "bin" / "python"
    needed = ("onnxruntime", "onnx", "onnxscript", "onnx_ir")
    subprocess.run([UV, "pip", "install", "--quiet", "--python", found, "--no-deps", source, *needed], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    own = [root / name for name in ("sdk", "converters", "benchmarks", "runtime")]
    others = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site / "base.pth").write_text("".join(f"{path}\n" for path in (*own, *others)))
    return found


@pytest.fixture(scope="module")
def edgestill(python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*words):
        command = [python, "-m", "edgestill.cli", *(str(word) for word in words)]
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def bundle(edgestill, quick_run):
    """The student of a run as int8 files and an ONNX file; the gate has judged them."""
    output = edgestill.folder / "x.edge"
    targets = ("--target", "executorch", "--target", "onnx")
    done = edgestill("convert", quick_run, "--output", output, "--max-drop", 5, "--calibration", 32, *targets, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    models = found["manifest"]["models"]
    assert models.keys() == {"model.pte", "model.fp32.pte", "model.fp32.onnx"}
    assert models["model.fp32.onnx"]["exporter"] == "edgestill-onnx 0.1.0"
    assert found["gate"]["passed"] and found["gate"]["quality"].keys() == models.keys()
    # Both are the same student in float.
    assert found["gate"]["quality"]["model.fp32.onnx"] == pytest.approx(found["gate"]["quality"]["model.fp32.pte"])
    return output


def test_it_is_measured_like_every_other(edgestill, bundle):
    done = edgestill("bench", bundle, "--quick", "--threads", 1, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    files = {file["file"]: file for file in json.loads(done.stdout)["local"]["files"]}
    measured = files["model.fp32.onnx"]
    assert measured["engine"] == "onnx" and measured["threads"][0]["latency_ms"]["p50"] > 0
    assert measured["threads"][0]["engine"].startswith("onnx (onnxruntime ")
    assert "does not report the times of operators" in measured["profile"]["why_not"]


def test_the_doctor_and_the_self_test_know_it(edgestill, python, bundle):
    found = json.loads(edgestill("doctor", "--json").stdout)["engines"]["onnx"]
    assert found["loads"] and found["installed"].startswith("onnxruntime ")
    command = [python, "-I", "-m", "edgestill_runtime", "selftest", bundle, "--json"]
    rows = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["golden"]
    assert [(row["file"], row["passed"]) for row in rows if row["engine"] == "onnx"] == [("model.fp32.onnx", True)]


def test_without_the_package_the_bundle_still_opens(cli, bundle):
    """Here nobody knows ONNX."""
    assert cli("verify", bundle).returncode == 0
    from edgestill_runtime import EngineError, load

    with load(bundle) as model:
        assert model.file == "model.pte"
    with pytest.raises(EngineError, match="its file was made by edgestill-onnx 0.1.0: install that package here"):
        load(bundle, "onnx", precision="fp32")


def test_a_run_and_its_report_list_it(edgestill, root):
    recipe = (root / "recipes/demo.toml").read_text()
    teacher = (root / "recipes/teachers").as_posix()
    recipe = recipe.replace('"teachers/', f'"{teacher}/') + '\n[conversion]\ntargets = ["litert", "onnx"]\n'
    (edgestill.folder / "onnx.toml").write_text(recipe)
    done = edgestill("run", "onnx.toml", "--quick", "--output", "run")
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((edgestill.folder / "run/results.json").read_text())
    (file,) = [one for one in results["files"] if one["engine"] == "onnx"]
    assert file["path"].endswith("model.fp32.onnx") and file["inside"] is None
    assert file["quality"]["accuracy"] == pytest.approx(results["student_distilled"]["quality"]["accuracy"], abs=0.002)
    drawn = edgestill("report", "run")
    assert drawn.returncode == 0, drawn.stderr
    assert "model.fp32.onnx" in (edgestill.folder / "run/report.html").read_text()
