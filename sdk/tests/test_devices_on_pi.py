"""Deployments to an emulated Raspberry Pi over real SSH: what works, and what happens when it does not."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from edgestill import devices
from edgestill.devices import Device, Host, connect, environments
from edgestill.errors import DeviceError
from edgestill_runtime import load, open_bundle, write_bundle

pytestmark = pytest.mark.pi

# Hands through what ssh sends and receives, and ends when a number of bytes has been sent.
CUT = """
import os, select, socket, sys
device, left = socket.create_connection(("127.0.0.1", int(sys.argv[1]))), int(sys.argv[2])
while left > 0:
    for ready in select.select([0, device], [], [])[0]:
        if ready == 0:
            data = os.read(0, min(left, 4096))
            left -= len(data)
            device.sendall(data)
        else:
            data = device.recv(65536)
            os.write(1, data)
        if not data:
            sys.exit()
"""


@pytest.fixture(scope="module")
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def config(root, make_pi, port):
    """An ssh configuration with a host `pi`: a Raspberry Pi 5 with Debian 13, as it comes."""
    folder = make_pi("pi5", "trixie")
    subprocess.run(["rm", "-rf", folder / "root/home/pi/.local"], check=True)
    with open(folder / "sshd.log", "w") as log:
        command = [root / "runtime/pi/sshd.sh", folder, str(port)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout.readline() == "READY\n", (folder / "sshd.log").read_text()
    yield folder / "ssh/config"
    server.send_signal(signal.SIGTERM)
    server.wait()


@pytest.fixture(scope="module")
def pi(config):
    return Device("pi", host="pi", config=str(config))


@pytest.fixture(scope="module")
def adb(root, make_pi):
    """The same board over adb: Debian's own adbd, the ARM one, in the emulated user land."""
    folder = make_pi("pi5", "trixie")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(folder / "adbd.log", "w") as log:
        command = [root / "runtime/pi/adbd.sh", folder, str(port)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    assert server.stdout.readline() == "READY\n", (folder / "adbd.log").read_text()
    subprocess.run(["adb", "connect", f"127.0.0.1:{port}"], check=True, capture_output=True)
    yield Device("board", "adb", serial=f"127.0.0.1:{port}", folder="/root/edgestill")
    subprocess.run(["adb", "disconnect", f"127.0.0.1:{port}"], check=False, capture_output=True)
    server.send_signal(signal.SIGTERM)
    server.wait()


def ssh(config, command):
    done = subprocess.run(["ssh", "-F", config, "pi", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def bundle(bundle_path):
    return open_bundle(bundle_path)


@pytest.fixture(scope="module")
def deployed(pi, bundle, arm_wheels):
    """The bundle in use there, its environment made from wheels that came along."""
    host = Host(connect(pi))
    done = devices.deploy(host, bundle, wheels=[arm_wheels], offline=True)
    host.connection.close()
    return done


@pytest.fixture
def newer(bundle, tmp_path):
    manifest = replace(bundle.manifest, quality={**bundle.manifest.quality, "teacher": {"accuracy": 0.5}})
    return write_bundle(tmp_path / "newer.edge", manifest, {name: bundle.read(name) for name in bundle.files})


def current(config, bundle):
    return Path(ssh(config, f"readlink .local/share/edgestill/bundles/{bundle.manifest.name}/current")).name


def test_a_deployment_runs_both_engines_and_int8_to_the_last_bit(deployed):
    assert deployed.switched and all(row["passed"] and not row["skipped"] for row in deployed.golden)
    rows = {row["file"]: row for row in deployed.golden}
    assert rows["model.pte"]["difference"] == rows["model.tflite"]["difference"] == 0


def test_the_example_classifies_there(deployed, config, root, bundle, tmp_path):
    Image.fromarray(bundle.golden().inputs[0][0][..., 0]).save(tmp_path / "photo.png")
    for file in (root / "examples/raspberry_pi/classify.py", tmp_path / "photo.png"):
        subprocess.run(["scp", "-q", "-F", config, file, "pi:"], check=True)
    said = ssh(config, f"{deployed.python} classify.py {deployed.path} photo.png")
    with load(bundle) as model:
        assert said.startswith(f"photo.png: {model.predict(bundle.golden().inputs[0][0])[0].label} ")


def test_repeating_it_changes_nothing_and_rollback_goes_back(
    deployed, cli, config, bundle, newer, arm_wheels, tmp_path
):
    file = tmp_path / "devices.toml"
    file.write_text(f'[pi]\nhost = "pi"\nconfig = "{config}"\n')
    asked = ("--device", "pi", "--devices", file, "--wheels", arm_wheels, "--offline", "--json")
    look = "find .local/share/edgestill -printf '%p %T@\\n' | sort | md5sum"
    before = ssh(config, look)
    again = json.loads(cli("deploy", bundle.path, *asked).stdout)
    assert not again["switched"] and again["version"] == deployed.version and ssh(config, look) == before
    second = json.loads(cli("deploy", newer.path, *asked).stdout)
    assert second["switched"] and second["previous"] == deployed.version
    assert second["python"] == deployed.python, "the environment was made twice"
    back = cli("deploy", bundle.manifest.name, *asked[:4], "--rollback")
    assert back.returncode == 0 and f"{deployed.version} is in use again" in back.stdout, back.stderr
    assert current(config, bundle) == deployed.version


def test_measured_there_and_equal_to_this_machine_sample_by_sample(
    deployed, cli, config, bundle_path, arm_wheels, tmp_path
):
    """Two hundred real test images; emulated milliseconds mean nothing, and nothing is asked of them."""
    file = tmp_path / "devices.toml"
    file.write_text(f'[pi]\nhost = "pi"\nconfig = "{config}"\n')
    asked = ("--device", "pi", "--devices", file, "--wheels", arm_wheels, "--offline", "--threads", 1, "--samples", 200)
    done = cli("bench", bundle_path, *asked, "--quick", "--output", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["pi"]
    assert found["machine"]["cpu"].startswith("Raspberry Pi 5") and "dotprod" in found["machine"]["features"]
    assert len(found["files"]) == 4 and found["samples"]["count"] == 200
    for file in found["files"]:
        same = found["answers"][file["file"]]
        assert same["agreement"] == 1 and same["differ"] == []
        assert file["precision"] == "fp32" or same["difference"] == 0, "int8 differs from this machine"
        assert file["quality"]["accuracy"] > 0.6 and file["memory"]["peak_bytes"] > 0
        profile = file["profile"]  # the profilers of both engines work on ARM; the times are the emulator's
        assert profile["why_not"] is None and len(profile["operators"]) >= 11, (file["file"], profile)


@pytest.fixture(params=[3_000, 12_000, 150_000])
def breaking(request, config, pi, port, tmp_path):
    """The same device, through a connection that breaks after some bytes."""
    (tmp_path / "cut.py").write_text(CUT)
    proxy = shlex.join([sys.executable, str(tmp_path / "cut.py"), str(port), str(request.param)])
    (tmp_path / "config").write_text(f"Host pi\n  ProxyCommand {proxy}\nInclude {config}\n")
    return replace(pi, config=str(tmp_path / "config"))


def test_a_broken_connection_leaves_the_old_version(breaking, deployed, config, pi, bundle, newer, arm_wheels):
    with pytest.raises(DeviceError, match="^pi: "):
        devices.deploy(Host(connect(breaking)), newer, wheels=[arm_wheels], offline=True)
    assert current(config, bundle) == deployed.version
    ran = ssh(config, f"{deployed.python} -m edgestill_runtime selftest {deployed.path}")
    assert "passed" in ran
    # And the next one goes through, whatever the broken one has left; then everything as before.
    host = Host(connect(pi))
    done = devices.deploy(host, newer, wheels=[arm_wheels], offline=True)
    assert done.switched and devices.rollback(host, bundle.manifest.name)["current"] == deployed.version
    ssh(config, f"rm -r .local/share/edgestill/bundles/{bundle.manifest.name}/versions/{done.version}")


def test_an_installation_that_is_killed_is_made_again(config, cli, bundle, arm_wheels, tmp_path):
    """Killed while packages come from the index, with a folder of its own so that there is something to install."""
    ssh(config, "rm -rf second")  # a board that was made before keeps what was deployed to it
    file = tmp_path / "devices.toml"
    file.write_text(f'[pi]\nhost = "pi"\nconfig = "{config}"\nfolder = "/home/pi/second"\n')
    command = [sys.executable, "-m", "edgestill.cli", "deploy", bundle.path, "--device", "pi", "--devices", file]
    command += ["--wheels", arm_wheels, "--engine", "litert"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not ssh(config, "ls -d second/environments/*/lib/python3*/site-packages/pip 2>/dev/null; true"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.5)
    process.kill()
    process.wait()
    assert ssh(config, "ls second/bundles 2>/dev/null; true") == ""
    done = cli(*command[3:], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["switched"]
    # What the killed one had sent stays for an hour: another deployment may be sending the same. Nothing else does.
    assert ssh(config, "ls second/environments | wc -l") == "1" and ssh(config, "ls second/incoming | wc -l") in "01"


def test_a_full_disk(config, pi, bundle, arm_wheels, deployed, monkeypatch):
    small = replace(pi, folder="/small/edgestill")
    host = Host(connect(small))
    with pytest.raises(DeviceError, match="pi: .* MB are needed in /small/edgestill and only .* MB are free"):
        devices.deploy(host, bundle, wheels=[arm_wheels], offline=True)
    # Another program may take what was free a moment ago.
    monkeypatch.setattr(environments, "check_space", lambda *_: None)
    with pytest.raises(DeviceError, match="No space left on device; make room there and deploy again"):
        devices.deploy(host, bundle, wheels=[arm_wheels], offline=True)
    assert ssh(config, "ls /small/edgestill/bundles /small/edgestill/environments 2>/dev/null; true") == ""


def test_a_wrong_key(config, pi, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id"], check=True)
    wrong = tmp_path / "config"
    wrong.write_text(config.read_text().replace(str(config.parent / "id"), str(tmp_path / "id")))
    with pytest.raises(DeviceError, match="pi: .*Permission denied .*; the key or the user is not the one"):
        connect(replace(pi, config=str(wrong)))


def test_no_python(pi):
    connection = connect(replace(pi, python="python3.99"))
    with pytest.raises(DeviceError, match=r"pi: python3\.99 is not there .*sudo apt install python3 python3-venv"):
        Host(connection)


def test_a_host_key_that_is_not_known(config, pi, tmp_path):
    other = tmp_path / "config"
    known = str(config.parent / "known_hosts")
    other.write_text(config.read_text().replace(known, os.devnull) + "  StrictHostKeyChecking yes\n")
    with pytest.raises(DeviceError, match="Host key verification failed.*compare the key's fingerprint"):
        connect(replace(pi, config=str(other)))


def test_over_adb_through_the_same_interface(adb, bundle, bundle_path, arm_wheels, cli, tmp_path):
    host = Host(connect(adb))
    done = devices.deploy(host, bundle, ["litert"], wheels=[arm_wheels], offline=True)
    assert done.switched and {row["file"] for row in done.golden if row["passed"]} >= {
        "model.tflite",
        "model.fp32.tflite",
    }
    assert not devices.deploy(host, bundle, ["litert"], wheels=[arm_wheels], offline=True).switched
    file = tmp_path / "devices.toml"
    file.write_text(f'[board]\nkind = "adb"\nserial = "{adb.serial}"\nfolder = "{adb.folder}"\nemulated = true\n')
    asked = (
        "bench",
        bundle_path,
        "--device",
        "board",
        "--devices",
        file,
        "--wheels",
        arm_wheels,
        "--offline",
        "--quick",
    )
    measured = cli(*asked, "--engine", "litert", "--threads", 1, "--samples", 50, "--output", tmp_path, "--json")
    assert measured.returncode == 0, measured.stderr
    found = json.loads(measured.stdout)["board"]
    assert found["answers"]["model.tflite"]["difference"] == 0 and found["emulated"]
    assert any("emulated" in doubt for doubt in found["warnings"])


def test_adb_without_the_device(adb):
    with pytest.raises(DeviceError, match="gone: .*not found.*`adb devices` lists what is connected"):
        connect(Device("gone", "adb", serial="127.0.0.1:1"))
