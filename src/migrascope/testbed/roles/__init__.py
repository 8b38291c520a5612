"""The services of a testbed: what is done in each node to bring them up, as tasks that need one another."""

from migrascope.testbed.roles import (
    agents,
    base,
    ceph,
    cinder,
    cloud,
    console,
    glance,
    horizon,
    hypervisor,
    infrastructure,
    keystone,
    neutron,
    nova,
    ovn,
    placement,
    privsep,
    switch,
)
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import Settings
from migrascope.testbed.task import Task


def all_tasks(settings: Settings, secrets: Secrets, kernel_line: str = "") -> list[Task]:
    """Every task of a testbed. kernel_line: see cloud.tasks."""
    return [
        *base.tasks(),
        *privsep.tasks(),
        *infrastructure.tasks(secrets),
        *ceph.tasks(settings, secrets),
        *keystone.tasks(settings, secrets),
        *placement.tasks(secrets),
        *glance.tasks(secrets),
        *cinder.tasks(secrets),
        *nova.tasks(settings, secrets),
        *hypervisor.tasks(settings, secrets),
        *switch.tasks(settings),
        *neutron.tasks(settings, secrets),
        *(ovn if settings.network == "ovn" else agents).tasks(settings, secrets),
        *console.tasks(),
        *cloud.tasks(settings, kernel_line),
        *horizon.tasks(secrets),
    ]
