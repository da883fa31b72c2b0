"""What a board tells of itself, read from a `/sys` of the test's own: files as Linux documents them."""

import threading
import time

import pytest

from edgestill_benchmarks import Rule, describe_machine, machine, measurement
from edgestill_benchmarks.energy import find_meter, open_meter
from edgestill_benchmarks.measurement_warnings import board_warnings, latency_warnings
from edgestill_benchmarks.sensors import Sensors, read_sensors
from edgestill_runtime import open_bundle


def tell(root, **files):
    """`sys` below `root`: path with __ for / → content."""
    for name, content in files.items():
        path = root / "sys" / name.replace("__", "/").replace("_DASH_", "-").replace("_COLON_", ":")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def test_temperature_and_clock(tmp_path):
    assert read_sensors(tmp_path).temperature_c is None
    tell(
        tmp_path,
        class__thermal__thermal_zone0__temp=48_312,
        class__thermal__thermal_zone1__temp=61_000,
        class__thermal__thermal_zone2__temp="",
        devices__system__cpu__cpu0__cpufreq__scaling_cur_freq=1_500_000,
        devices__system__cpu__cpu1__cpufreq__scaling_cur_freq=2_400_000,
        devices__system__cpu__cpu0__cpufreq__cpuinfo_max_freq=2_400_000,
    )
    found = read_sensors(tmp_path)
    assert (found.temperature_c, found.clock_mhz, found.top_clock_mhz) == (61.0, 1950.0, 2400.0)


def test_the_firmware_of_a_raspberry_pi_is_asked(tmp_path, monkeypatch):
    command = tmp_path / "vcgencmd"
    command.write_text("#!/bin/sh\ntest $1 = get_throttled && echo throttled=0x50005\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = read_sensors(tmp_path)
    assert found.throttled == ("under-voltage", "throttled") == found.throttled_since_start
    command.write_text("#!/bin/sh\necho throttled=0x0\n")
    assert read_sensors(tmp_path).throttled == ()


def test_rapl_counts_on_over_its_range(tmp_path):
    assert find_meter(tmp_path) is None
    rapl = {"class__powercap__intel_DASH_rapl_COLON_0__max_energy_range_uj": 999_999}
    counter = "class__powercap__intel_DASH_rapl_COLON_0__energy_uj"
    tell(tmp_path, **rapl, **{counter: 900_000})
    tell(tmp_path, class__powercap__intel_DASH_rapl_COLON_0_COLON_0__energy_uj=5)
    meter = find_meter(tmp_path)
    assert meter.source == "RAPL, package" and meter.joules() == 0
    tell(tmp_path, **{counter: 950_000})
    assert meter.joules() == pytest.approx(0.05)
    tell(tmp_path, **{counter: 50_000})  # 50,000 to the end of the range, and 50,000 more
    assert meter.joules() == pytest.approx(0.15)


def test_a_power_sensor_is_summed_up(tmp_path):
    """Two watts for as long as the clock says, and then a sensor that is gone."""
    tell(tmp_path, class__hwmon__hwmon3__power1_input=2_000_000, class__hwmon__hwmon3__name="ina226")
    with open_meter(tmp_path) as meter:
        assert meter.source == "hwmon, ina226, integrated"
        earliest, before, latest = time.perf_counter(), meter.joules(), time.perf_counter()
        while time.perf_counter() - latest < 0.15:
            asked = time.perf_counter()
            joules, answered = meter.joules() - before, time.perf_counter()
        # Between the shortest and the longest time that can lie between the two readings.
        assert 2 * (asked - latest) <= joules * (1 + 1e-9) and joules <= 2 * (answered - earliest) * (1 + 1e-9)


def sampling():
    return [thread for thread in threading.enumerate() if thread.name == "edgestill-power"]


def test_the_sampling_of_a_power_sensor_ends_with_its_measurement(tmp_path, bundle_path, monkeypatch):
    root = tmp_path / "root"
    tell(root, class__hwmon__hwmon3__power1_input=2_000_000, class__hwmon__hwmon3__name="ina226")
    seen = []
    monkeypatch.setattr(measurement, "open_meter", lambda: open_meter(root))
    rule = Rule(min_calls=2, min_seconds=0.0, turn_seconds=0.0)
    for _ in range(2):
        found = measurement.measure(open_bundle(bundle_path), 1, rule, lambda share: seen.append(len(sampling())))
        assert found.energy == "hwmon, ina226, integrated" and found.files[0].latency_ms.energy_mj is not None
        assert set(seen) == {1} and not sampling()

    def fail(share):
        assert sampling()
        raise RuntimeError("in the middle of it")

    with pytest.raises(RuntimeError, match="in the middle"):
        measurement.measure(open_bundle(bundle_path), 1, rule, fail)
    assert not sampling()


def test_a_sensor_that_goes_away_ends_its_thread_silently(tmp_path, capfd):
    tell(tmp_path, class__hwmon__hwmon3__power1_input=2_000_000)
    with open_meter(tmp_path) as meter:
        next(tmp_path.rglob("power1_input")).unlink()
        with pytest.raises(OSError, match="power1_input"):
            meter.joules()
        (thread,) = sampling() or [None]
        if thread is not None:
            thread.join()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("cpuinfo", "features"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni avx_vnni", ["avx2", "avx512", "avx-vnni", "avx512-vnni"]),
        ("processor : 0\nFeatures : fp asimd asimdhp asimddp i8mm", ["dotprod", "i8mm", "fp16"]),
        ("model name : unknown", []),
    ],
)
def test_the_machine_names_what_int8_kernels_use(monkeypatch, cpuinfo, features):
    monkeypatch.setattr(machine, "_read", lambda path: cpuinfo if path.name == "cpuinfo" else None)
    assert describe_machine()["features"] == features


