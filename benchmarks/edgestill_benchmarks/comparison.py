"""Two runs side by side: what became faster or slower, better or worse, and what is noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .doubts import DRIFT
from .results import Results

_STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Change:
    """One number in both runs.

    Args:
        what: the number; `of`: the model, or the device, file and threads it belongs to.
        before, after: the values; `change`: relative for times and bytes, a difference for shares.
        noise: changes smaller than this are not told from none.
        verdict: `better`, `worse`, or `same`: within the noise.
    """

    what: str
    of: str
    before: float
    after: float
    change: float
    noise: float
    verdict: str

    def shown(self) -> list[str]:
        """`before`, `after`, `change` and `noise` as people read them."""
        values = self.before, self.after
        if self.what == "accuracy":
            shown = [f"{100 * value:.2f} %" for value in values]
            return [*shown, f"{100 * self.change:+.2f}", f"±{100 * self.noise:.2f}"]
        times = self.what == "p50"
        shown = [f"{value:.3f} ms" if times else f"{value / 1000:,.1f} kB" for value in values]
        return [*shown, f"{100 * self.change:+.1f} %", f"±{100 * self.noise:.1f} %"]


def compare_runs(
    before: Results, after: Results, devices: tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]] = ((), ())
) -> list[Change]:
    """What changed from one run to another, for all that both have.

    An accuracy's noise is two standard errors of the difference of two shares of so many images; a latency's is how far
    p50 moved within each of the two measurements, and never below 3 %.

    Args:
        devices: of each of the two runs; see `metrics.read_devices`.
    """
    changes = []
    count = min(before["data"]["test"], after["data"]["test"])
    for name in ("teacher", "student_alone", "student_distilled"):
        shares = before[name]["accuracy"], after[name]["accuracy"]
        changes.append(_share("accuracy", name.replace("_", " "), *shares, count))
    old, new = _files(before, devices[0]), _files(after, devices[1])
    for key in old.keys() & new.keys():
        changes += _of_file(" · ".join(key), old[key], new[key])
    return sorted(changes, key=lambda change: (change.what != "accuracy", change.what, change.of))


def _of_file(of: str, old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    changes = []
    if old["accuracy"] is not None and new["accuracy"] is not None:
        changes.append(_share("accuracy", of, old["accuracy"], new["accuracy"], min(old["samples"], new["samples"])))
    changes.append(_relative("bytes", of, old["bytes"], new["bytes"], 0.0))
    if old["memory"]["peak_bytes"] and new["memory"]["peak_bytes"]:
        changes.append(_relative("peak memory", of, old["memory"]["peak_bytes"], new["memory"]["peak_bytes"], 0.02))
    times = [{row["threads"]: row["latency_ms"] for row in one["threads"]} for one in (old, new)]
    for threads in times[0].keys() & times[1].keys():
        first, second = times[0][threads], times[1][threads]
        noise = max(DRIFT, abs(first["drift"]) + abs(second["drift"]))
        label = f"{of} · {threads} thread{'s' * (threads != 1)}"
        changes.append(_relative("p50", label, first["p50"], second["p50"], noise))
    return changes


def _files(results: Results, devices: Sequence[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    found = {
        ("host", file["path"].rpartition("/")[2]): file | {"samples": results["data"]["test"]}
        for file in results["files"]
    }
    for device in devices:
        samples = device["samples"]["count"] if device["samples"] else None
        found |= {(device["device"], file["file"]): file | {"samples": samples} for file in device["files"]}
    return found


def _share(what: str, of: str, before: float, after: float, count: int) -> Change:
    noise = _STANDARD_ERRORS * math.sqrt((before * (1 - before) + after * (1 - after)) / count)
    change = after - before
    return Change(what, of, before, after, change, noise, _verdict(change, noise))


def _relative(what: str, of: str, before: float, after: float, noise: float) -> Change:
    change = after / before - 1
    return Change(what, of, before, after, change, noise, _verdict(-change, noise))


def _verdict(gain: float, noise: float) -> str:
    if abs(gain) <= noise:
        return "same"
    return "better" if gain > 0 else "worse"
