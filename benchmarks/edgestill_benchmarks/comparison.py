"""Two runs side by side: what became faster or slower, better or worse, and what is noise."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgestill_runtime.tasks import Measure

from .measurement_warnings import DRIFT
from .measures import difference, measures_of
from .results import MODEL_NAMES, Results, ResultsError

_STANDARD_ERRORS = 2.0
Device = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One number in both runs.

    Args:
        what: the number; `of`: the model, or the device, file and threads it belongs to.
        before, after: the values; `change`: relative for times and bytes, a difference for a measure of quality.
        noise: changes smaller than this are not significant; None where it is unknown.
        verdict: `better`, `worse`, `same`: within the noise, or `unknown`, like the noise.
        unit: `ms` or `bytes`; of a measure its own, `%` for a share.
    """

    what: str
    of: str
    before: float
    after: float
    change: float
    noise: float | None
    verdict: str
    unit: str

    def shown(self) -> list[str]:
        """`before`, `after`, `change` and `noise` as people read them."""
        values = self.before, self.after
        if self.unit in ("ms", "bytes"):
            shown = [f"{value:.3f} ms" if self.unit == "ms" else f"{value / 1000:,.1f} kB" for value in values]
            return [*shown, f"{100 * self.change:+.1f} %", _noise(self.noise, lambda noise: f"{100 * noise:.1f} %")]
        measure = Measure(self.what, self.unit)
        shown = [measure.show(value) for value in values]
        noise = _noise(self.noise, lambda noise: difference(measure, noise, sign=False))
        return [*shown, difference(measure, self.change), noise]


def compare_runs(
    before: Results, after: Results, devices: tuple[Sequence[Device], Sequence[Device]] = ((), ())
) -> list[Change]:
    """What changed from one run to another, for all that both have; the main measure first.

    The noise of the main measure is two standard errors of a difference:

    - where it is a share of the samples (its confusion matrix counts the correct ones), of the difference of two
      binomial shares, as if the runs had used different samples. They used the same, so this is an upper estimate;
    - else the standard errors of both runs' gains (`gain_standard_error`: between two trainings of one student on the
      same samples), added as those of independent numbers. Where one of the two is zero, as where both students
      predict the same, it says nothing about other models, and the noise is unknown.

    On a device that ran on a part of the samples, the noise grows with the square root of whole / part. No standard
    error is known of a task's other measures, so their changes are listed with the verdict `unknown`. A latency's noise
    is the drift of p50 within each of the two measurements, and at least 3 %.

    Args:
        devices: of each of the two runs; see `metrics.read_devices`.

    Raises:
        ResultsError: the runs are of different tasks or measures.
    """
    refuse_other_task(before, after)
    measures = measures_of(before["task"])
    noise = _Noise(before, after)
    changes = []
    for name, shown in MODEL_NAMES.items():
        values, count = (before[name]["quality"], after[name]["quality"]), noise.whole
        changes += _of_quality(measures, shown, values, noise, count)
    old, new = _files(before, devices[0]), _files(after, devices[1])
    for key in old.keys() & new.keys():
        changes += _of_file(" · ".join(key), old[key], new[key], measures, noise)
    order = [one.name for one in measures]
    return sorted(
        changes,
        key=lambda one: (order.index(one.what) if one.what in order else len(order), one.what, one.of),
    )


def refuse_other_task(first: Results, second: Results) -> None:
    """Refuse to compare runs of different tasks.

    Raises:
        ResultsError: names the two tasks.
    """
    tasks = [(one["task"]["name"], [measure["name"] for measure in one["task"]["measures"]]) for one in (first, second)]
    if tasks[0] != tasks[1]:
        texts = " and ".join(f"{name} ({', '.join(measures)})" for name, measures in tasks)
        raise ResultsError(f"the runs {first['name']} and {second['name']} cannot be compared: they are for {texts}")


