"""What this machine has and lacks for the labs that are brought up on it, each with the next command."""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from migrascope.guest.image import ROOT
from migrascope.lab.host_image import HOST
from migrascope.lab.libvirt.image import LIBVIRT_HOST
from migrascope.lab.qemu import tls
from migrascope.model.calibration import Calibration
from migrascope.model.family import SECOND
from migrascope.model.kinds.kind import LOSS
from migrascope.model.plan import Plan
from migrascope.model.units import human
from migrascope.node.image import IMAGES, KEYRING, Recipe
from migrascope.node.kernel import features
from migrascope.node.namespace import has_ipv6
from migrascope.node.paths import CACHE
from migrascope.node.register import registers
from migrascope.probe.ring import Ring, filter_program
from migrascope.store.document import read_object
from migrascope.study.doctor import disturbances
from migrascope.study.runs.environment import CALIBRATION, environment
from migrascope.workload.devtools import chromium

Verdict = Literal["pass", "fail", "unknown"]
_RUN_BYTES = 10**9
_SPARE_MEMORY = 6 * 10**8


@dataclass(frozen=True)
class Check:
    """One thing, with what was found. remedy: the next command where it does not pass. needed: without it no lab
    runs; what is not needed is told for its own sake."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""
    needed: bool = True

    @property
    def blocks(self) -> bool:
        """Whether the lab cannot run because of it."""
        return self.needed and self.verdict == "fail"


def checks(plan: Plan | None = None) -> list[Check]:
    """All that a plan (by default the default one) needs of this machine for the lab qemu or libvirt, and what else is
    worth knowing. Changes nothing."""
    plan = plan or Plan()
    recipes = [HOST, ROOT, *([LIBVIRT_HOST] if plan.lab.kind == "libvirt" else [])]
    return [
        *_rights(),
        *_programs(),
        *_kernel(),
        *capture(plan),
        *browser(plan),
        *ipv6(plan),
        _kvm(plan),
        *_machine(max(plan.axes.memory), recipes),
        *(_image(recipe) for recipe in recipes),
        _leftovers(),
        _calibration(),
    ]


def blocking(checked: Iterable[Check]) -> list[str]:
    """Those because of which a lab cannot run, one sentence each with the next command."""
    return [f"{check.name}: {check.found}; {check.remedy}" for check in checked if check.blocks]


def problems_of(plan: Plan) -> list[str]:
    """What is missing here for a plan on the lab qemu or libvirt, one sentence each with the next command."""
    problems = blocking(checks(plan))
    problems += disturbances.problems_of(plan)
    program = plan.lab.qemu_program
    if program is not None and not os.access(program, os.X_OK):
        problems.append(f"lab.qemu_program: {program} is no program; name the path of a QEMU")
    held = [name for name, policy in plan.chosen_policies().items() if policy.dirty_limit]
    if held and (plan.lab.accelerator == "tcg" or not Path("/dev/kvm").exists()):
        problems.append(f"axes.policy: {', '.join(held)}: a dirty limit needs KVM, which is not here; leave it out")
    if any(policy.tls for policy in plan.chosen_policies().values()) and shutil.which(tls.PROGRAM) is None:
        problems.append(f"{tls.PROGRAM}: missing, for the certificates of a policy with tls; apt-get install openssl")
    return problems


def _check(name: str, passed: bool, found: str, remedy: str = "", *, needed: bool = True) -> Check:
    return Check(name, "pass" if passed else "fail", found, remedy, needed)


def _is_root() -> bool:
    return os.geteuid() == 0


def _rights() -> Iterator[Check]:
    yield _check("root", _is_root(), f"user id {os.geteuid()}", "run it with sudo")
    tun = Path("/dev/net/tun").exists()
    remedy = "modprobe tun, or in a container give it the device /dev/net/tun"
    yield _check("/dev/net/tun", tun, "there" if tun else "missing", remedy)


def _programs() -> Iterator[Check]:
    for program, package in (("mmdebstrap", "mmdebstrap"), ("unshare", "util-linux")):
        path = shutil.which(program)
        yield _check(
            program, path is not None, path or "missing", f"apt-get install {package}; ./migrascope run does that"
        )
    words = "there" if KEYRING.exists() else f"{KEYRING} is missing"
    yield _check(
        "Debian's keys", KEYRING.exists(), words, "apt-get install debian-archive-keyring; ./migrascope run does that"
    )


def _kernel() -> Iterator[Check]:
    if not _is_root():
        yield Check("kernel", "unknown", "only root can try its features out", "sudo ./migrascope doctor")
        return
    for name, refusal in features().items():
        remedy = "another kernel, or a container or virtual machine that allows it"
        yield _check(name, not refusal, refusal or "works", remedy, needed=name != LOSS)


def capture(plan: Plan) -> Iterator[Check]:
    """Whether the plan's capture can be made; nothing for a plan without one."""
    if not plan.capture.enabled:
        return
    name, remedy = "capture", "a container that may have packet sockets (CAP_NET_RAW), or capture.enabled = false"
    if not _is_root():
        yield Check(name, "unknown", "only root can capture", "run it with sudo")
        return
    try:
        with Ring("lo", filter_program(["127.0.0.1"], plan.capture.snaplen)):
            yield Check(name, "pass", "works")
    except OSError as error:
        yield Check(name, "fail", f"the kernel gives no packet socket with a ring: {error.strerror}", remedy)


