"""Counts with their nouns."""

import pytest

from evnas.words import counted


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (counted(1, "trial"), "1 trial"),
        (counted(0, "trial"), "0 trials"),
        (counted(2, "trial"), "2 trials"),
        (counted(1, "class", "classes"), "1 class"),
        (counted(2, "class", "classes"), "2 classes"),
        (counted(1.0, "minute", form="g"), "1 minute"),
        (counted(1.5, "minute", form="g"), "1.5 minutes"),
        (counted(0.96, "second", form=".0f"), "1 second"),
        (counted(1200, "record", form=","), "1,200 records"),
    ],
)
def test_one_thing_is_one_thing(said, words):
    assert said == words
