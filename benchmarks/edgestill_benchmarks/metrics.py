"""All numbers of a run as one flat table: a row for each device, file and number of threads."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .results import Results, ResultsError, check

Row = dict[str, Any]

# Column → what it holds; this order in every format.
COLUMNS = {
    "run": "name of the run",
    "device": "name of the device; `host` is the machine of the run",
    "board": "board or CPU",
    "emulated": "true where times and memory are an emulator's, and say nothing of the board",
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
    "cold_start_ms": "start of a process to its first answer, ms",
    "resident_bytes": "memory after some calls",
    "peak_bytes": "largest memory",
    "energy_mj": "energy of a call, mJ; empty without a meter",
    "accuracy": "share of the test images, 0-1",
    "samples": "test images",
    "retained": "accuracy / the teacher's on the whole test split; empty where that is 0",
    "agreement": "share of the images with the same class as on the host",
}


def metrics(results: Results, devices: Sequence[dict[str, Any]] = ()) -> list[Row]:
    """The rows of a run.

    Args:
        devices: what `edgestill bench` measured; see `read_devices`.
    """
    whole, teacher = results["data"]["test"], results["teacher"]["accuracy"]
    rows: list[Row] = []
    for file in results["files"]:
        name = file["path"].rpartition("/")[2]
        known = {"accuracy": file["accuracy"], "samples": whole, "agreement": None}
        rows += _rows(results, "host", results["machine"], file | {"file": name}, known, teacher)
    for device in devices:
        samples = device["samples"]["count"] if device["samples"] else None
        for file in device["files"]:
            same = device.get("answers", {}).get(file["file"], {})
            known = {"accuracy": file["accuracy"], "samples": samples, "agreement": same.get("agreement")}
            rows += _rows(results, device["device"], device["machine"], file, known, teacher, device["emulated"])
    return rows


def read_devices(folder: Path, results: Results) -> list[dict[str, Any]]:
    """The measurements in `devices/` of a run's folder; those of an older bundle of that name are left out.

    Raises:
        ResultsError: one of them is no measurement.
    """
    found = []
    for path in sorted((folder / "devices").glob("*.json")):
        try:
            one = json.loads(path.read_text(encoding="utf-8"))
            check(one, "measurement.schema.json", "measurement")
        except (ValueError, ResultsError) as error:
            raise ResultsError(f"{path}: {error}; measure again (`edgestill bench`), or remove it") from error
        if one["bundle"]["digest"] == results["bundle"]:
            found.append(one)
    return found


def as_csv(rows: Sequence[Row]) -> str:
    """Comma-separated values with a line of headings."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def as_json(rows: Sequence[Row]) -> str:
    """What the columns mean, and the rows."""
    return json.dumps({"columns": COLUMNS, "rows": list(rows)}, indent=2, ensure_ascii=False) + "\n"


def as_markdown(results: Results, rows: Sequence[Row]) -> str:
    """A table for a model card: the files of a run, each device at the number of threads that is fastest there."""
    student, teacher = results["student_distilled"], results["teacher"]
    alone = 100 * results["student_alone"]["accuracy"]
    lines = [
        f"{student['model']} ({student['parameters']:,} parameters), distilled from {teacher['model']} "
        f"({100 * teacher['accuracy']:.2f} %) on {results['data']['name']}; the same student alone: {alone:.2f} %.",
        "",
        "| device | file | size, kB | accuracy, % | retained, % | threads | p50, ms | p90, ms | peak memory, MB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    fastest: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row["device"], row["file"]
        if key not in fastest or row["p50_ms"] < fastest[key]["p50_ms"]:
            fastest[key] = row
    for row in fastest.values():
        part = "" if row["samples"] in (None, results["data"]["test"]) else f" ({row['samples']:,} images)"
        cells = [
            f"{row['device']}: {row['board']}{', emulated' if row['emulated'] else ''}",
            row["file"],
            f"{row['bytes'] / 1000:.1f}",
            "" if row["accuracy"] is None else f"{100 * row['accuracy']:.2f}{part}",
            "" if row["retained"] is None or part else f"{100 * row['retained']:.1f}",
            str(row["threads"]),
            *("" if row["emulated"] else f"{row[name]:.3f}" for name in ("p50_ms", "p90_ms")),
            "" if row["peak_bytes"] is None or row["emulated"] else f"{row['peak_bytes'] / 1e6:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _rows(
    results: Results,
    device: str,
    machine: dict[str, Any],
    file: dict[str, Any],
    known: Row,
    teacher: float,
    emulated: bool = False,
) -> list[Row]:
    shared = {
        "run": results["name"],
        "device": device,
        "board": machine["cpu"],
        "emulated": emulated,
        "file": file["file"],
        "precision": file["precision"],
        "bytes": file["bytes"],
        "cold_start_ms": file["cold_start_ms"]["p50"],
        "resident_bytes": file["memory"]["resident_bytes"],
        "peak_bytes": file["memory"]["peak_bytes"],
        **known,
        "retained": known["accuracy"] / teacher if teacher and known["accuracy"] is not None else None,
    }
    rows = []
    for one in file["threads"]:
        times = one["latency_ms"]
        measured = {f"{name}_ms": times[name] for name in ("p50", "p90", "p99", "min", "first")}
        row = shared | measured | {key: one[key] for key in ("engine", "threads")} | {"energy_mj": times["energy_mj"]}
        rows.append({name: row[name] for name in COLUMNS})
    return rows
