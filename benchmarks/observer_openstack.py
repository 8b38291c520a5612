"""The observer's effect on OpenStack: the same migration with all probes and with none, in interleaved pairs.

    sudo .venv/bin/python benchmarks/observer_openstack.py [PAIRS] [TESTBED]

Idle guest on the testbed, which is brought up if it is down. The median of the pair ratios (with / without) of
libvirt's elapsed time, and its 90 % interval by order statistics. Goal: the lower end at most 1.05.
"""

import sys

from common import run_plan
from migrascope.model.plan import CloudPlan, LabPlan, Plan
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import fitted
from observer import pair_ratios, plan, rows

GOAL = {"libvirt_total_s": 1.05}


def cloud_plan(pairs: int, testbed: str) -> Plan:
    """The pairs of observer.py, on that testbed."""
    cloud = {"lab": LabPlan(kind="openstack"), "cloud": CloudPlan(testbed=testbed)}
    return fitted(plan(pairs).model_copy(update=cloud))


def table(run: RunFolder) -> str:
    """The machine, and the row."""
    return rows(run.manifest, pair_ratios(run, GOAL), GOAL, lambda interval, goal: interval.low <= goal)


if __name__ == "__main__":
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    print(table(run_plan(cloud_plan(pairs, sys.argv[2] if len(sys.argv) > 2 else "testbed"))))
