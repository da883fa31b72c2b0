"""What Python's tasks answer and measure, as files that Kotlin and JavaScript are held to.

`tasks.json` has cases (outputs → answers, measures, agreement), settings that are refused, and numbers in words. What
JSON cannot hold, or would round, stands as bits: int32 of a float32, hexadecimal of a float64.
"""

import json
import math
import struct
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgestill_runtime import InputError, Measure, Prediction, Value
from edgestill_runtime.tasks import task_of

IMAGE, LABELS, VALUES = "image-classification", "multi-label-classification", "regression"


def write_tasks(target: Path) -> None:
    """Everything into `tasks.json`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of NaN and infinity, which are among the cases
        said = {"cases": _cases(), "settings": _settings(), "numbers": _numbers()}
    (target / "tasks.json").write_text(json.dumps(said, ensure_ascii=False))


def _cases() -> list[dict[str, Any]]:
    generator = np.random.default_rng(3)

    def normal(rows: int, columns: int, spread: float = 1.0) -> np.ndarray:
        return generator.normal(0, spread, (rows, columns)).astype(np.float32)

    def near(first: np.ndarray, spread: float) -> np.ndarray:
        return first + normal(*first.shape, spread)

    def steps(rows: int, columns: int) -> np.ndarray:
        return np.float32(0.0625) * generator.integers(-4, 4, (rows, columns)).astype(np.float32)

    nan, inf, huge = np.nan, np.inf, 3e38
    names = tuple("abcdefghij")
    odd = np.array([[1, nan, 2], [nan, nan, nan], [inf, 0, -inf], [huge, -huge, 0], [0.0, -0.0, 0.0]], np.float32)
    ends = np.array([[0.0, -0.0, 0.25], [1, 0.5, nan], [0.7, 0.1, 0.3]], np.float32)
    one = normal(40, 10)
    few = normal(30, 3)
    three = generator.integers(0, 2, (30, 3)).astype(np.uint8)
    options = [{"top": 3}, {"top": 1000}, {"top": 0}]
    more = [{"top": 2}, {"threshold": 0, "top": 1}, *({"threshold": one} for one in (0.0, 0.1, 0.7, 1.0, 1.5))]
    thresholds = {"thresholds": [0.1, 0.7, 0.3]}
    return [
        # Classes: of small and large differences, ties, what float32 cannot hold, without names.
        *(_case(IMAGE, names, {}, normal(20, 10, wide), normal(20, 10, wide), generator.integers(0, 10, 20), options)
          for wide in (0.001, 1, 30, 1000)),
        _case(IMAGE, names, {}, one, near(one, 0.5), generator.integers(0, 10, 40)),
        _case(IMAGE, (), {}, steps(30, 10), steps(30, 10), generator.integers(0, 10, 30), options),
        _case(IMAGE, ("x", "y", "z"), {}, odd, np.nan_to_num(odd), np.array([2, 0, 0, 0, 0])),
        _case(IMAGE, ("x", "y", "z"), {}, ends, ends, np.array([2, 0, 0]), scores="probabilities"),
        _case(IMAGE, (), {}, few, normal(30, 4), np.zeros(29, np.int64)),  # shapes that do not belong together
        _case(IMAGE, (), {}, normal(2, 1), normal(2, 1), np.zeros(2, np.int64)),
        _case(IMAGE, (), {}, few[:0], few[:0], np.zeros(0, np.int64)),
        _case(IMAGE, (), {}, few[:, :, None], few[:, :, None], np.zeros(30, np.int64)),
        # Labels: thresholds for each and for all, ties, NaN, a class that no sample has, no label at all.
        *(_case(LABELS, ("x", "y", "z"), settings, few * wide, near(few, 1) * wide, three, more)
          for settings in ({}, thresholds, {"thresholds": 0.25}, {"thresholds": [0.9]})
          for wide in (np.float32(1), np.float32(8))),
        _case(LABELS, ("x", "y", "z"), thresholds, ends, ends[::-1], three[:3], more, "probabilities"),
        _case(LABELS, (), {}, steps(50, 3), steps(50, 3), generator.integers(0, 2, (50, 3)).astype(np.float32), more),
        _case(LABELS, (), {}, odd, np.nan_to_num(odd), np.array([[1, 0, 0]] * 2 + [[0, 1, 1]] * 2 + [[1, 1, 0]])),
        _case(LABELS, ("x", "y", "z"), {}, few, few, three * np.array([1, 0, 1])),
        _case(LABELS, ("x", "y", "z"), {}, few, few[:9], 0 * three),
        _case(LABELS, (), {}, few, few, three[:, :2]),
        _case(LABELS, (), {}, few[:0], few[:0], three[:0]),
        _case(LABELS, (), {}, few[0], few[0], three[0]),
        # Values: in units of the target, within the tolerance and just without, NaN, targets that never vary.
        *(_case(VALUES, ("x", "y", "z"), settings, few, near(few, spread), few.astype(np.float64) + normal(30, 3, 0.3))
          for spread in (0.001, 0.1)
          for settings in ({}, {"mean": 10, "std": 0.1, "tolerance": 0.01},
                           {"mean": [1, -2e6, 0.3], "std": [0.5, 1e5, 1e-9], "units": ["mm", "", "µg/m³"],
                            "tolerance": [0.5, 1000, 1e-10]})),
        _case(VALUES, ("x", "y", "z"), {"tolerance": [0.5, 0, 0.0625]}, steps(40, 3), steps(40, 3), steps(40, 3)),
        _case(VALUES, ("x",), {"std": 2.5}, one[:, :1], near(one[:, :1], 0.1), one[:, 0]),
        _case(VALUES, (), {}, one, near(one, 0.1), one * np.float32(2) + np.float32(0.5)),
        _case(VALUES, (), {"tolerance": 1}, odd, np.nan_to_num(odd), odd * 0 + np.arange(5, dtype=np.float32)[:, None]),
        _case(VALUES, (), {}, odd[:, :1], odd[:, :1], np.arange(5.0)),
        _case(VALUES, (), {}, few, few, np.concatenate([few[:, :2], few[:, 2:] * 0 + 7], axis=1)),
        _case(VALUES, (), {}, few, few[:4], few * 0 + 7),
        _case(VALUES, (), {}, few, few, few[:, :2]),
        _case(VALUES, ("x", "y"), {}, few, few, few),
        _case(VALUES, (), {}, few[:0], few[:0], few[:0]),
        _case("tensors", (), {}, few, few, few),
        _case("mine:Ordinal", (), {}, few, few, few),
    ]  # fmt: skip


def _case(
    name: str,
    labels: Sequence[str],
    settings: Mapping[str, Any],
    outputs: np.ndarray,
    other: np.ndarray,
    targets: np.ndarray,
    options: Sequence[Mapping[str, Any]] = (),
    scores: Any = "logits",
) -> dict[str, Any]:
    """Outputs of two models, and what one task makes of them; what it refuses stands as `error`."""
    task = task_of(name, labels, settings, scores)
    samples = [outputs[at : at + 1] for at in range(len(outputs))] if outputs.ndim > 1 else [outputs]

    def predicted(sample: np.ndarray, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        (answer,) = task.answer([sample], **kwargs)
        return {"parts": [_part(one) for one in answer], "described": task.describe(answer)}

    return {
        "task": name,
        "labels": labels,
        "settings": settings,
        "scores": scores,
        "outputs": _floats(outputs),
        "other": _floats(other),
        "targets": {"shape": targets.shape, "numbers": hexadecimal(np.asarray(targets, np.float64).ravel().tolist())},
        "answers": [
            {"options": kwargs, "samples": [_tried(partial(predicted, one, kwargs)) for one in samples]}
            for kwargs in ({}, *options)
        ],
        "quality": _tried(
            lambda: {key: hexadecimal([value])[0] for key, value in task.quality([outputs], targets).items()}
        ),
        "same": _tried(lambda: task.same([outputs], [other]).tolist()),
        "agreement": _tried(lambda: hexadecimal([task.agreement([outputs], [other])])[0]),
    }


def _part(one: Prediction | Value) -> list[Any]:
    if isinstance(one, Prediction):
        return [one.label, struct.unpack("<i", struct.pack("<f", _canonical(one.score)))[0]]
    return [one.name, hexadecimal([one.value])[0], one.unit]


def _tried(act: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"found": act()}
    except InputError as error:
        return {"error": str(error)}


def _floats(values: np.ndarray) -> dict[str, Any]:
    return {"shape": values.shape, "bits": np.ascontiguousarray(values, np.float32).view(np.int32).ravel().tolist()}


def hexadecimal(values: Sequence[float]) -> list[str]:
    """The bits of float64, the first byte first."""
    return [struct.pack(">d", _canonical(value)).hex() for value in values]


def _canonical(value: float) -> float:
    """NaN has a sign and bits that say nothing, and that processors choose."""
    return math.nan if math.isnan(value) else value


def _settings() -> list[dict[str, Any]]:
    """Settings, most of them wrong, and what Python says of them."""
    two, none = ("a", "b"), ()
    tried: list[tuple[str, Sequence[str], dict[str, Any]]] = [
        (IMAGE, two, {}), (IMAGE, two, {"thresholds": 0.5}), (IMAGE, two, {"it's": 1, "b": 2}),
        ("tensors", two, {"mean": 1}), ("mine:Ordinal", two, {"mean": 1}),
        *((LABELS, labels, {"thresholds": value}) for labels in (two, none)
          for value in (None, 0, 1, 0.5, [], [0.5], [0.5, 0.25], [0.5] * 3, 1.5, [0.5, 1.25], "half", [None, 0.5], True,
                        -0.5, [[0.5]], {"a": 0.5}, "it's \"quoted\" \\ \n", "x" * 60)),
        (LABELS, two, {"threshold": 0.5}),
        *((VALUES, labels, {name: value}) for labels in (two, none) for name in ("mean", "std", "tolerance")
          for value in (None, 0, 1, -1, 0.5, 1e-30, 1e-31, 1e30, 1e31, -1e30, [1, 2], [1, None], [1, 2, 3], True, "1",
                        [])),
        *((VALUES, labels, {"units": value}) for labels in (two, none)
          for value in (None, "", [], {}, 0, 1, False, True, "mm", ["mm"], ["mm", "kg"], ["mm", 3], ["mm", None],
                        {"a": "mm"})),
        (VALUES, two, {"unit": "mm", "mean": 1}),
    ]  # fmt: skip
    return [
        {"task": name, "labels": labels, "settings": settings} | _tried(partial(_made, name, labels, settings))
        for name, labels, settings in tried
    ]


def _made(name: str, labels: Sequence[str], settings: Mapping[str, Any]) -> bool:
    return bool(task_of(name, labels, settings))


def _numbers() -> list[dict[str, Any]]:
    """Numbers as answers and measures show them."""
    generator = np.random.default_rng(4)
    some = [0.0, -0.0, 0.5, 2.5, 1234.5, 1235.5, 0.00001, 123456.0, 0.125, 1e22, 1e-7, 9.9995, 99995.0, np.nan, np.inf,
            -np.inf, 5e-324, 1.7e308, 0.1, 1 / 3, 0.00012345, 0.000099995, -0.001, 12.345, 0.88945, 0.005,
            0.015]  # fmt: skip
    drawn = (generator.normal(0, 1, 200) * 10.0 ** generator.integers(-8, 9, 200)).tolist()
    share, plain = Measure("accuracy"), Measure("MAE", "mm")
    return [
        {"number": hexadecimal([one])[0], "share": share.show(one), "plain": plain.show(one)} for one in some + drawn
    ]
