"""Devices: what devices.toml may say, what is packed for one, and a deployment on this machine, where it is quick."""

import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgestill import devices, zoo
from edgestill.devices import Device, Host, connect, find_device, load_devices, remote_agent
from edgestill.devices.benchmark_request import compare
from edgestill.devices.connection import CommandResult
from edgestill.devices.host import find_python
from edgestill.devices.packages import Target, download, fitting, pack_runtime, requirements
from edgestill.errors import DeviceError
from edgestill_runtime import EngineError, write_bundle
from edgestill_runtime.files import sha256
from edgestill_runtime.tasks import task_of

PI = Target("aarch64", (3, 11), (2, 36))
SPOKEN = "spoken-digits"


# devices.toml.


def here(folder):
    """This machine and this environment as a device of their own, for devices.toml."""
    facts = {"kind": "local", "environment": sys.prefix, "folder": folder / "there", "python": sys.executable}
    return "[here]\n" + "".join(f'{key} = "{value}"\n' for key, value in facts.items())


def written(folder, text):
    path = folder / "devices.toml"
    path.write_text(text)
    return path


def test_devices_are_read_and_this_machine_is_always_there(tmp_path):
    file = written(
        tmp_path, '[pi5]\nhost = "pi.local"\nuser = "pi"\nport = 2222\n[phone]\nkind = "adb"\nserial = "R58"\n'
    )
    found = load_devices(file)
    assert list(found) == ["local", "pi5", "phone"]
    assert found["pi5"] == Device("pi5", "ssh", host="pi.local", user="pi", port=2222)
    assert found["phone"].serial == "R58"


def test_the_file_here_counts_more_than_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert list(load_devices()) == ["local"]
    (tmp_path / "edgestill").mkdir()
    written(tmp_path / "edgestill", '[a]\nhost = "one"\n[b]\nhost = "two"\n')
    written(tmp_path, '[b]\nhost = "three"\n')
    assert {name: device.host for name, device in load_devices().items()} == {"local": None, "a": "one", "b": "three"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pi5 = 3", "every device is a table"),
        ('[pi5]\nkind = "usb"', "kind = 'usb' is none of local, ssh, adb"),
        ('[pi5]\nhost = "a"\nhots = "b"', "no key 'hots' for kind = 'ssh'; did you mean 'host'?"),
        ('[pi5]\nuser = "pi"', "needs host"),
        ('[pi5]\nhost = "a"\nport = "22"', "port = '22' should be a number"),
        ("[pi5]\nhost = 7", "host = 7 should be text"),
        ('[phone]\nkind = "adb"\nhost = "a"', "no key 'host' for kind = 'adb'"),
        ("[pi5", "is not valid TOML"),
    ],
)
def test_a_wrong_file_says_where_and_what(tmp_path, text, says):
    with pytest.raises(DeviceError) as caught:
        load_devices(written(tmp_path, text))
    assert says in str(caught.value) and "devices.toml" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DeviceError, match=r"none\.toml cannot be read: No such file"):
        load_devices(tmp_path / "none.toml")


def test_addresses_need_no_file():
    assert find_device("ssh:pi@10.0.0.7:2222", {}) == Device(
        "ssh:pi@10.0.0.7:2222", "ssh", host="10.0.0.7", user="pi", port=2222
    )
    assert find_device("ssh:pi.local", {}).user is None
    assert find_device("adb:R58", {}).serial == "R58"


@pytest.mark.parametrize("name", ["pj5", "ssh:", "ssh:pi@", "ssh:pi:port", "usb:1"])
def test_an_unknown_device_is_answered_with_the_nearest(name):
    with pytest.raises(DeviceError, match=f"there is no device '{name}'"):
        find_device(name, {"pi5": Device("pi5", host="pi")})
    with pytest.raises(DeviceError, match="did you mean 'pi5'"):
        find_device("pj5", {"pi5": Device("pi5", host="pi")})


# What a device has to install.


