"""`results.json`: reading it; checking it, and a device's measurement, against their schemas (JSON Schema 2020-12)."""

import json
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from edgestill_runtime import EdgestillError
from edgestill_runtime.tasks import Measure

from .measures import main_measure, measures_of
from .migration import migrate_results

Results = dict[str, Any]
"""The content of `results.json`: plain data, described by the schema."""

SCHEMA_VERSION = 2

MODEL_NAMES = {"teacher": "teacher", "student_alone": "baseline student", "student_distilled": "distilled student"}
"""Keys of the models in `results.json` → their names in reports."""


class ResultsError(EdgestillError):
    """Results that are missing, unreadable, of another version, or do not match the schema."""


def check_results(results: Results) -> None:
    """Raise ResultsError, naming the place, unless `results` matches `results.schema.json`.

    Also checks what a schema cannot express: every quality has the task's measures, and shares lie in 0–1.
    """
    check(results, "results.schema.json", "results")
    measures = measures_of(results["task"])
    for place, quality in _qualities(results):
        check_quality(quality, measures, f"results: {place}")
    if main_measure(results["task"]).unit == "%":
        for place, share, most in _shares(results):
            if not 0 <= share <= most:
                raise ResultsError(f"results: {place}: {share} is no share")


def check(content: dict[str, Any], schema: str, what: str) -> None:
    """Raise ResultsError, naming the place in `what`, unless the content matches a schema of this package."""
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


def check_quality(quality: dict[str, float], measures: tuple[Measure, ...], place: str) -> None:
    """Raise ResultsError, naming the place, unless a quality is of these measures, and its shares lie from 0 to 1."""
    if quality.keys() != {one.name for one in measures}:
        named, known = ", ".join(quality), ", ".join(one.name for one in measures)
        raise ResultsError(f"{place}: it has {named}; the task's measures are {known}")
    for one in measures:
        if one.unit == "%" and not 0 <= quality[one.name] <= 1:
            raise ResultsError(f"{place}.{one.name}: {quality[one.name]} is no share from 0 to 1")


def upgrade(content: dict[str, Any], migrate: Callable[[dict[str, Any]], dict[str, Any]], what: str) -> dict[str, Any]:
    """Convert content of schema version 1 to the current version; return other content unchanged.

    Args:
        migrate: see `migration`. what: name of the content in the message.

    Raises:
        ResultsError: it states version 1, and does not have that version's format.
    """
    if not isinstance(content, dict) or content.get("schema_version") != 1:
        return content
    try:
        return migrate(content)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ResultsError(f"{what}: schema version 1, but not as that was: {why}; make it again") from error


def quantized_files(results: Results) -> list[dict[str, Any]]:
    """The files that are int8, or mixed where layers stayed in float, one an engine; all files where none is."""
    return [file for file in results["files"] if file["precision"] != "fp32"] or results["files"]


def quantized_details(results: Results) -> tuple[str, dict[str, Any]]:
    """The quantized student's key in `details`, and its entry there.

    That is the last quantized file, as both engines' files predict the same; the fp32 student where no file has
    details.
    """
    names = [file["path"].rpartition("/")[2] for file in quantized_files(results)]
    who = next((name for name in reversed(names) if name in results["details"]), "student_distilled")
    return who, results["details"][who]


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
    """Read and check `results.json` of a run's folder; one of schema version 1 is converted to version 2.

    Raises:
        ResultsError: it is missing, unreadable, of another version, or does not match its schema.
    """
    try:
        results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultsError(f"{folder} has no results.json ({error.strerror}); make it with `edgestill run`") from error
    except ValueError as error:
        raise ResultsError(f"{folder / 'results.json'} is not JSON: {error}") from error
    if not isinstance(results, dict):
        raise ResultsError(f"{folder / 'results.json'} holds no JSON object")
    results = upgrade(results, migrate_results, "results")
    check_results(results)
    return results


def _read(schema: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(resources.files(__package__).joinpath(schema).read_text(encoding="utf-8"))
    return content


def _qualities(results: Results) -> Iterator[tuple[str, dict[str, float]]]:
    """Place and value of every quality."""
    for who in ("teacher", "student_alone", "student_distilled"):
        yield f"$.{who}.quality", results[who]["quality"]
    for number, file in enumerate(results["files"]):
        yield f"$.files[{number}].quality", file["quality"]
    for name, quality in results["conversion"]["gate"].get("quality", {}).items():
        yield f"$.conversion.gate.quality['{name}']", quality


def _shares(results: Results) -> Iterator[tuple[str, float, float]]:
    """Place, value and upper limit of the numbers derived from a main measure that is a share."""
    yield "$.retained", results["retained"], float("inf")
    yield "$.gain_standard_error", results["gain_standard_error"], 1.0
    for number, file in enumerate(results["files"]):
        yield f"$.files[{number}].retained", file["retained"], float("inf")
    for who, details in results["details"].items():
        for label, share in details.get("per_class", {}).items():
            if share is not None:
                yield f"$.details['{who}'].per_class['{label}']", share, 1.0
