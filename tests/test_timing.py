"""`timed` measures a block, however it ends."""

import time

import pytest

from utils.timing import timed


def test_a_block_is_measured() -> None:
    with timed() as took:
        time.sleep(0.01)
    assert took.ms >= 10


def test_a_block_that_raises_is_reported_too() -> None:
    reported: list[float] = []
    with pytest.raises(ValueError, match="x"), timed(reported.append) as took:
        raise ValueError("x")
    assert reported == [took.ms]