def test_the_packed_runtime_is_small_and_the_same_every_time(tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    first, second = pack_runtime(tmp_path / "a"), pack_runtime(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes() and first.stat().st_size < 200_000
    names = zipfile.ZipFile(first).namelist()
    assert "edgestill_runtime/model.py" in names and "edgestill_benchmarks/measurement.py" in names
    assert not any(
        name.startswith(("edgestill/", "edgestill_converters/", "edgestill_benchmarks/report")) for name in names
    )


def test_only_fitting_wheels_are_brought_along(tmp_path):
    fit = [
        "edgestill_executorch-1.5.1-py3-none-manylinux_2_28_aarch64.whl",
        "numpy-2.5.5-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
        "protobuf-7.36.2-cp310-abi3-manylinux2014_aarch64.whl",
        "tqdm-4.70.1-py3-none-any.whl",
    ]
    other = [
        "edgestill_executorch-1.5.1-py3-none-manylinux_2_28_x86_64.whl",
        "numpy-2.5.5-cp313-cp313-manylinux_2_27_aarch64.whl",
        "newer-1-cp312-abi3-manylinux2014_aarch64.whl",
        "edgestill-0.1.0-py3-none-any.whl",  # edgestill's own is packed
    ]
    for name in fit + other:
        (tmp_path / name).touch()
    assert [path.name for path in fitting([tmp_path], PI)] == fit
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeviceError, match="holds no wheels; `make wheels`"):
        fitting([tmp_path / "empty"], PI)


@pytest.mark.parametrize("architecture", ["aarch64", "x86_64", "armv7l"])
def test_wheels_of_another_machine_never_fit(tmp_path, architecture):
    for one in ("aarch64", "x86_64", "armv7l"):
        (tmp_path / f"numpy-2.5.5-cp311-cp311-manylinux2014_{one}.whl").touch()
    (fit,) = fitting([tmp_path], Target(architecture, (3, 11), (2, 36)))
    assert fit.name.endswith(f"_{architecture}.whl")


def test_a_file_that_is_not_named_as_a_wheel_is_refused(tmp_path):
    (tmp_path / "numpy.whl").touch()
    with pytest.raises(DeviceError, match=r"numpy\.whl is not named as a wheel"):
        fitting([tmp_path], PI)


@pytest.mark.environments
def test_a_package_without_a_wheel_for_the_device_is_named(tmp_path):
    with pytest.raises(DeviceError, match="wheels for riscv128 cannot be fetched: ERROR: .*No matching distribution"):
        download(requirements(["litert"]), [pack_runtime(tmp_path)], Target("riscv128", (3, 11), (2, 36)), tmp_path)


def test_the_agent_needs_the_standard_library_alone():
    code = "import sys; sys.argv = ['-', 'look', '{\"folder\": \"/tmp/none\"}']; exec(sys.stdin.read())"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        input=Path(remote_agent.__file__).read_text(),
        capture_output=True,
        text=True,
    )
    facts = json.loads(done.stdout)
    assert facts["bundles"] == {} and facts["free_bytes"] > 0, done.stderr


# A deployment, into a folder of this machine and with this environment.


@pytest.fixture
def host(tmp_path):
    environment = Path(sys.executable).parent.parent
    device = Device(
        "here", "local", python=sys.executable, environment=str(environment), folder=str(tmp_path / "there")
    )
    connection = connect(device)
    yield Host(connection)
    connection.close()


@pytest.fixture
def newer(tmp_path):
    """The zoo's bundle under the same name, and not the same."""
    bundle = zoo.find(SPOKEN)
    manifest = replace(bundle.manifest, quality={**bundle.manifest.quality, "teacher": {"accuracy": 0.5}})
    return write_bundle(tmp_path / "newer.edge", manifest, {name: bundle.read(name) for name in bundle.files})


def in_use(host, name=SPOKEN):
    return (Path(host.device.folder) / "bundles" / name / "current").resolve()


