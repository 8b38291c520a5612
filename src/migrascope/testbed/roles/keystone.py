"""Keystone, and in it the catalog: who the services are and where they answer."""

import json

from migrascope.testbed.roles.common import (
    CONTROL,
    IDENTITY,
    MEMCACHED,
    REGION,
    Sections,
    answers,
    as_user,
    config,
    database,
)
from migrascope.testbed.roles.infrastructure import CACHE, DATABASE
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import CONTROLLER, Settings
from migrascope.testbed.task import Await, Command, File, Task, Units

KEYSTONE, CATALOG = "keystone", "catalog"
CLOUD = "migrascope"
# Name and type of a service, its port and what stands behind it.
_SERVICES = (
    ("glance", "image", 9292, ""),
    ("placement", "placement", 8778, ""),
    ("nova", "compute", 8774, "/v2.1"),
    ("neutron", "network", 9696, ""),
    ("cinder", "block-storage", 8776, "/v3"),
)
PORTS = {"keystone": 5000} | {name: port for name, _, port, _ in _SERVICES}


def clouds(secrets: Secrets, host: str) -> str:
    """clouds.yaml with the administrator's cloud, whose Keystone answers at a host's address; JSON is YAML."""
    internal = {"interface": "internal"} if host == CONTROL else {}
    cloud = {
        "auth": {
            "auth_url": f"http://{host}:{PORTS['keystone']}/v3",
            "username": "admin",
            "password": secrets.password("admin"),
            "project_name": "admin",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "region_name": REGION,
        "identity_api_version": 3,
        **internal,
    }
    return json.dumps({"clouds": {CLOUD: cloud}}, indent=2) + "\n"


def tasks(settings: Settings, secrets: Secrets) -> list[Task]:
    return [_keystone(settings, secrets), _catalog(settings, secrets)]


def _keystone(settings: Settings, secrets: Secrets) -> Task:
    sections: Sections = {
        "DEFAULT": {"use_stderr": True},
        "database": database(secrets, "keystone"),
        "cache": {"enabled": True, "backend": "dogpile.cache.pymemcache", "memcache_servers": MEMCACHED},
        "token": {"provider": "fernet", "expiration": 86400},
        "fernet_tokens": {"key_repository": "/etc/keystone/fernet-keys"},
        "credential": {"key_repository": "/etc/keystone/credential-keys"},
        # The least that bcrypt allows. With Keystone's 12 each log-in takes a quarter of a second of processor time,
        # and every service logs in when it starts.
        "identity": {"password_hash_rounds": 4},
    }
    keys = [
        File(f"/etc/keystone/{kind}-keys/{number}", secrets.fernet_key(f"{kind} {number}"), 0o600, "keystone:keystone")
        for kind in ("fernet", "credential")
        for number in (0, 1)
    ]
    bootstrap = (
        f"export OS_BOOTSTRAP_PASSWORD={secrets.password('admin')}\n"
        "exec runuser -u keystone -- keystone-manage bootstrap"
        f" --bootstrap-admin-url {IDENTITY} --bootstrap-internal-url {IDENTITY}"
        f" --bootstrap-public-url http://{settings.loopback}:5000/v3 --bootstrap-region-id {REGION}\n"
    )
    return Task(
        KEYSTONE,
        CONTROLLER,
        (DATABASE, CACHE),
        (
            config("/etc/keystone/keystone.conf", "keystone", sections),
            *keys,
            as_user("keystone", "keystone-manage", "db_sync"),
            Command(("sh",), stdin=bootstrap),
            Units(start=("keystone.service",)),
            Await(answers(5000, "/v3"), 60, "Keystone answers"),
        ),
    )


def _catalog(settings: Settings, secrets: Secrets) -> Task:
    given = {
        "cloud": CLOUD,
        "region": REGION,
        "services": [
            {
                "name": name,
                "type": kind,
                "password": secrets.password(f"service {name}"),
                "urls": {
                    "public": f"http://{settings.loopback}:{port}{path}",
                    "internal": f"http://{CONTROL}:{port}{path}",
                    "admin": f"http://{CONTROL}:{port}{path}",
                },
            }
            for name, kind, port, path in _SERVICES
        ],
    }
    return Task(
        CATALOG,
        CONTROLLER,
        (KEYSTONE,),
        (
            File("/etc/openstack/clouds.yaml", clouds(secrets, CONTROL), 0o600),
            Command(("python3", "-c", _MAKE_CATALOG), stdin=json.dumps(given)),
        ),
    )


# One process for all of it: each call of the command-line client takes seconds.
_MAKE_CATALOG = """
import json, sys
import openstack
given = json.load(sys.stdin)
identity = openstack.connect(cloud=given["cloud"]).identity
domain = identity.find_domain("Default", ignore_missing=False)
project = identity.find_project("service") or identity.create_project(name="service", domain_id=domain.id)
roles = [identity.find_role(name) or identity.create_role(name=name) for name in ("admin", "service")]
users = {user.name: user for user in identity.users()}
services = {service.name: service for service in identity.services()}
endpoints = {(endpoint.service_id, endpoint.interface) for endpoint in identity.endpoints()}
for wanted in given["services"]:
    name = wanted["name"]
    user = users.get(name) or identity.create_user(
        name=name, password=wanted["password"], domain_id=domain.id, default_project_id=project.id)
    for role in roles:
        identity.assign_project_role_to_user(project, user, role)
    service = services.get(name) or identity.create_service(name=name, type=wanted["type"])
    for interface, url in wanted["urls"].items():
        if (service.id, interface) not in endpoints:
            identity.create_endpoint(
                service_id=service.id, interface=interface, url=url, region_id=given["region"])
"""