def browser(plan: Plan) -> Iterator[Check]:
    """Whether the plan's browser is here; nothing for a plan without one."""
    if plan.visitors.browser:
        path = chromium()
        remedy = "apt-get install chromium, or visitors.browser = false in the plan"
        yield _check("Chromium", path is not None, path or "missing", remedy)


def ipv6(plan: Plan) -> Iterator[Check]:
    """Whether this kernel has IPv6; nothing for a plan without it."""
    if SECOND in (*plan.families, plan.lab.stream_family):
        remedy = "begin the kernel without ipv6.disable=1, or leave ipv6 out of families and lab.stream_family"
        yield _check("IPv6", has_ipv6(), "there" if has_ipv6() else "this kernel has none", remedy)


def _kvm(plan: Plan) -> Check:
    if Path("/dev/kvm").exists():
        return Check("KVM", "unknown", "/dev/kvm is there; only a boot proves it", "a run tries it first", needed=False)
    wanted = plan.lab.accelerator == "kvm"
    words = "no /dev/kvm: guests are emulated (TCG)"
    return _check("KVM", False, words, "set lab.accelerator to auto or tcg" if wanted else "", needed=wanted)


def _machine(guest_memory: int, recipes: list[Recipe]) -> Iterator[Check]:
    facts = environment()
    cores = facts["cores"]
    words = f"{cores} for both hosts and everything else"
    yield _check("cores", cores >= 2, words, "figures of one core say little", needed=False)
    wanted = 2 * guest_memory + _SPARE_MEMORY
    total = facts["memory_bytes"]
    words = f"{human(total, 'B')}, {human(wanted, 'B')} wanted for the instance on both hosts"
    yield _check("memory", total >= wanted, words, "lower axes.memory in the plan")
    wanted = _RUN_BYTES + sum(recipe.wanted_bytes for recipe in recipes if not _built(recipe))
    folder = next(path for path in (CACHE, *CACHE.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    words = f"{human(free, 'B')} free on {folder}, {human(wanted, 'B')} wanted"
    yield _check("space", free >= wanted, words, f"free some space on {folder}")


def _built(recipe: Recipe) -> bool:
    return (IMAGES / f"{recipe.name}-{recipe.digest()}").exists()


def _image(recipe: Recipe) -> Check:
    built = _built(recipe)
    words = "built" if built else "not built yet"
    return _check(f"{recipe.name} image", built, words, "the first run builds it", needed=False)


def _leftovers() -> Check:
    name, remedy = "left-overs", "sudo ./migrascope clean"
    if not _is_root():
        return Check(name, "unknown", "only root can see them", "sudo ./migrascope doctor", needed=False)
    left = [register.id for register in registers() if not register.owned()]
    words = f"of killed runs: {', '.join(left)}" if left else "none"
    return _check(name, not left, words, remedy, needed=False)


def _calibration() -> Check:
    name, remedy = "calibration", "./migrascope calibrate"
    try:
        stored = read_object(CALIBRATION)
        made = Calibration.of(stored)
    except (OSError, ValueError):
        return Check(name, "fail", "none stored: reports cannot state the meter's error", remedy, needed=False)
    words = f"of {stored.get('when', 'an unknown time')}, {stored.get('accelerator')}, {made.words()}"
    return Check(name, "pass", words, needed=False)