def test_repeating_a_deployment_changes_nothing(host):
    bundle = zoo.find(SPOKEN)
    first = devices.deploy(host, bundle)
    assert first.switched and first.previous is None and all(row["passed"] for row in first.golden)
    before = {path: path.lstat().st_mtime_ns for path in Path(host.device.folder).rglob("*")}
    second = devices.deploy(host, bundle)
    assert not second.switched and second.version == first.version
    after = {path: path.lstat().st_mtime_ns for path in Path(host.device.folder).rglob("*")}
    assert after == before
    ran = subprocess.run([first.python, "-m", "edgestill_runtime", "info", first.path], capture_output=True, text=True)
    assert ran.returncode == 0 and SPOKEN in ran.stdout


def test_a_new_version_and_back(host, newer):
    first = devices.deploy(host, zoo.find(SPOKEN))
    second = devices.deploy(host, newer)
    assert second.switched and second.previous == first.version != second.version
    assert in_use(host).name == second.version
    back = devices.rollback(host, SPOKEN)
    assert (back["current"], back["previous"]) == (first.version, second.version)
    assert in_use(host).name == first.version
    assert devices.rollback(host, SPOKEN)["current"] == second.version
    versions = {path.name for path in in_use(host).parent.iterdir()}
    assert versions == {first.version, second.version}


def test_what_was_only_measured_does_not_stay(host, newer):
    first = devices.deploy(host, zoo.find(SPOKEN))
    measured = devices.install(host, newer)
    assert in_use(host).name == first.version, "installing alone puts nothing into use"
    again = replace(newer.manifest, quality={})
    contents = {name: newer.read(name) for name in newer.files}
    devices.install(host, write_bundle(newer.path.with_name("again.edge"), again, contents))
    versions = {path.name for path in in_use(host).parent.iterdir()}
    assert len(versions) == 2 and first.version in versions and measured.version not in versions


def test_nothing_to_go_back_to(host):
    with pytest.raises(DeviceError, match="here: nothing was never deployed here"):
        devices.rollback(host, "nothing")
    devices.deploy(host, zoo.find(SPOKEN))
    with pytest.raises(DeviceError, match=f"there is no version of {SPOKEN} before"):
        devices.rollback(host, SPOKEN)


def test_a_failing_self_test_leaves_the_old_version_in_use(host, newer, monkeypatch):
    first = devices.deploy(host, zoo.find(SPOKEN))
    real = type(host.connection).run

    def run(self, words, *arguments, **options):
        answer = real(self, words, *arguments, **options)
        if "selftest" not in words:
            return answer
        found = json.loads(answer.output)
        found |= {"passed": False, "reason": "model.pte: DIFFERENT: output 0"}  # as a device with a wrong engine would
        return CommandResult(1, json.dumps(found).encode(), "")

    monkeypatch.setattr(type(host.connection), "run", run)
    with pytest.raises(
        DeviceError, match="the self-test failed: model.pte: DIFFERENT: output 0; what was in use before"
    ):
        devices.deploy(host, newer)
    assert in_use(host).name == first.version


def test_what_does_not_arrive_whole_is_refused(host, monkeypatch):
    send = Host.send

    def cut(self, files, target, progress):
        send(self, files, target, progress)
        for file in files:
            (Path(target) / file.name).write_bytes(file.read_bytes()[:-1])

    monkeypatch.setattr(Host, "send", cut)
    with pytest.raises(DeviceError, match="did not arrive as it was sent; do it again"):
        devices.deploy(host, zoo.find(SPOKEN))
    monkeypatch.undo()
    assert devices.deploy(host, zoo.find(SPOKEN)).switched


# Several deployments at once, as the commands of their agents meet on the device.


@pytest.fixture
def there(tmp_path):
    """A folder of a device with a finished environment in it."""
    python = tmp_path / "environments" / "key" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    return {"folder": str(tmp_path), "name": "x", "python": str(python)}


def keep(there, version, content=b"bundle"):
    """Send one file as a version."""
    sent = remote_agent.prepare(there | {"id": version})["target"]
    (Path(sent) / "x.edge").write_bytes(content)
    return remote_agent.keep(there | {"version": version, "sent": sent, "files": {"x.edge": sha256(content)}})


