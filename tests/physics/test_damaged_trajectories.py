"""Five hundred damaged trajectory files: each is refused with one clear line, or read without harm."""

import pytest

from tests.simtools.md.damage import check

pytestmark = pytest.mark.physics


@pytest.mark.parametrize("first", range(117, 702, 13))
def test_damage_is_named_or_harmless(tmp_path, first):
    for number in range(first, first + 13):
        check(number, tmp_path)
