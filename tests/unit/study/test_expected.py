"""How long a run is said to take."""

import pytest

from migrascope.study.plans import parse
from migrascope.study.runs.run import expected_trial_s


def test_a_copy_of_the_volume_takes_its_time() -> None:
    """At 100 Mbit/s 139 MiB take 11.7 s; half of the trials of both kinds have one."""

    def expected(storage: str) -> float:
        return expected_trial_s(parse(f'[axes]\nlink = ["100mbit"]\nstorage = {storage}\n', ""))

    shared, both, copied = map(expected, ('["shared"]', '["shared", "copied"]', '["copied"]'))
    assert copied - shared == pytest.approx(11.66, abs=0.01)
    assert both - shared == pytest.approx((copied - shared) / 2)
