"""Placement: which host has how much left."""

from migrascope.testbed.roles.common import Sections, answers, as_user, config, database, middleware
from migrascope.testbed.roles.infrastructure import tables
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER
from migrascope.testbed.task import Await, Task, Units

PLACEMENT, _SCHEMA = "placement", "placement schema"


def tasks(secrets: Secrets) -> list[Task]:
    sections: Sections = {
        "DEFAULT": {"use_stderr": True},
        "api": {"auth_strategy": "keystone"},
        "placement_database": database(secrets, "placement"),
        "keystone_authtoken": middleware(secrets, "placement")["keystone_authtoken"],
    }
    return [
        tables(
            _SCHEMA,
            config("/etc/placement/placement.conf", "placement", sections),
            as_user("placement", "placement-manage", "db", "sync"),
        ),
        Task(
            PLACEMENT,
            CONTROLLER,
            (_SCHEMA,),
            (Units(start=("placement-api.service",)), Await(answers(8778), 60, "Placement answers")),
        ),
    ]
