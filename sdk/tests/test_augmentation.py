import numpy as np
import pytest
import torch

from edgestill.data import Augmentation, Split, Views
from edgestill.errors import DataError
from edgestill_runtime import ImageProcessor

IDENTITY = ImageProcessor(6, 5, (0.0,), (1.0 / 255,))  # the tensor is the pixel value


def split(count=40):
    images = np.random.default_rng(0).integers(1, 256, (count, 6, 5, 1), dtype=np.uint8)
    return Split(images, np.arange(count) % 4)


def views(augmentation, count=40, seed=0):
    made = split(count)
    return Views(made.images, np.eye(4, dtype=np.float32)[made.targets], IDENTITY, augmentation, seed)


def everything(source, view):
    return source.batch(view, torch.arange(len(source)))


def test_without_augmentation_the_batch_is_the_tensor_and_one_hot_labels():
    images, targets = everything(views(Augmentation()), 0)
    np.testing.assert_allclose(images.numpy(), split().images.transpose(0, 3, 1, 2), rtol=1e-5)
    assert targets.argmax(1).tolist() == split().targets.tolist() and (targets.sum(1) == 1).all()
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_view_is_the_same_whatever_the_batch_and_the_order():
    augmentation = Augmentation(flip=0.5, shift=2, cutout=2, mixup=0.4)
    whole, targets = everything(views(augmentation), 3)
    order = torch.from_numpy(np.random.default_rng(1).permutation(40))
    again = views(augmentation)
    for index in order.split(7):
        images, chosen = again.batch(3, index)
        assert torch.equal(images, whole[index]) and torch.equal(chosen, targets[index])
    other, _ = everything(again, 4)
    assert not torch.equal(other, whole)
    seeded, _ = everything(views(augmentation, seed=1), 3)
    assert not torch.equal(seeded, whole)


def test_a_flip_mirrors_left_and_right():
    plain, _ = everything(views(Augmentation()), 0)
    mirrored, _ = everything(views(Augmentation(flip=1.0)), 0)
    assert torch.equal(mirrored, plain.flip(3))


def test_a_shift_moves_by_at_most_its_size_and_fills_with_black():
    plain, _ = everything(views(Augmentation(), 200), 0)
    moved, _ = everything(views(Augmentation(shift=1), 200), 0)
    padded = torch.nn.functional.pad(plain, (1, 1, 1, 1))
    seen = set()
    for before, after in zip(padded, moved, strict=True):
        places = [
            (dy, dx) for dy in range(3) for dx in range(3) if torch.equal(before[:, dy : dy + 6, dx : dx + 5], after)
        ]
        assert len(places) == 1
        seen.update(places)
    assert len(seen) == 9


def test_cutout_blackens_one_square():
    plain, _ = everything(views(Augmentation(), 200), 0)
    cut, _ = everything(views(Augmentation(cutout=2), 200), 0)
    black = (cut == 0).flatten(1).sum(1)  # pixels are 1–255 before
    assert black.max() == 4 and black.min() >= 1
    assert torch.equal(torch.where(cut == 0, plain, cut), plain)


def test_mixup_blends_images_and_targets_with_one_weight():
    plain, labels = everything(views(Augmentation()), 0)
    mixed, targets = everything(views(Augmentation(mixup=1.0)), 0)
    torch.testing.assert_close(targets.sum(1), torch.ones(40))
    found = 0
    for row in range(40):
        if targets[row].max() == 1:
            continue  # blended with an image of its own class
        weight, own = targets[row, labels[row].argmax()], plain[row]
        assert weight >= 0.5
        rest = (mixed[row] - weight * own) / (1 - weight)
        distances = (plain - rest).abs().flatten(1).max(1).values
        partner = int(distances.argmin())
        assert distances[partner] < 0.5
        assert labels[partner].argmax() == targets[row].topk(2).indices[1]
        found += 1
    assert found > 20


def test_names_of_a_recipe():
    assert Augmentation.parse(["flip", "shift:3"]) == Augmentation(flip=0.5, shift=3)
    assert Augmentation.parse([]) == Augmentation()
    with pytest.raises(DataError, match="unknown augmentation 'flop'; did you mean 'flip'"):
        Augmentation.parse(["flop"])
    with pytest.raises(DataError, match="'two' is not a number"):
        Augmentation.parse(["shift:two"])
    with pytest.raises(DataError, match="between 0 and 1"):
        Augmentation(flip=2)
