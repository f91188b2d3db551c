"""Draws are frozen as keys are: a cell of one key sees the same parts, order, crops and first weights in every version.

Do not edit what is pinned here: add a version. Where a draw must change, `benchmark.cell.KEY_FORMAT` is raised first.
"""

from benchmark.cell import KEY_FORMAT, Purpose, stream

# do not edit: add a version
STREAMS = {  # of seed 7, epoch 3, example 41
    Purpose.AUGMENTATION: 3197822241823170171,
    Purpose.DROPOUT: 2619813684017713340,
    Purpose.ENCODER: 4636832438041058680,
    Purpose.HEAD: 3463866321800191770,
    Purpose.ORDER: 8660834069148968435,
    Purpose.SUBSET: 3156136124858907667,
    Purpose.UNCERTAIN: 3478027252010691432,
}


def test_the_draws_below_are_those_of_this_key_format():
    assert KEY_FORMAT == 2


def test_named_streams_are_frozen():
    assert {purpose: stream(7, purpose, 3, 41) for purpose in Purpose} == STREAMS
    assert stream(0, Purpose.HEAD) == 6551998802971462994
