"""An Android phone over adb. `adb` and Android's commands are stand-ins; what they are asked for, and what comes of it,
is real: in the app's place this machine's own measuring answers. `make test-android` puts the app itself there.
"""

import json
import sys
from dataclasses import replace

import pytest

from edgestill.devices import BenchmarkRequest, Device, Host, Samples, connect, measure_on, probe
from edgestill.errors import DeviceError
from edgestill_benchmarks import Rule
from edgestill_benchmarks.machine import describe_machine
from edgestill_runtime import load, open_bundle

COMMANDS = {
    "adb": """
test "$1 $2" = "-s PHONE" && shift 2
test "$1 $2" = "shell -T" || exit 9
exec sh -c "$(printf %s "$3" | sed "s#/sdcard#$PHONE/sdcard#g")"
""",
    "getprop": """
case $1 in *sdk) echo 35 ;; *manufacturer) echo Acme ;; *model) echo Seven ;; *abi) echo arm64-v8a ;; esac
""",
    "pm": 'test -e "$PHONE/installed" && echo package:/data/app/base.apk',
    "dumpsys": 'test -e "$PHONE/installed" && echo "    versionName=1.0"; true',
    "pidof": 'test -e "$PHONE/alive"',
    "am": 'echo "$@" > "$PHONE/asked"; touch "$PHONE/alive"; . "$PHONE/app"; rm "$PHONE/alive"; echo Status: ok',
}
MEASURE = """
cd "$PHONE"/sdcard/Android/data/dev.edgestill.demo/files/bench-*
echo 0.500 latency, 1 thread > progress.txt
"$PYTHON" -m edgestill_benchmarks measure bundle.edge --min-calls 5 --min-seconds 0.01 --samples samples.npz \\
  --answers answers.npz --output found.json
"""
REFUSE = """
cd "$PHONE"/sdcard/Android/data/dev.edgestill.demo/files/bench-*
echo "the bundle has no image" > error.txt
"""


@pytest.fixture
def phone(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "sdcard").mkdir()
    for name, text in COMMANDS.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "installed").touch()
    (tmp_path / "app").write_text(MEASURE)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("PHONE", str(tmp_path))
    monkeypatch.setenv("PYTHON", sys.executable)
    return tmp_path


@pytest.fixture
def requested(bundle_path):
    images = open_bundle(bundle_path).golden().inputs[0]
    with load(bundle_path, engine="litert") as model:
        logits = model.logits(images)
    labels = logits.argmax(1)
    return BenchmarkRequest(
        ("1", "all"),
        Rule(min_calls=5, min_seconds=0.01),
        Samples(images, labels, 100, {"model.tflite": (logits,)}, model.task),
    )


PHONE = Device("phone", "adb", serial="PHONE")


def test_the_app_measures_what_it_is_sent(phone, bundle_path, requested):
    bundle = open_bundle(bundle_path)
    found = measure_on([PHONE], bundle, requested)["phone"]
    assert not isinstance(found, DeviceError), found
    assert found["device"] == "phone" and not found["emulated"]
    assert found["bundle"]["digest"] == bundle.digest()
    assert found["samples"]["count"] == 16 and found["samples"]["of"] == 100
    assert found["answers"]["model.tflite"] == {"agreement": 1.0, "difference": 0.0, "differ": []}
    asked = (phone / "asked").read_text()
    assert "-n dev.edgestill.demo/.BenchmarkActivity --es folder bench-" in asked
    assert not list((phone / "sdcard/Android/data/dev.edgestill.demo/files").iterdir()), (
        "something is left on the phone"
    )
    assert "--es threads 1,all --es rule interleaved" in asked and "--es min_calls 5 --es min_seconds 0.01" in asked


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda phone: (phone / "installed").unlink(), "the app that measures is not installed; build android-demo/"),
        (lambda phone: (phone / "app").write_text(REFUSE), "phone: the bundle has no image"),
        (lambda phone: (phone / "app").write_text("true"), "the app ended without a result; `adb logcat` says more"),
        (
            lambda phone: (phone / "bin/am").write_text("#!/bin/sh\necho Error: no such activity\n"),
            "the app does not start",
        ),
    ],
)
def test_what_goes_wrong_is_said(phone, bundle_path, requested, change, said):
    change(phone)
    error = measure_on([PHONE], open_bundle(bundle_path), requested)["phone"]
    assert isinstance(error, DeviceError) and said in str(error)
    files = phone / "sdcard/Android/data/dev.edgestill.demo/files"
    assert not files.exists() or not list(files.iterdir())


def test_a_phone_says_what_it_is(phone, cli):
    found = probe([PHONE])["phone"]
    assert found["machine"]["cpu"] == "Acme Seven" and found["machine"]["architecture"] == "arm64-v8a"
    assert found["machine"]["memory_bytes"] > 0 and found["agent"]["free_bytes"] > 0
    assert found["machine"]["features"] == describe_machine()["features"]  # the stand-in's processor is this machine's
    assert found["app"] == "1.0"
    (phone / "installed").unlink()
    assert probe([PHONE])["phone"]["app"] is None
    assert json.dumps(found)


def test_nothing_is_deployed_to_a_phone(phone):
    with pytest.raises(DeviceError, match="phone is a phone, which has no Python: put the bundle into an app"):
        Host(connect(replace(PHONE, python="python-that-is-not-there")))
