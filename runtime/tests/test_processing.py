import numpy as np
import pytest
import torch

from edgestill_runtime import ImageProcessor, InputError
from edgestill_runtime.processing import arrange, dequantize, look_up, processor_from_json, quantize

GREY = ImageProcessor(height=2, width=3, mean=(0.25,), std=(0.5,))
RGB = ImageProcessor(height=2, width=2, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))


def test_the_table_is_pixel_over_255_minus_mean_over_std():
    table = RGB.table()
    assert table.shape == (3, 256) and table.dtype == np.float32
    # By hand: (51/255 - 0.2) / 0.25 = 0 and (255/255 - 0.3) / 1 = 0.7.
    assert table[1, 51] == pytest.approx(0.0, abs=1e-7)
    assert table[2, 255] == pytest.approx(0.7, abs=1e-6)


def test_the_tensor_equals_the_formula_in_both_layouts():
    images = np.random.default_rng(0).integers(0, 256, (4, 2, 2, 3), dtype=np.uint8)
    expected = (images / 255 - np.array(RGB.mean)) / np.array(RGB.std)
    np.testing.assert_allclose(RGB.tensor(images, "NHWC"), expected, atol=1e-6)
    np.testing.assert_allclose(RGB.tensor(images, "NCHW"), expected.transpose(0, 3, 1, 2), atol=1e-6)


def test_one_channel_gets_the_strides_of_a_fresh_array():
    # A view of (N, H, W, 1) as (N, 1, H, W) would count as contiguous and look channels-last to PyTorch.
    tensor = GREY.tensor(np.zeros((5, 2, 3, 1), np.uint8))
    assert tensor.strides == np.empty((5, 1, 2, 3), np.float32).strides


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (1, 2, 3, 1), (1, 2, 3)])
def test_a_single_grey_image_may_omit_axes(shape):
    assert GREY.pixels(np.zeros(shape, np.uint8)).shape == (1, 2, 3, 1)


def test_the_rows_of_a_batch_come_one_by_one():
    images = np.arange(18, dtype=np.uint8).reshape(3, 2, 3, 1)
    rows = list(GREY.each(images))
    assert [row.shape for row in rows] == [(1, 2, 3, 1)] * 3
    np.testing.assert_array_equal(np.concatenate(rows), images)


def test_impossible_statistics_are_refused():
    with pytest.raises(InputError, match="greater than 0"):
        ImageProcessor(2, 2, (0.0,), (0.0,))
    with pytest.raises(InputError, match="one value per channel"):
        ImageProcessor(2, 2, (0.0, 0.1), (1.0,))


def test_json_round_trip():
    assert processor_from_json(RGB.to_json()) == RGB


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_quantize_rounds_as_torch_does():
    values = np.linspace(-3, 3, 10001, dtype=np.float32)
    scale, zero_point = 0.0185, -7
    theirs = torch.quantize_per_tensor(torch.from_numpy(values), scale, zero_point, torch.qint8).int_repr().numpy()
    np.testing.assert_array_equal(quantize(values, scale, zero_point), theirs)


def test_quantize_clips_and_dequantize_inverts():
    assert quantize(np.array([1e9, -1e9, 0.0]), 0.5, 3).tolist() == [127, -128, 3]
    # (7 - 3) * 0.5 = 2
    assert dequantize(np.array([7], np.int8), 0.5, 3).tolist() == [2.0]


def test_look_up_uses_each_channels_own_row():
    table = np.array([[10, 11], [20, 21]], np.int8)
    pixels = np.array([[[[0, 1], [1, 0]]]], np.uint8)
    assert look_up(table, pixels).tolist() == [[[[10, 21], [11, 20]]]]
    assert arrange(look_up(table, pixels), "NCHW").tolist() == [[[[10, 11]], [[21, 20]]]]
