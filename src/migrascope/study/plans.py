"""Plans as people give them: the name of a built-in one or a TOML file, with all mistakes listed at once."""

import difflib
import reprlib
import tomllib
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, TypeAdapter, ValidationError

from migrascope.lab.hosts.policy import refused as refused_on_hosts
from migrascope.lab.hosts.policy import refused_of_guest
from migrascope.lab.libvirt.policy import refused as refused_by_libvirt
from migrascope.lab.openstack.policy import refused as refused_by_nova
from migrascope.model.hosts import uris_in
from migrascope.model.observation import OWN_VISITS
from migrascope.model.plan import FOREIGN_ECHO_RATE, FOREIGN_VISITS, Plan
from migrascope.model.policy import Policy
from migrascope.model.problem import UsageProblem
from migrascope.model.threshold import Threshold

MOST_PROBLEMS = 20
"""So many mistakes are listed."""
MOST_BYTES = 2**20
"""The largest file that is read as a plan."""
QUICK_BEFORE = "3s"
CLOUD_WINDOWS = {"limit": 300.0, "boot_limit": 300.0, "steady_limit": 60.0}
"""What is allowed where an API and a network of others are between the request and its effect."""
CLOUD_OUTAGE_S = 10.0
"""The longest silence that is no loss of service there: a switch's agent takes seconds to learn of a migration."""

_HOSTS: dict[str, dict[str, Any]] = {
    "axes": {"scenario": ["none"]},
    "windows": {"limit": "300s", "steady_limit": "60s"},
    "probes": {"echo_kind": "auto", "echo_rate": FOREIGN_ECHO_RATE},
    "visitors": {"new_rate": OWN_VISITS / 2, "kept_rate": OWN_VISITS / 2, "kept_connections": 2, "viewers": 0},
    "verdict": {"ledger": 0, "outage": "10s"},
}
"""By table: what a plan for a domain of others has where it does not say it."""
_REFUSED: Mapping[str, Callable[[Policy], str | None]] = {
    "openstack": refused_by_nova,
    "libvirt": refused_by_libvirt,
}
"""By lab: why what migrates there cannot carry out a policy."""


