"""Policies on OpenStack: what Nova can do of them, and by which settings."""

import pytest

from migrascope.lab.openstack.policy import forced_after_s, refused, settings
from migrascope.model.policy import BUILT_IN, AutoConverge, Moment, Policy, PostCopy
from migrascope.study.plans import PlanError, fitted, parse
from migrascope.testbed.settings import Migration

OFF = {"permit_post_copy": False, "permit_auto_converge": False, "bandwidth_mib_s": 0, "tls": False}


@pytest.mark.parametrize("name", ["pre-copy", "auto-converge", "post-copy", "tls"])
def test_these_built_in_ones_nova_can_do(name: str) -> None:
    assert refused(BUILT_IN[name]) is None


@pytest.mark.parametrize(
    "name",
    ["xbzrle", "multifd", "multifd-zstd", "dirty-limit", "post-copy-preempt", "nova", "ovirt", "proxmox", "advised"],
)
def test_these_it_cannot(name: str) -> None:
    assert "Nova has no setting for" in (refused(BUILT_IN[name]) or "")


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Policy(auto_converge=AutoConverge(initial=40)), "its steps are QEMU's own"),
        (Policy(auto_converge=AutoConverge(), post_copy=PostCopy(after_round=1)), "it never slows the guest"),
        (Policy(post_copy=PostCopy(after_round=5)), "write after, or after_round = 1"),
        (Policy(post_copy=PostCopy(after_round=1, recover=True)), "post_copy.recover: Nova has no setting"),
        (Policy(pause=Moment(after_round=1)), "write after, or after_round = 0"),
        (Policy(capabilities={"return-path": True}), "single capabilities"),
    ],
)
def test_what_else_it_cannot(policy: Policy, words: str) -> None:
    assert words in (refused(policy) or "")


@pytest.mark.parametrize(
    ("policy", "changes"),
    [
        (Policy(), {}),
        (Policy(auto_converge=AutoConverge()), {"permit_auto_converge": True}),
        (Policy(post_copy=PostCopy.model_validate({"after": "2s"})), {"permit_post_copy": True}),
        (Policy(pause=Moment.model_validate({"after": "2s"})), {}),
        (Policy(tls=True), {"tls": True}),
        (Policy.model_validate({"bandwidth": "8mbit"}), {"bandwidth_mib_s": 1}),
        (Policy.model_validate({"bandwidth": "300mbit"}), {"bandwidth_mib_s": 36}),
    ],
)
def test_settings_name_all_that_a_policy_decides(policy: Policy, changes: dict[str, object]) -> None:
    assert settings(policy) == OFF | changes
    Migration(**settings(policy))


@pytest.mark.parametrize(
    ("policy", "after_s"),
    [
        (Policy(), None),
        (Policy(post_copy=PostCopy(after_round=1)), None),
        (Policy(post_copy=PostCopy(after_round=0)), 0.0),
        (Policy(post_copy=PostCopy.model_validate({"after": "2s"})), 2.0),
        (Policy(pause=Moment.model_validate({"after": "0s"})), 0.0),
    ],
)
def test_when_the_end_is_forced(policy: Policy, after_s: float | None) -> None:
    assert forced_after_s(policy) == after_s


def plan(cloud: str, *names: str) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    return f'[lab]\nkind = "openstack"\n[cloud]\nname = "{cloud}"\n[axes]\nscenario = ["none"]\npolicy = [{listed}]\n'


def test_every_policy_that_nova_cannot_do_is_named_before_the_lab() -> None:
    with pytest.raises(PlanError) as error:
        fitted(parse(plan("", "pre-copy", "xbzrle", "multifd"), "mine"))
    assert [words.partition(":")[0] for words in error.value.problems] == ["policy xbzrle", "policy multifd"]


def test_the_testbed_compares_policies_and_a_cloud_of_others_does_not() -> None:
    assert fitted(parse(plan("", "pre-copy", "post-copy", "tls"), "mine")).axes.policy == [
        "pre-copy", "post-copy", "tls",
    ]  # fmt: skip
    assert fitted(parse(plan("theirs", "post-copy"), "mine")).axes.policy == ["post-copy"]
    with pytest.raises(PlanError, match="a plan can state one policy"):
        fitted(parse(plan("theirs", "pre-copy", "post-copy"), "mine"))
