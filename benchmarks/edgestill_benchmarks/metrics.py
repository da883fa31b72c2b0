"""All numbers of a run as one flat table: a row for each device, file and number of threads."""

import csv
import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from .measures import main_measure, measures_of, with_unit
from .migration import migrate_measurement
from .results import Results, ResultsError, check, check_quality, upgrade

Row = dict[str, Any]

# Column → what it holds; this order in every format.
COLUMNS = {
    "run": "name of the run",
    "device": "name of the device; `host` is the machine of the run",
    "board": "board or CPU",
    "emulated": "true where times and memory are an emulator's, and say nothing about the board",
    "file": "model file",
    "engine": "engine, package, version",
    "precision": "int8, mixed or fp32",
    "bytes": "size of the file",
    "threads": "threads of one call",
    "p50_ms": "median of one call, ms",
    "p90_ms": "90th percentile, ms",
    "p99_ms": "99th percentile, ms",
    "min_ms": "fastest call, ms",
    "first_ms": "first call, ms",
    "cold_start_ms": "start of a process to its first output, ms",
    "resident_bytes": "memory after some calls",
    "peak_bytes": "largest memory",
    "energy_mj": "energy of a call, mJ; empty without a meter",
    "measure": "name of the main measure",
    "quality": "by this measure, on the test samples; 0-1 of a share",
    "samples": "test samples",
    "retained": "quality / the teacher's on the whole test split; empty where that is 0 or less",
    "agreement": "share of the samples with the same prediction as on the host",
}


def metrics(results: Results, devices: Sequence[dict[str, Any]] = ()) -> list[Row]:
    """The rows of a run.

    Args:
        devices: measurements by `edgestill bench`; see `read_devices`.
    """
    rows: list[Row] = []
    for file in results["files"]:
        named = file | {"file": file["path"].rpartition("/")[2]}
        rows += _rows(results, "host", results["machine"], named, {"samples": results["data"]["test"]})
    for device in devices:
        samples = device["samples"]["count"] if device["samples"] else None
        for file in device["files"]:
            same = device.get("answers", {}).get(file["file"], {})
            known = {"samples": samples, "agreement": same.get("agreement"), "emulated": device["emulated"]}
            rows += _rows(results, device["device"], device["machine"], file, known)
    return rows


def qualities(
    results: Results, devices: Sequence[dict[str, Any]] = ()
) -> dict[tuple[str, str], dict[str, float] | None]:
    """Device and file → its quality by all measures of the task, of which `metrics` has the first."""
    found = {("host", file["path"].rpartition("/")[2]): file["quality"] for file in results["files"]}
    return found | {(one["device"], file["file"]): file["quality"] for one in devices for file in one["files"]}


def read_devices(folder: Path, results: Results) -> list[dict[str, Any]]:
    """The measurements in `devices/` of a run's folder, those of schema version 1 converted to version 2.

    Those of an older bundle of the same name are left out.

    Raises:
        ResultsError: one of them is no measurement, or has other measures than the run.
    """
    migrate = partial(migrate_measurement, labels=results["data"]["labels"])
    measures = measures_of(results["task"])
    found = []
    for path in sorted((folder / "devices").glob("*.json")):
        try:
            one = upgrade(json.loads(path.read_text(encoding="utf-8")), migrate, "measurement")
            check(one, "measurement.schema.json", "measurement")
            if one["bundle"]["digest"] != results["bundle"]:
                continue
            for number, file in enumerate(one["files"]):
                if file["quality"] is not None:
                    check_quality(file["quality"], measures, f"measurement: $.files[{number}].quality")
        except (ValueError, ResultsError) as error:
            raise ResultsError(f"{path}: {error}; measure again (`edgestill bench`), or remove it") from error
        found.append(one)
    return found


def as_csv(rows: Sequence[Row]) -> str:
    """CSV with a header line."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def as_json(rows: Sequence[Row]) -> str:
    """JSON: descriptions of the columns, and the rows."""
    return json.dumps({"columns": COLUMNS, "rows": list(rows)}, indent=2, ensure_ascii=False) + "\n"


def as_markdown(results: Results, rows: Sequence[Row]) -> str:
    """A table for a model card: the files of a run, each device at its fastest number of threads."""
    student, teacher, measure = results["student_distilled"], results["teacher"], main_measure(results["task"])
    of_teacher, alone = (measure.show(results[who]["quality"][measure.name]) for who in ("teacher", "student_alone"))
    lines = [
        f"{student['model']} ({student['parameters']:,} parameters), distilled from {teacher['model']} "
        f"({measure.name} {of_teacher}) on {results['data']['name']}; baseline student: {alone}.",
        "",
        f"| device | file | size, kB | {with_unit(measure)} | retained, % | threads | p50, ms | p90, ms | "
        "peak memory, MB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    fastest: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row["device"], row["file"]
        if key not in fastest or row["p50_ms"] < fastest[key]["p50_ms"]:
            fastest[key] = row
    for row in fastest.values():
        part = "" if row["samples"] in (None, results["data"]["test"]) else f" ({row['samples']:,} samples)"
        cells = [
            f"{row['device']}: {row['board']}{', emulated' if row['emulated'] else ''}",
            row["file"],
            f"{row['bytes'] / 1000:.1f}",
            "" if row["quality"] is None else measure.show(row["quality"]).removesuffix(f" {measure.unit}") + part,
            "" if row["retained"] is None or part else f"{100 * row['retained']:.1f}",
            str(row["threads"]),
            *("" if row["emulated"] else f"{row[name]:.3f}" for name in ("p50_ms", "p90_ms")),
            "" if row["peak_bytes"] is None or row["emulated"] else f"{row['peak_bytes'] / 1e6:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _rows(results: Results, device: str, machine: dict[str, Any], file: dict[str, Any], known: Row) -> list[Row]:
    """A row of one file for each number of threads; `known` has the values that the file's entry lacks."""
    measure = main_measure(results["task"]).name
    quality, teacher = file["quality"] and file["quality"][measure], results["teacher"]["quality"][measure]
    shared = {
        "run": results["name"],
        "device": device,
        "board": machine["cpu"],
        "emulated": False,
        "file": file["file"],
        "precision": file["precision"],
        "bytes": file["bytes"],
        "cold_start_ms": file["cold_start_ms"]["p50"],
        "resident_bytes": file["memory"]["resident_bytes"],
        "peak_bytes": file["memory"]["peak_bytes"],
        "measure": measure,
        "quality": quality,
        "retained": quality / teacher if teacher > 0 and quality is not None else None,
        "agreement": None,
        **known,
    }
    rows = []
    for one in file["threads"]:
        times = one["latency_ms"]
        measured = {f"{name}_ms": times[name] for name in ("p50", "p90", "p99", "min", "first")}
        row = shared | measured | {key: one[key] for key in ("engine", "threads")} | {"energy_mj": times["energy_mj"]}
        rows.append({name: row[name] for name in COLUMNS})
    return rows