class PlanError(UsageProblem):
    """A plan that cannot be used; `problems` are one sentence each, with the path in the file."""

    def __init__(self, origin: str, problems: list[str]) -> None:
        more = [f"and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
        lines = "\n".join(f"  {problem}" for problem in [*problems[:MOST_PROBLEMS], *more])
        super().__init__(f"{origin}: {len(problems)} mistake(s)\n{lines}")
        self.problems = problems


@dataclass(frozen=True)
class Options:
    """What a command line changes in a plan. quick: each cell of its axes once, with short windows, and no second part.
    lab: another lab than the plan's. cloud: a cloud in clouds.yaml, which makes the lab openstack. instances: so many
    migrated together, and one alone. hosts: two URIs of libvirt's with a comma between them, which make the lab
    libvirt; domain, url: of the domain there. Each is None or False where nothing is changed."""

    quick: bool = False
    lab: str | None = None
    cloud: str | None = None
    instances: int | None = None
    hosts: str | None = None
    domain: str | None = None
    url: str | None = None

    def changed(self, value: dict[str, Any]) -> dict[str, Any]:
        """The values of a plan's file with these changes. They may be wrong, as the file's may: they are validated
        together. PlanError for a cloud, or hosts, of another lab."""
        value, lab = dict(value), self.lab
        if self.hosts is not None:
            if lab not in (None, "libvirt") or self.cloud is not None:
                raise PlanError("--hosts", ["hosts are of the lab libvirt: leave --lab and --cloud out"])
            lab = "libvirt"
            _table(value, "libvirt")["hosts"] = uris_in(self.hosts)
        for name, given in (("domain", self.domain), ("url", self.url)):
            if given is not None:
                _table(value, "libvirt")[name] = given
        if self.cloud is not None:
            if lab not in (None, "openstack"):
                raise PlanError("--cloud", [f"a cloud is of the lab openstack, not {lab}"])
            lab = "openstack"
            _table(value, "cloud")["name"] = self.cloud
        if self.quick:
            value["blocks"] = 1
            value.pop("also", None)
            _table(value, "windows")["before"] = QUICK_BEFORE
        if lab is not None:
            _table(value, "lab")["kind"] = lab
        if self.instances is not None:
            _table(value, "fleet")["count"] = [1, self.instances] if self.instances > 1 else [self.instances]
            _table(value, "axes")["scenario"] = ["none"]
            value.pop("also", None)
        libvirt = _table(value, "libvirt")
        return _on_hosts(value) if libvirt.get("hosts") and "guest" not in libvirt else value

    def words(self) -> str:
        """The options as they are written, each after a blank."""
        given = [
            ("--lab", self.lab),
            ("--cloud", self.cloud),
            ("--instances", self.instances),
            ("--domain", self.domain),
        ]
        flags = [f" {name} {value}" for name, value in given if value is not None]
        return "".join([" --quick" if self.quick else "", *flags])


def _on_hosts(value: dict[str, Any]) -> dict[str, Any]:
    """The values with what a domain of others needs, where they do not say it."""
    for name, defaults in _HOSTS.items():
        table = _table(value, name)
        for key, default in defaults.items():
            table.setdefault(key, default)
    return value


def _table(value: dict[str, Any], name: str) -> dict[str, Any]:
    """A table of a plan, copied so that it can be changed, made where there is none; an unused one where something else
    has its name."""
    found = value.get(name, {})
    if not isinstance(found, dict):
        return {}
    copied = value[name] = dict(found)
    return copied


def built_in() -> dict[str, str]:
    """The TOML text of each plan that comes with migrascope, by name."""
    folder = resources.files("migrascope.study").joinpath("plans")
    texts = {path.name.removesuffix(".toml"): path.read_text("utf-8") for path in folder.iterdir()}
    return dict(sorted(texts.items()))


def load(name: str | None, options: Options | None = None) -> Plan:
    """The plan of a built-in name or a file, as a command line changes it; without a name one that says nothing but
    what the command line does. PlanError lists every mistake, with the nearest valid name."""
    chosen = options or Options()
    text, origin = ('name = "hosts"', "hosts") if name is None else (_text(name), name)
    return fitted(_validated(chosen.changed(_read(text, origin)), origin + chosen.words()))


def fitted(plan: Plan) -> Plan:
    """The plan with what a cloud takes longer for, or bears less of, where the plan itself does not say it.

    PlanError for policies that what migrates there does not have, and for scenarios that need an address of the origin,
    where the plan names none.
    """
    policies = plan.chosen_policies()
    if refused := _refusal(plan):
        beyond = [f"policy {name}: {why}" for name, policy in policies.items() if (why := refused(policy))]
        if beyond:
            raise PlanError(plan.name, beyond)
    if plan.libvirt.guest is not None:
        return _patient(plan)
    if plan.lab.kind != "openstack":
        return plan
    if plan.cloud.name and len(policies) > 1:
        words = "axes.policy: others set how their cloud migrates: a plan can state one policy, not compare several"
        raise PlanError(plan.name, [words])
    if plan.axes.vcpus:
        raise PlanError(plan.name, ["axes.vcpus: on OpenStack a run has one flavor: write instance.vcpus"])
    streamed = plan.streamed
    if plan.cloud.name and streamed and not plan.cloud.origin:
        words = (
            f"axes.scenario: {', '.join(streamed)} need cloud.origin, the address of the stream for visitors and guest"
        )
        raise PlanError(plan.name, [words])
    return _patient(plan)


def _refusal(plan: Plan) -> Callable[[Policy], str | None] | None:
    """Why what migrates there cannot carry out a policy; None where it can all."""
    if plan.their_domain:
        return refused_on_hosts
    if plan.libvirt.guest is not None:
        return partial(refused_of_guest, peer_to_peer=plan.libvirt.peer_to_peer)
    return _REFUSED.get(plan.lab.kind)


def _patient(plan: Plan) -> Plan:
    """The plan with more time, and where others own the hosts gentler, where it does not say that itself."""
    said = plan.windows.model_fields_set
    windows = {key: value for key, value in CLOUD_WINDOWS.items() if key not in said}
    changes: dict[str, Any] = {"windows": plan.windows.model_copy(update=windows)}
    if "outage" not in plan.verdict.model_fields_set:
        changes["verdict"] = plan.verdict.model_copy(update={"outage": CLOUD_OUTAGE_S})
    if plan.foreign:
        gentle = {"echo_rate": FOREIGN_ECHO_RATE, "echo_kind": "auto"}
        probes = {key: value for key, value in gentle.items() if key not in plan.probes.model_fields_set}
        changes["probes"] = plan.probes.model_copy(update=probes)
        if "most" not in plan.visitors.model_fields_set:
            changes["visitors"] = plan.visitors.model_copy(update={"most": FOREIGN_VISITS})
    return plan.model_copy(update=changes)


def _text(name: str) -> str:
    plans = built_in()
    if name in plans:
        return plans[name]
    try:
        return _small_text(Path(name))
    except (OSError, ValueError) as error:
        near = _nearest(name, list(plans))
        hint = f"{near} built-in plans: {', '.join(plans)}"
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PlanError(name, [f"no plan of this name, and as a file: {reason};{hint}"]) from error


def _small_text(path: Path) -> str:
    """A file of at most MOST_BYTES. OSError or ValueError where it is none."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes are no plan")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("not a text file") from None


def parse(text: str, origin: str) -> Plan:
    """The plan of a TOML text. PlanError lists every mistake."""
    return _validated(_read(text, origin), origin)


def _read(text: str, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # numbers of thousands of digits, too
        raise PlanError(origin, [f"not TOML: {error}"]) from error
    except RecursionError:
        raise PlanError(origin, ["not a plan: its tables are nested too deep"]) from None


def _validated(value: dict[str, Any], origin: str) -> Plan:
    try:
        return Plan.model_validate(value)
    except ValidationError as error:
        raise PlanError(origin, _problems(error)) from error
    except RecursionError:
        raise PlanError(origin, ["not a plan: its tables are nested too deep"]) from None


def _problems(error: ValidationError, *below: str) -> list[str]:
    """A sentence for each mistake that is listed, an empty one for each other. below: the table that was validated."""
    entries = error.errors(include_url=False)
    listed = [_problem({**entry, "loc": (*below, *entry["loc"])}) for entry in entries[:MOST_PROBLEMS]]
    return listed + [""] * (len(entries) - len(listed))


def thresholds(path: Path) -> dict[str, Threshold]:
    """The [thresholds] of a file that may be a whole plan. PlanError lists every mistake."""
    try:
        value = _read(_small_text(path), str(path))
    except (OSError, ValueError) as error:
        raise PlanError(str(path), [str(error)]) from error
    try:
        return TypeAdapter(dict[str, Threshold]).validate_python(value.get("thresholds", {}))
    except ValidationError as error:
        raise PlanError(str(path), _problems(error, "thresholds")) from error


def text_of(plan: Plan) -> str:
    """The plan as TOML with units written out; `parse` reads the same plan back."""
    return tomli_w.dumps(plan.model_dump(mode="json", exclude_none=True))


def _problem(entry: dict[str, Any]) -> str:
    where = _short(".".join(str(part) for part in entry["loc"])) or "plan"
    if entry["type"] == "extra_forbidden":
        valid = list(_part(entry["loc"][:-1]).model_fields)
        near = _nearest(str(entry["loc"][-1])[:80], valid)
        return f"{where}: unknown key;{near} valid here: {', '.join(valid)}"
    if entry["type"] == "literal_error":
        valid = [word.strip("'") for word in entry["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        given = entry["input"]
        near = _nearest(given[:80], valid) if isinstance(given, str) else ""
        return f"{where}: {reprlib.repr(given)} is not known;{near} valid: {', '.join(valid)}"
    words = entry["msg"].removeprefix("Value error, ")
    return _short(f"{where}: {words[0].lower()}{words[1:]}", 400)


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _part(path: tuple[str | int, ...]) -> type[BaseModel]:
    """The model of the table at a path; keys of a table of tables are names, not fields."""
    model: type[BaseModel] = Plan
    for key in path:
        field = model.model_fields.get(str(key))
        for inner in (field.annotation, *typing.get_args(field.annotation)) if field else ():
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return model


def _nearest(word: str, valid: typing.Sequence[str]) -> str:
    close = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    return f" did you mean {close[0]!r}?" if close else ""
