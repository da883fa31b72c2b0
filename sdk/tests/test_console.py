"""What the command line prints: readable at 80 columns, whatever the names and numbers."""

import io
import json
import os
import re
from dataclasses import fields
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.progress import Progress
from typer.main import get_command

from edgestill.cli import bench, console, data, sweep
from edgestill.cli.app import app
from edgestill.cli.console import columns
from edgestill.cli.convert_flags import ConvertFlags
from edgestill.cli.run import summary
from edgestill.errors import EdgestillError


@pytest.fixture
def results(quick_run):
    return json.loads((quick_run / "results.json").read_text())


def shown(table, width=80):
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    text = out.getvalue()
    assert all(len(line) <= width for line in text.splitlines()) and "…" not in text
    return text


HEADINGS = ("size", "accuracy", "retained", "p50 ms", "p90 ms", "p99 ms")


def test_the_result_table_is_whole_at_80_columns(results):
    text = shown(summary(results))
    assert all(heading in text for heading in HEADINGS)
    results["student_distilled"]["model"] = "timm:mobilenetv3_small_100.lamb_in1k_and_a_longer_name"
    results["teacher"]["parameters"] = 304_326_632
    for file in results["files"]:
        file["latency_ms"] |= {"p50": 123.456, "p90": 1234.567, "p99": 1234.567}
        file["path"] = f"a.edge/{'long-' * 8}{file['path'].rpartition('/')[2]}"
    text = shown(summary(results))
    assert all(heading in text for heading in HEADINGS) and text.count("1234.567") == 8 and "304,326.6 k" in text


def test_files_with_layers_in_float_are_shown(results):
    """`mixed` was no precision that the table knew, after everything had been trained."""
    for file in results["files"]:
        file["precision"] = "mixed" if file["precision"] == "int8" else file["precision"]
    assert "time of quantized / fp32: executorch" in shown(summary(results))


def test_one_engine_alone_and_a_teacher_that_knows_nothing_are_shown(results):
    results["files"] = [file for file in results["files"] if file["engine"] == "litert"]
    results["agreement"] = None
    results["teacher"]["quality"]["accuracy"] = 0.0
    text = shown(summary(results))
    assert "agree" not in text and "litert" in text


def test_measurements_are_whole_at_80_columns(quick_run, monkeypatch):
    measured = json.loads((quick_run / "stages/measurement/measurement.json").read_text())
    measured |= {"samples": None, "warnings": [], "answers": {}}
    for file in measured["files"]:
        file["quality"], file["memory"]["peak_bytes"] = {"accuracy": 1.0}, 1.2e9
        measured["answers"][file["file"]] = {"agreement": 1.0}
    out = io.StringIO()
    monkeypatch.setattr(bench, "CONSOLE", Console(file=out, width=80))
    bundle = SimpleNamespace(path="a.edge", manifest=SimpleNamespace(task="image-classification"))
    bench._print(bundle, {"pi": measured})
    assert "…" not in out.getvalue() and all(heading in out.getvalue() for heading in bench.HEADINGS)


def test_a_sweep_is_whole_at_80_columns():
    spread = {"mean": 1.0, "sd": 0.01}
    names = ("validation_distilled", "validation_gain", "test_int8", "retained")
    point = {"name": "objective hinton-kd 4.0 + fitnets 1.0, epochs 30", "measured": dict.fromkeys(names, spread)}
    found = {"recipe": "fashion-mnist.toml", "seeds": [0, 1, 2], "quick": False, "points": [point]}
    assert "100.00 ± 1.00" in shown(sweep._table(found))


NAMES = ("a[red]", "b[/]", "image-folder:tv", "[link=x]")


def test_names_are_printed_as_they_are():
    """Brackets of a class's name were taken for markup, `:tv` for an emoji."""
    table = columns(["what"], ["n"], " ".join(NAMES), " ".join(NAMES))
    for name in NAMES:
        table.add_row(name, name)
    with console.CONSOLE.capture() as captured:
        console.say(" ".join(NAMES))
        console.CONSOLE.print(table)
    assert [captured.get().count(name) for name in NAMES] == [5] * len(NAMES)
    with console.ERRORS.capture() as captured:
        console.ERRORS.print(*NAMES)
    assert captured.get().split() == list(NAMES)
    bar = Progress(*console._display().columns[1:2], console=console.CONSOLE)
    bar.add_task(NAMES[1])
    with console.CONSOLE.capture() as captured:
        console.CONSOLE.print(bar.get_renderable())
    assert NAMES[1] in captured.get()


