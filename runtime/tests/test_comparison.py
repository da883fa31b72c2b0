"""Comparison of outputs: every rank and dtype; what cannot be compared fails."""

import json

import numpy as np
import pytest

from edgestill_runtime import TensorSpec, Tolerance, compare_outputs

STEPS = Tolerance(steps=2)
SCALED = (TensorSpec((1, 4), "int8", scale=0.5, zero_point=0, name="scores"),)
REFERENCE = np.array([[1.0, 2.0, 3.0, 0.0], [4.0, 0.0, 1.0, 2.0]], np.float32)


def compare(found, reference=REFERENCE, tolerance=STEPS, specs=SCALED):
    return compare_outputs([found], [reference], tolerance, specs)


def test_two_steps_are_allowed_and_counted():
    found = REFERENCE.copy()
    found[0, 3] += 1.0
    only = compare(found).outputs[0]
    # One of eight values is more than a step of 0.5 away; the best class stays in both rows.
    assert only.passed and (only.difference, only.allowed, only.steps) == (1.0, 1.0, 2.0)
    assert only.changed == 1 / 8 and only.values == 8 and only.mean == 1 / 8
    # rms: 1 / sqrt(1+4+9+16+1+4)
    assert only.rms == pytest.approx(1 / np.sqrt(35))


def test_the_last_bits_of_float32_do_not_decide():
    """What int8 stands for is float32: a difference of one step is not exactly a step of it."""
    step = np.float32(0.1037350818514823)
    numbers = np.arange(-128, 127, dtype=np.float32)
    specs = (TensorSpec((1,), "int8", scale=float(step), zero_point=0),)
    only = compare((numbers + 1) * step, numbers * step, Tolerance(steps=1), specs).outputs[0]
    assert only.passed and only.changed == 0
    further = compare((numbers + np.float32(1.001)) * step, numbers * step, Tolerance(steps=1), specs).outputs[0]
    assert not further.passed and further.changed > 0.9


def test_beyond_two_steps_fails_and_says_by_how_much():
    found = REFERENCE.copy()
    found[0, 0] = 4.0
    compared = compare(found)
    assert not compared.passed
    assert compared.reason == "output 0 (scores): 3 (6.00 steps) apart, 1 allowed"


@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (2, 3, 4), (1, 2, 3, 4), (1, 1, 2, 2, 2)])
def test_any_rank(shape):
    reference = np.arange(max(np.prod(shape, dtype=int), 1), dtype=np.float32).reshape(shape) + 1
    assert compare(reference.copy(), reference).passed
    compared = compare(reference + np.float32(16 * 0.5), reference)  # sixteen steps
    assert not compared.passed and compared.outputs[0].steps == 16


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "NaN in 1 of 8 values where the reference has none"),
        (np.inf, "another infinity, or none, in 1 of 8 values"),
        (-np.inf, "another infinity, or none, in 1 of 8 values"),
    ],
)
def test_what_is_not_finite_on_one_side_always_fails(value, message):
    found = REFERENCE.copy()
    found[1, 2] = value
    generous = Tolerance(steps=1e30)
    assert compare(found, tolerance=generous).reason == f"output 0 (scores): {message}"
    assert not compare(REFERENCE, found, tolerance=generous).passed
    # The same one on both sides is no difference, but is not compared either.
    same = compare(found, found)
    assert same.passed and same.outputs[0].values == 7


def test_the_second_output_counts_as_the_first():
    good, bad = REFERENCE, np.full((2, 3, 3), np.nan, np.float32)
    compared = compare_outputs([good, bad], [good, np.ones((2, 3, 3), np.float32)], STEPS)
    assert not compared.passed and compared.worst.name == "output 1"
    assert "output 1: NaN in 18 of 18" in compared.reason
    # JSON has no infinity.
    assert json.loads(json.dumps(compared.to_json(), allow_nan=False))["outputs"][1]["difference"] is None


def test_the_worst_output_is_the_one_furthest_beyond_its_own_limit():
    reference = [np.full((1, 2), 128.0, np.float32), np.full((1, 2), 1.28, np.float32)]
    # A step is 1 in the first, 0.01 in the second: 1.5 steps and 1.9 steps.
    compared = compare_outputs([reference[0] + 1.5, reference[1] + 0.019], reference, STEPS)
    assert compared.passed and compared.worst.name == "output 1"


