"""`edgestill verify`: passed means that something was run."""

import json

from edgestill.file_kinds import describe_file
from edgestill_runtime import Golden, open_bundle, pack_zip, write_bundle
from edgestill_runtime.bundle import GOLDEN, golden_npz

VERIFY = "from edgestill.cli import main; sys.argv[1:1] = ['verify']; main()"


def test_a_good_bundle_passes_and_says_what_was_compared(cli, bundle_path):
    done = cli("verify", bundle_path)
    assert done.returncode == 0 and done.stdout.count("as recorded (largest difference") == 4, done.stdout


def test_nothing_was_run_is_no_pass(without_engines, bundle_path):
    done = without_engines(VERIFY, bundle_path)
    assert done.returncode == 1, done.stderr
    assert "nothing was run: executorch is not installed; litert is not installed" in " ".join(done.stdout.split())
    told = json.loads(without_engines(VERIFY, bundle_path, "--json").stdout)
    assert told["passed"] is False and all(row["skipped"] for row in told["golden"])


def test_one_wrong_output_is_named(cli, bundle_path, tmp_path):
    bundle = open_bundle(bundle_path)
    golden = bundle.golden()
    outputs = {**golden.outputs, "model.fp32.pte": (-golden.outputs["model.fp32.pte"][0],)}
    contents = {name: bundle.read(name) for name in bundle.files} | {GOLDEN: golden_npz(Golden(golden.inputs, outputs))}
    wrong = write_bundle(tmp_path / "wrong.edge", bundle.manifest, contents)
    done = cli("verify", wrong.path, "--json")
    assert done.returncode == 1 and done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert done.returncode == 1 and told["passed"] is False
    assert [row["file"] for row in told["golden"] if not row["passed"]] == ["model.fp32.pte"]
    assert "model.fp32.pte: DIFFERENT: output 0" in told["reason"]


def test_a_zip_that_was_cut_off_is_called_that(cli, bundle_path, tmp_path):
    """Behind golden.npz the last directory is that of golden.npz, which makes the bundle no file of numpy arrays."""
    path = tmp_path / "packed.edge"
    content = pack_zip(open_bundle(bundle_path), path).path.read_bytes()
    for size in (3000, content.index(b"PK\5\6") + 22, len(content) - 1000):
        path.write_bytes(content[:size])
        done = cli("verify", path)
        assert done.returncode == 1
        assert "starts like a zip bundle, but is cut off or damaged" in " ".join(done.stderr.split())
        assert describe_file(path).words == "a zip archive that is cut off or damaged"