def test_numbers_are_never_cut():
    table = columns(["what"], ["n"])
    table.add_row("x" * 200, "123456789")
    assert "123456789" in shown(table, 40)


def test_the_doctor_names_the_extra_that_is_missing():
    from edgestill.cli.console import CONSOLE
    from edgestill.cli.doctor import _print

    install = "pip install 'edgestill[litert]'"
    with CONSOLE.capture() as captured:
        _print({
            "edgestill": "1", "python": "3", "machine": "m", "cuda": None,
            "extras": {"litert": {"for": "f", "complete": False, "missing": ["x"], "install": install}},
            "engines": {"litert": {"installed": None, "loads": False, "says": install, "choices": []}},
        })  # fmt: skip
    assert captured.get().count("[litert]") == 2


COMMANDS = get_command(app).commands


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_shows_every_word_that_is_written(cli, name):
    """Rich takes `[data]` for a style, and leaves it out."""
    done = cli(name, "--help", TERMINAL_WIDTH="400", COLUMNS="400")
    shown = set(re.sub("[│╭╮╰╯─]", " ", done.stdout).split())
    command = COMMANDS[name]
    texts = [command.callback.__doc__, *(getattr(one, "help", None) or "" for one in command.params)]
    words = set(" ".join(texts).replace("\\[", "[").split())
    assert done.returncode == 0 and words - shown == set()


FLAGS = {"bench": bench.BenchFlags, "convert": ConvertFlags, "data": data.DataFlags, "sweep": sweep.SweepFlags}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_lists_every_flag(cli, name):
    shown = cli(name, "--help", TERMINAL_WIDTH="400", COLUMNS="400").stdout.split()
    flags = [one for one in COMMANDS[name].params if one.param_type_name == "option"]
    assert all(option in shown for flag in flags for option in flag.opts)


@pytest.mark.parametrize("name", sorted(FLAGS))
def test_the_fields_of_a_dataclass_are_the_flags_of_its_command(name):
    declared = [field.name for field in fields(FLAGS[name]) if field.name != "context"]
    assert [one.name for one in COMMANDS[name].params if one.name != "help"] == declared


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("data", "x", "--image-size", "abc"), "it must be a whole number, not 'abc'"),
        (("data", "x", "--seconds", "abc"), "it must be a number, not 'abc'"),
        (("data", "x", "--resize", "Crop"), "'--resize': 'Crop' is not one of 'crop', 'letterbox', 'stretch'"),
        (("sweep", "x", "--seeds", "0"), "it must be at least 1, not '0'"),
        (("convert", "x", "--output", "y", "--max-drop", "101"), "it must be at most 100, not '101'"),
    ],
)
def test_wrong_values_of_options_are_said_in_our_words(cli, words, said):
    done = cli(*words, TERMINAL_WIDTH="200")
    assert done.returncode == 2 and said in " ".join(done.stderr.replace("│", " ").split()), done.stderr


def test_what_reads_a_model_file_talks_into_no_terminal(cli, monkeypatch, capfd, tmp_path):
    def loud(path):
        os.write(2, b"W1127 KernelPreference\n")
        raise EdgestillError(f"{path} is read")

    monkeypatch.setattr("edgestill_converters.inspection.inspect_file", loud)
    (tmp_path / "a.pte").write_bytes(bytes(4) + b"ET12")
    done = cli("inspect", tmp_path / "a.pte")
    assert done.returncode == 1 and done.stderr == f"error: {tmp_path / 'a.pte'} is read\n"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("name", "kept"), [("run", True), ("sweep", True), ("convert", False), ("bench", False)])
def test_an_interruption_says_that_something_is_kept_only_where_it_is(cli, monkeypatch, name, kept):
    def interrupted(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgestill.cli.usage.Command.invoke", interrupted)
    words = {"convert": ("x", "--output", "y")}.get(name, ("x",))
    done = cli(name, *words)
    assert done.returncode == 130
    assert done.stderr.strip() == "interrupted" + "; finished stages and epochs are kept" * kept