def test_other_counts_shapes_and_kinds_are_never_the_same():
    assert compare_outputs([REFERENCE], [REFERENCE, REFERENCE], STEPS).reason == "1 outputs instead of 2"
    only = compare(REFERENCE[:1]).outputs[0]
    assert (only.values, only.changed) == (0, 1.0)
    assert compare(REFERENCE[:1]).reason == "output 0 (scores): shape (1, 4) instead of (2, 4)"
    assert compare(REFERENCE.astype(np.int32)).reason == "output 0 (scores): int32 instead of float32"
    assert compare(REFERENCE > 0).reason == "output 0 (scores): bool instead of float32"
    assert compare(REFERENCE.astype(np.float64)).passed and compare(REFERENCE.astype(np.float16)).passed
    text = np.array(["a"])
    assert compare(text, text).reason == "output 0 (scores): no plain numbers"
    assert compare(np.array([1j]), np.array([1j])).reason == "output 0 (scores): no plain numbers"


def test_nothing_compared_is_not_the_same():
    assert compare_outputs([], [], STEPS).reason == "there is no value to compare"
    assert compare(REFERENCE[:0], REFERENCE[:0]).reason == "there is no value to compare"
    nan = np.full((2, 4), np.nan, np.float32)
    assert compare(nan, nan).reason == "there is no value to compare"
    # No boxes in one output beside values in another are an answer.
    none = np.zeros((0, 4), np.float32)
    assert compare_outputs([none, REFERENCE], [none, REFERENCE], STEPS).passed


def test_integers_and_booleans_are_equal_or_not():
    classes = np.arange(200).reshape(2, 100)
    found = classes.copy()
    found[0, 0] = 7  # one of 200, however near
    compared = compare(found, classes)
    assert compared.reason == "output 0 (scores): 1 of 200 values differ"
    assert compared.outputs[0].allowed == 0 and compared.outputs[0].mean == 7 / 200
    assert compare(found, classes, Tolerance(steps=2, changed=0.005)).passed
    assert compare(found.astype(np.int32), classes.astype(np.int64), Tolerance(changed=0.005)).passed
    mask = np.array([[True, False]])
    assert compare(mask, mask).passed and not compare(~mask, mask, Tolerance(changed=0.5)).passed
    large = np.array([2**62, 2**62 + 1])
    assert not compare(large, large - [0, 1]).passed  # the same in float64


def test_small_unsigned_integers_do_not_wrap():
    compared = compare(np.array([1], np.uint8), np.array([2], np.uint8))
    assert compared.outputs[0].difference == 1


def test_an_output_of_zeros_has_a_scale_of_its_own():
    zeros = np.zeros((2, 3), np.float32)
    assert compare(zeros, zeros, specs=()).passed
    assert compare(zeros + np.float32(1e-9), zeros, Tolerance(share=0.01), specs=()).passed
    assert not compare(zeros + np.float32(1e-3), zeros, Tolerance(share=0.01), specs=()).passed


def test_root_mean_square_as_parity_uses_it():
    reference = np.array([3.0, 4.0], np.float32)
    compared = compare(reference + np.float32(0.5), reference, Tolerance(rms=0.1))
    # sqrt(mean 0.25) / sqrt(mean (9, 16))
    assert compared.outputs[0].rms == pytest.approx(0.5 / np.sqrt(12.5)) and not compared.passed
    assert compare(reference + np.float32(0.5), reference, Tolerance(rms=0.2)).passed


def test_values_beyond_one_block_count(monkeypatch):
    monkeypatch.setattr("edgestill_runtime.comparison.BLOCK", 4)
    reference = np.arange(10, dtype=np.float32)
    found = reference.copy()
    found[9] = 50
    compared = compare(found, reference)
    assert compared.outputs[0].difference == 41 and compared.outputs[0].values == 10
    found[9] = np.nan
    assert "NaN in 1 of 10" in compare(found, reference).reason


def test_float32_at_its_limits_fails_without_a_warning():
    huge = np.array([3.4e38, -3.4e38], np.float32)
    compared = compare(-huge, huge, specs=())
    assert not compared.passed and compared.outputs[0].difference == pytest.approx(6.8e38)
    opposite = compare(np.array([-np.inf, 1], np.float32), np.array([np.inf, 1], np.float32))
    assert opposite.reason == "output 0 (scores): another infinity, or none, in 1 of 2 values"
