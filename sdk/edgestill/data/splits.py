"""Names by which people call their splits: of folders, and of files that data hubs hand out."""

import re

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_WORDS = {
    TRAIN: ("train", "training", "trn"),
    VALIDATION: ("valid", "val", "validation", "validate", "dev", "development"),
    TEST: ("test", "testing", "tst", "eval", "evaluation", "holdout"),
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
# `training_set`, `test-data`: the word is what counts.
_TAIL = re.compile(r"[ _-]?(set|data|dataset|split|images|imgs|samples)$")
# `train-00000-of-00002`, `test.3`, `validation_1`
_SHARD = re.compile(r"[ ._-]?\d+([ ._-]?of[ ._-]?(?P<total>\d+))?([ ._-][0-9a-f]{8,})?$")
# `val2017`, `train_v2`, `test-1.1`
_NUMBER = re.compile(r"[ ._-]?v?\d+([._-]\d+)*$", re.IGNORECASE)


def split_of(name: str) -> str | None:
    """`train`, `validation` or `test` for a name that means it, in any case; None for others."""
    word = name.strip().casefold()
    return _SPLIT_OF.get(word) or _SPLIT_OF.get(_TAIL.sub("", word))


def numbered_split_of(name: str) -> str | None:
    """The split of a name with a year, a version or a number behind it: `val2017`, `train_v2`; None for others."""
    match = _NUMBER.search(name)
    return split_of(name[: match.start()]) if match else None


def resembles_split(name: str) -> str | None:
    """The split that one of several words in a name means: `seg_train`; None where there is none."""
    splits = {_SPLIT_OF[word] for word in re.split(r"[^a-z]+", name.casefold()) if word in _SPLIT_OF}
    return splits.pop() if len(splits) == 1 else None


def shard_of(stem: str) -> tuple[str | None, int | None]:
    """Split, and how many shards there should be, of a file's name without its ending: `train-00000-of-00002`."""
    match = _SHARD.search(stem)
    split = split_of(stem[: match.start()] if match else stem)
    total = match["total"] if match and split else None
    return split, int(total) if total else None