def test_two_that_send_the_same_version_do_not_take_it_from_each_other(there):
    first, second = (remote_agent.prepare(there | {"id": "v1"})["target"] for _ in range(2))
    assert first != second
    for sent in (first, second):
        (Path(sent) / "x.edge").write_bytes(b"bundle")
    files = {"x.edge": sha256(b"bundle")}
    kept = [
        remote_agent.keep(there | {"version": "v1", "sent": sent, "files": files})["target"] for sent in (second, first)
    ]
    assert kept[0] == kept[1] and (Path(kept[0]) / "x.edge").read_bytes() == b"bundle"
    assert not list(Path(there["folder"], "incoming").iterdir())


def test_a_version_that_another_deployment_has_removed_is_not_put_into_use(there):
    keep(there, "v1")
    keep(there, "v2")  # nothing uses v1 yet, so it makes room
    with pytest.raises(
        remote_agent.RefusedError, match="another deployment of x has replaced this one meanwhile; do it"
    ):
        remote_agent.activate(there | {"version": "v1"})
    assert remote_agent.activate(there | {"version": "v2"})["current"] == "v2"


def test_an_environment_that_another_deployment_has_removed_is_not_linked(there):
    Path(there["python"]).unlink()
    with pytest.raises(remote_agent.RefusedError, match="another deployment has removed the environment meanwhile"):
        keep(there, "v1")


