"""What the services' configurations have in common: who talks to whom, under which name, and how it is written down."""

from collections.abc import Mapping

from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, address
from migrascope.testbed.task import Command, File

REGION = "RegionOne"
CONTROL = address(CONTROLLER, "management")
IDENTITY = f"http://{CONTROL}:5000/v3"
MEMCACHED = f"{CONTROL}:11211"

Sections = Mapping[str, Mapping[str, object]]


def ini(sections: Sections) -> str:
    """The text of a configuration file in the form of oslo.config, Ceph and MariaDB."""
    blocks = []
    for name, options in sections.items():
        lines = [
            f"{key} = {str(value).lower() if isinstance(value, bool) else value}" for key, value in options.items()
        ]
        blocks.append("\n".join([f"[{name}]", *lines]) + "\n")
    return "\n".join(blocks)


def config(path: str, user: str, sections: Sections) -> File:
    """A configuration file with secrets, which only the service reads."""
    return File(path, ini(sections), 0o640, f"root:{user}")


def database(secrets: Secrets, name: str) -> dict[str, object]:
    """[database] of a service: the database and its user are called as the service is, or "<service>_<part>"."""
    user = name.partition("_")[0]
    password = secrets.password(f"database {user}")
    return {
        "connection": f"mysql+pymysql://{user}:{password}@{CONTROL}/{name}",
        "connection_recycle_time": 600,
        "max_pool_size": 5,
        "max_overflow": 20,
    }


def transport(secrets: Secrets) -> str:
    """The message queue's URL."""
    return f"rabbit://openstack:{secrets.password('rabbitmq')}@{CONTROL}:5672/"


def credentials(secrets: Secrets, user: str) -> dict[str, object]:
    """How a service logs in to Keystone, for the section of another service or of its own middleware."""
    return {
        "auth_type": "password",
        "auth_url": IDENTITY,
        "username": user,
        "password": secrets.password(f"service {user}"),
        "user_domain_name": "Default",
        "project_name": "service",
        "project_domain_name": "Default",
        "region_name": REGION,
    }


def middleware(secrets: Secrets, user: str) -> dict[str, Mapping[str, object]]:
    """The sections by which an API checks tokens, and by which it sends its own beside the user's."""
    known = credentials(secrets, user)
    return {
        "keystone_authtoken": {
            **known,
            "www_authenticate_uri": IDENTITY,
            "memcached_servers": MEMCACHED,
            "service_token_roles": "service",
            "service_token_roles_required": True,
            "interface": "internal",
        },
        "service_user": {**known, "send_service_user_token": True},
    }


def as_user(user: str, *argv: str, timeout_s: float = 120) -> Command:
    """A program run as a service's user, for its files are that user's."""
    return Command(("runuser", "-u", user, "--", *argv), timeout_s=timeout_s)


def answers(port: int, path: str = "/") -> tuple[str, ...]:
    """A program that ends with 0 as soon as an API answers on the controller, whatever it says.

    It asks again by itself: to start a program in a node takes more processor time than the question, and many APIs
    are waited for at once while all services start.
    """
    again = ("--retry", "30", "--retry-delay", "1", "--retry-connrefused")
    return ("curl", "--silent", "--output", "/dev/null", "--max-time", "30", *again, f"http://{CONTROL}:{port}{path}")
