"""`results.json`: reading it; checking it, and a device's measurement, against their schemas (JSON Schema 2020-12)."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

from edgestill_runtime import EdgestillError

Results = dict[str, Any]
"""The content of `results.json`: plain data, described by the schema."""

SCHEMA_VERSION = 1


class ResultsError(EdgestillError):
    """Results that are missing, unreadable, of another version, or not what the schema says."""


def check_results(results: Results) -> None:
    """Raise ResultsError, naming the place, unless `results` is as `results.schema.json` says."""
    check(results, "results.schema.json", "results")


def check(content: dict[str, Any], schema: str, what: str) -> None:
    """Raise ResultsError, naming the place in `what`, unless some content is as a schema of this package says."""
    import jsonschema
    from referencing import Registry, Resource

    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ResultsError(f"{what}: schema version {version!r}, this edgestill reads {SCHEMA_VERSION}; make it again")
    shared = Resource.from_contents(_read("results.schema.json"))
    registry: Registry[Any] = Registry().with_resource("results.schema.json", shared)
    validator = jsonschema.Draft202012Validator(_read(schema), registry=registry)
    problem = jsonschema.exceptions.best_match(validator.iter_errors(content))
    if problem is not None:
        raise ResultsError(f"{what}: {problem.json_path}: {problem.message}")


def _read(schema: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(resources.files(__package__).joinpath(schema).read_text(encoding="utf-8"))
    return content


def quantized_files(results: Results) -> list[dict[str, Any]]:
    """The files that are not fp32 (int8, or mixed where layers stayed in float), one an engine; all where none is."""
    return [file for file in results["files"] if file["precision"] != "fp32"] or results["files"]


def int8_against_fp32(results: Results) -> dict[str, float]:
    """Engine → p50 of its quantized file divided by that of its fp32 file; above 1, quantization is slower here.

    Engines that have only one of the two are left out.
    """
    times = {(file["engine"], file["precision"] == "fp32"): file["latency_ms"]["p50"] for file in results["files"]}
    return {
        engine: times[engine, False] / times[engine, True]
        for engine in dict.fromkeys(engine for engine, _ in times)
        if (engine, False) in times and (engine, True) in times
    }


def gain_is_noise(results: Results) -> bool:
    """Whether the distillation gain is less than two of its standard errors."""
    return bool(abs(results["gain"]) < 2 * results["gain_standard_error"])


def read_results(folder: Path) -> Results:
    """Read and check `results.json` of a run's folder."""
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{folder} has no results.json ({error.strerror}); make it with `edgestill run`") from error
    except ValueError as error:
        raise ResultsError(f"{folder / 'results.json'} is not JSON: {error}") from error
    if not isinstance(results, dict):
        raise ResultsError(f"{folder / 'results.json'} holds no JSON object")
    check_results(results)
    return results
