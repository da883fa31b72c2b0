"""`edgestill bench --device adb:…` from one end to the other, with a desktop in the phone's place.

`adb` and Android's own commands are stand-ins (below); what measures is the app's benchmark with the app's engines, in
a JVM that `am start` launches, and what asks for it is the real command line.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SERIAL = "STAND-IN"
# What the host's code calls, by name. `adb shell` hands its words to a shell, as on a phone.
COMMANDS = {
    "adb": """
test "$1" = -s && shift 2
test "$1 $2" = "shell -T" || exit 9
exec sh -c "$(printf %s "$3" | sed "s#/sdcard#$PHONE/sdcard#g")"
""",
    "getprop": """
case $1 in
  *sdk) echo 35 ;;
  *manufacturer) echo Desktop ;;
  *model) echo Stand-in ;;
  *abi) echo x86_64 ;;
  *release) echo 15 ;;
esac
""",
    "pm": 'test -e "$PHONE/installed" && echo package:/data/app/base.apk',
    "dumpsys": 'test -e "$PHONE/installed" && echo "    versionName=1.0"; true',
    "pidof": 'test -e "$PHONE/pid" && kill -0 "$(cat "$PHONE/pid")" 2> /dev/null',
    # am start -W -n NAME --es KEY VALUE …
    "am": """
shift 4
files=$PHONE/sdcard/Android/data/dev.edgestill.demo/files
setsid $PHONE_JAVA "$files" "$PHONE_BUNDLE" "$@" > "$PHONE/log" 2>&1 &
echo $! > "$PHONE/pid"
echo Status: ok
""",
}


def try_bench(build: Path, bundle: Path, samples: int) -> dict[str, Any]:
    """Measure on the stand-in by the command line, and be refused as people would be; the measurement."""
    with TemporaryDirectory() as scratch:
        phone = Path(scratch)
        (phone / "sdcard").mkdir()
        (phone / "bin").mkdir()
        for name, text in COMMANDS.items():
            (phone / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
            (phone / "bin" / name).chmod(0o755)
        environment = {
            **os.environ,
            "PATH": f"{phone / 'bin'}:{os.environ['PATH']}",
            "PHONE": str(phone),
            "PHONE_BUNDLE": str(bundle),
            "PHONE_JAVA": _java(build),
        }

        def edgestill(*words: object) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "edgestill.cli", *map(str, words)]
            return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

        def bench() -> subprocess.CompletedProcess[str]:
            return edgestill(
                "bench", bundle, "--device", f"adb:{SERIAL}", "--quick", "--threads", "1", "--threads", "2",
                "--data", "fashion-mnist-mini", "--samples", samples, "--json",
            )  # fmt: skip

        refused = bench()
        _must("the app that measures is not installed" in refused.stderr, refused)
        (phone / "installed").touch()
        listed = edgestill("devices", f"adb:{SERIAL}")
        _must("Desktop Stand-in" in listed.stdout and "app 1.0" in listed.stdout, listed)
        done = bench()
        _must(done.returncode == 0, done)
        left = list((phone / "sdcard/Android/data/dev.edgestill.demo/files").iterdir())
        _must(not left, done)
        # An app that dies at once.
        environment["PHONE_JAVA"] = "true"
        dead = bench()
        _must("the app ended without a result" in dead.stderr, dead)
        return dict(json.loads(done.stdout)[f"adb:{SERIAL}"])


def _java(build: Path) -> str:
    demo = Path(__file__).parents[1]
    jars = [
        demo / "app/target/test-classes",
        demo / "app/target/classes",
        (build / "classpath.txt").read_text().strip(),
    ]
    library = build / "libraries/host"
    return f"java -Djava.library.path={library} -cp {':'.join(map(str, jars))} dev.edgestill.demo.DesktopBenchmarkKt"


def _must(holds: bool, done: subprocess.CompletedProcess[str]) -> None:
    if not holds:
        raise SystemExit(f"not as it must be: {done.args} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