QUIET = {"governor": "performance"}


def row(**changes):
    times = {"p50": 1.0, "p90": 1.1, "drift": 0.01} | {k: v for k, v in changes.items() if k in ("p90", "drift")}
    return {"file": "model.pte", "engine": "executorch", "threads": 2, "threads_set": changes.get("set", True),
            "latency_ms": times}  # fmt: skip


@pytest.mark.parametrize(
    ("files", "machine", "busy", "message"),
    [
        ([row()], QUIET, 0.5, "other programs used 50 % of the processor"),
        ([row()], {"governor": "ondemand powersave"}, 0.0, "governor is ondemand powersave.*echo performance"),
        ([row(p90=2.5)], QUIET, None, "model.pte, 2 threads: p90 is 2.5 × p50"),
        ([row(drift=-0.2)], QUIET, 0.0, "p50 changed by -20 % from the first half"),
        ([row(set=False)], QUIET, 0.0, "executorch chooses its number of threads itself"),
    ],
)
def test_each_warning_says_what_to_do(files, machine, busy, message):
    import re

    (warning,) = latency_warnings(files, machine, busy)
    assert re.search(message, warning)


def test_nothing_to_doubt():
    assert latency_warnings([row()], QUIET, 0.0) == ()
    still = Sensors(50.0, 2400.0, 2400.0, (), ("throttled",))
    assert board_warnings(still, still) == (), "what was before this measurement is not its own"
    unknown = Sensors(None, None, None, None, None)
    assert board_warnings(unknown, unknown) == ()


def test_a_board_that_is_held_back():
    before = Sensors(60.0, 2400.0, 2400.0, (), ())
    (now,) = board_warnings(before, Sensors(85.0, 2300.0, 2400.0, ("throttled",), ("throttled",)))
    assert "held back (throttled): cool it" in now
    (past,) = board_warnings(before, Sensors(70.0, 2400.0, 2400.0, (), ("under-voltage",)))
    assert "held back meanwhile (under-voltage)" in past
    (slower,) = board_warnings(before, Sensors(84.0, 1500.0, 2400.0, (), ()))
    assert "fell from 2400 to 1500 MHz at 84 °C" in slower
