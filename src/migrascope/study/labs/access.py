"""Which cloud a command is about: one in clouds.yaml, or the testbed of a name."""

from migrascope.cloud.client import PATIENT, Cloud, Patience
from migrascope.lab.testbed import life
from migrascope.model.problem import UsageProblem
from migrascope.testbed.roles.keystone import CLOUD
from migrascope.testbed.testbed import Testbed


def connect(cloud: str | None, testbed: str | None, patience: Patience = PATIENT) -> Cloud:
    """The cloud, with its connection. UsageProblem where none or both are named, or there is none of the name."""
    if (cloud is None) == (testbed is None):
        raise UsageProblem("name one of them: --cloud NAME in clouds.yaml, or --testbed NAME")
    if cloud is not None:
        return Cloud.connect(cloud, patience=patience)
    path = life.clouds_yaml(Testbed(testbed or ""))
    if not path.exists():
        raise UsageProblem(f"there is no testbed {testbed} that is up\n  next: migrascope testbed up --name {testbed}")
    return Cloud.connect(CLOUD, path, patience)
