import json
import os
import signal
import subprocess
import sys

import pytest

from edgestill.errors import EdgestillError, StorageError
from edgestill.locks import LOCK, exclusive


def test_a_folder_in_use_is_refused_with_who_uses_it(tmp_path):
    with exclusive(tmp_path / "run"):
        with (
            pytest.raises(
                EdgestillError, match=rf"is in use by another edgestill \(process {os.getpid()} on "
            ) as caught,
            exclusive(tmp_path / "run"),
        ):
            pass
        assert "--output" in str(caught.value)
    with exclusive(tmp_path / "run"):
        pass


def test_an_exception_lets_go_of_it(tmp_path):
    with pytest.raises(KeyboardInterrupt), exclusive(tmp_path):
        raise KeyboardInterrupt
    with exclusive(tmp_path):
        pass


HOLD = """
import sys, time
from pathlib import Path
from edgestill.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_process_lets_go_of_it(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(EdgestillError, match=f"process {holder.pid} "), exclusive(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with exclusive(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["process"] == os.getpid()


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(
            StorageError, match=r"could not write to .*file/run: Not a directory; name another with --output"
        ),
        exclusive(tmp_path / "file" / "run"),
    ):
        pass