class _Noise:
    """Noise of the main measure between two runs; see `compare_runs`."""

    def __init__(self, before: Results, after: Results) -> None:
        self.whole = min(before["data"]["test"], after["data"]["test"])
        self._share = is_share_of_samples(before) and is_share_of_samples(after)
        errors = before["gain_standard_error"], after["gain_standard_error"]
        self._error = math.hypot(*errors) if all(errors) else None

    def of(self, before: float, after: float, count: int) -> float | None:
        """Noise of a change of the main measure on `count` samples."""
        if self._share:
            return _STANDARD_ERRORS * math.sqrt((before * (1 - before) + after * (1 - after)) / count)
        return None if self._error is None else _STANDARD_ERRORS * self._error * math.sqrt(self.whole / count)


def is_share_of_samples(results: Results) -> bool:
    """Whether the main measure is the share of correct samples, which the diagonal of a confusion matrix confirms."""
    main = measures_of(results["task"])[0].name
    found = {who: results[who]["quality"][main] for who in ("teacher", "student_distilled")}
    found |= {file["path"].rpartition("/")[2]: file["quality"][main] for file in results["files"]}
    for who, details in results["details"].items():
        if who in found and "confusion" in details:
            rows = details["confusion"]
            total = sum(map(sum, rows))
            if total > 0 and math.isclose(sum(row[i] for i, row in enumerate(rows)) / total, found[who]):
                return True
    return False


def _of_quality(
    measures: Sequence[Measure], of: str, values: tuple[dict[str, float], dict[str, float]], noise: _Noise, count: int
) -> list[Change]:
    """A change for every measure; the noise is known for the first alone."""
    changes = []
    for place, one in enumerate(measures):
        before, after = (value[one.name] for value in values)
        known = noise.of(before, after, count) if place == 0 else None
        change = after - before
        verdict = _verdict(change if one.higher_is_better else -change, known)
        changes.append(Change(one.name, of, before, after, change, known, verdict, one.unit))
    return changes


def _of_file(of: str, old: Device, new: Device, measures: Sequence[Measure], noise: _Noise) -> list[Change]:
    changes = []
    if old["quality"] is not None and new["quality"] is not None:
        count = min(old["samples"], new["samples"])
        changes += _of_quality(measures, of, (old["quality"], new["quality"]), noise, count)
    changes.append(_relative("bytes", of, old["bytes"], new["bytes"], 0.0, "bytes"))
    if old["memory"]["peak_bytes"] and new["memory"]["peak_bytes"]:
        peaks = old["memory"]["peak_bytes"], new["memory"]["peak_bytes"]
        changes.append(_relative("peak memory", of, *peaks, 0.02, "bytes"))
    times = [{row["threads"]: row["latency_ms"] for row in one["threads"]} for one in (old, new)]
    for threads in times[0].keys() & times[1].keys():
        first, second = times[0][threads], times[1][threads]
        drift = max(DRIFT, abs(first["drift"]) + abs(second["drift"]))
        label = f"{of} · {threads} thread{'s' * (threads != 1)}"
        changes.append(_relative("p50", label, first["p50"], second["p50"], drift, "ms"))
    return changes


def _files(results: Results, devices: Sequence[Device]) -> dict[tuple[str, str], Device]:
    found = {
        ("host", file["path"].rpartition("/")[2]): file | {"samples": results["data"]["test"]}
        for file in results["files"]
    }
    for device in devices:
        samples = device["samples"]["count"] if device["samples"] else None
        found |= {(device["device"], file["file"]): file | {"samples": samples} for file in device["files"]}
    return found


def _relative(what: str, of: str, before: float, after: float, noise: float, unit: str) -> Change:
    change = after / before - 1
    return Change(what, of, before, after, change, noise, _verdict(-change, noise), unit)


def _verdict(gain: float, noise: float | None) -> str:
    if noise is None or math.isnan(gain):
        return "same" if gain == 0 else "unknown"
    if abs(gain) <= noise:
        return "same"
    return "better" if gain > 0 else "worse"


def _noise(noise: float | None, show: Callable[[float], str]) -> str:
    return "unknown" if noise is None else f"±{show(noise)}"