def test_links_are_changed_by_one_at_a_time(there):
    keep(there, "v1")
    with ThreadPoolExecutor(1) as pool:
        with remote_agent.alone(there):
            waiting = pool.submit(remote_agent.activate, there | {"version": "v1"})
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.2)
            assert not Path(there["folder"], "bundles", "x", "current").exists()
        assert waiting.result()["switched"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    device = Device("here", "local", python=sys.executable, environment=sys.prefix, folder=str(tmp_path / "file" / "x"))
    with pytest.raises(DeviceError, match="here: .*Not a directory"):
        devices.deploy(Host(connect(device)), zoo.find(SPOKEN))


def test_an_environment_without_the_runtime_says_so(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    device = Device("here", "local", environment=str(tmp_path / "bare"), folder=str(tmp_path / "there"))
    with pytest.raises(DeviceError, match="the self-test did not run: .*No module named.*edgestill_runtime"):
        devices.deploy(Host(connect(device)), zoo.find(SPOKEN))


def test_no_python_and_an_old_one(tmp_path):
    connection = connect(Device("here", "local", python=str(tmp_path / "python")))
    with pytest.raises(DeviceError, match="python is not there .*sudo apt install python3"):
        find_python(connection)
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\ntest "$1" = --version && echo Python 3.9.2\n')
    old.chmod(0o755)
    with pytest.raises(DeviceError, match=r"python is Python 3\.9\.2; Edgestill needs Python 3\.11–3\.13 there"):
        find_python(connection)


def test_an_address_where_nobody_listens():
    with pytest.raises(DeviceError, match="ssh:127.0.0.1:9: .*Connection refused; is ssh switched on there"):
        connect(find_device("ssh:127.0.0.1:9", {}))


def test_the_command_line(cli, tmp_path):
    bundle = zoo.find(SPOKEN).path
    file = written(tmp_path, here(tmp_path))
    asked = ("deploy", bundle, "--device", "here", "--devices", file)
    done = cli(*asked)
    assert done.returncode == 0 and "is in use now" in done.stdout and "as recorded" in done.stdout, done.stderr
    assert "was in use already" in cli(*asked).stdout
    assert json.loads(cli(*asked, "--json").stdout)["switched"] is False
    refused = cli("deploy", SPOKEN, "--device", "here", "--devices", file, "--rollback")
    assert refused.returncode == 1 and "there is no version" in refused.stderr
    unknown = cli("deploy", bundle, "--device", "her", "--devices", file)
    assert unknown.returncode == 1 and "did you mean 'here'?" in unknown.stderr


# Measuring.


@pytest.mark.slow
def test_devices_are_measured_at_the_same_time_and_one_that_fails_is_not_the_others(cli, quick_run, tmp_path):
    off = '[off]\nhost = "127.0.0.1"\nport = 9\n'
    file = written(tmp_path, here(tmp_path) + off)
    three = ("--device", "local", "--device", "here", "--device", "off")
    asked = ("bench", quick_run / "demo-quick.edge", *three, "--devices", file, "--quick", "--samples", 100)
    done = cli(*asked, "--output", tmp_path / "found", "--json")
    assert done.returncode == 1 and "error: off: " in done.stderr and "Connection refused" in done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["local", "here"]
    for name, one in found.items():
        assert json.loads((tmp_path / "found" / f"{name}.json").read_text()) == one
        assert one["device"] == name and one["samples"]["count"] == 100 and one["samples"]["of"] == 2000
        assert one["answers"].keys() == {file["file"] for file in one["files"]}
        for file, same in one["answers"].items():
            assert same["agreement"] == 1 and same["differ"] == [], file
    shown = cli(*asked[:4], "--quick", "--samples", 0, "--output", tmp_path / "none")
    assert shown.returncode == 0 and "p50 ms" in shown.stdout and "as here" in shown.stdout, shown.stderr


def test_differing_samples_are_listed():
    own = np.array([[1, 0], [0, 1], [3, 2]], np.float32)
    other = np.array([[1, 0], [1, 0.5], [3, 2.5]], np.float32)
    task = task_of("image-classification", ("cat", "dog"))
    samples = devices.Samples(np.zeros((3, 1, 1, 1), np.uint8), np.zeros(3, np.int64), 10, {"model.pte": (own,)}, task)
    for bad, reason in ((np.where(own == 3, np.nan, own), "NaN in 1 of 6"), (own[:2], "shape (2, 2) instead of")):
        (found,) = compare({"model.pte": (bad,)}, samples).values()
        assert (
            found["agreement"] == 0
            and found["difference"] is None
            and found["reason"].startswith(f"output 0: {reason}")
        )
    found = compare({"model.pte": (other,), "unknown": (own,)}, samples)
    assert found == {"model.pte": {"agreement": pytest.approx(2 / 3), "difference": 1.0, "differ": [[1, "dog", "cat"]]}}


def test_the_list_of_devices(cli, tmp_path):
    file = written(tmp_path, '[off]\nhost = "127.0.0.1"\nport = 9\n')
    done = cli("devices", "--devices", file, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1 and "Connection refused" in found["off"]["error"]
    assert found["local"]["machine"]["packages"]["numpy"] == np.__version__
    shown = cli("devices", "local", "--devices", file)
    assert shown.returncode == 0 and "LiteRT" in shown.stdout and "cores" in shown.stdout


def test_the_parts_of_a_measurement_that_cannot_be_asked_for(cli, quick_run, tmp_path):
    bundle = quick_run / "demo-quick.edge"
    for words, says in (
        (("--threads", "0"), "'0' is neither a whole number from 1 nor `all`"),
        (("--rule", "best"), "'best' is none of interleaved, mlperf"),
        (("--data", "fashion"), "fashion"),
    ):
        done = cli("bench", bundle, *words)
        assert done.returncode in (1, 2) and says in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_threads_are_checked_before_the_bundle_is_opened(cli, tmp_path):
    done = cli("bench", tmp_path / "not-there.edge", "--threads", "0")
    assert done.returncode == 2 and "'0' is neither a whole number from 1 nor `all`" in done.stderr, done.stderr


def test_an_unknown_engine_is_refused_before_anything_is_done(cli, tmp_path):
    for words in (("bench", tmp_path / "any.edge"), ("deploy", tmp_path / "any.edge", "--device", "local")):
        for name, says in (
            ("foo", "unknown engine 'foo'; valid: litert, executorch"),
            ("litert/tflite-runtime", "one package of an engine; here whole engines are named: litert"),
        ):
            done = cli(*words, "--engine", "litert", "--engine", name)
            assert done.returncode == 2 and says in " ".join(done.stderr.replace("│", " ").split()), done.stderr
    with pytest.raises(EngineError, match="unknown engine 'foo'"):
        devices.BenchmarkRequest(engines=("foo",))
