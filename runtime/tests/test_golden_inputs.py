"""Photos and recordings become the pixels that they became before, to the last bit: golden_inputs.json."""

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def golden():
    """The module golden_inputs.py beside this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        import golden_inputs
    return golden_inputs


@pytest.fixture(scope="module")
def written(golden):
    return json.loads(golden.FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["photos", "recordings"])
def test_each_becomes_the_same_pixels_as_before(golden, written, kind):
    """Where a change is meant, golden_inputs.py says how the file is written again."""
    found, processors = golden.digests(kind), golden.processors(kind)
    for name, row in found.items():
        for place, digest in row.items():
            known = written[kind].get(name, {}).get(place)
            assert digest == known, f"{name!r} becomes other pixels through {processors[int(place)]}"
    assert list(found) == list(written[kind])


def test_every_way_is_among_them(golden, written):
    """Each way of resizing with each filter in grey and in RGB, sides above 4,000 pixels, and each rate."""
    tried = {
        kind: [golden.processors(kind)[int(place)] for row in written[kind].values() for place in row]
        for kind in golden.KINDS
    }
    assert len({(one.resize, one.filter, one.channels) for one in tried["photos"]}) == 3 * 2 * 2
    assert {one.rate for one in tried["recordings"]} == {8_000, 11_025, 16_000, 22_050, 44_100}
    assert {"3 × 4001, RGB", "4500 × 701, RGB", "3075 × 4100, grey"} <= set(written["photos"])
