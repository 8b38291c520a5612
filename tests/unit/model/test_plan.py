"""Plans: units written out, all mistakes at once, and the plan that ran is the plan that is kept."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.analysis.slope import FEWEST_PERMUTATIONS
from migrascope.cli.main import app
from migrascope.model.plan import Plan
from migrascope.model.schedule import cells, in_second_part, schedule
from migrascope.study.plans import Options, PlanError, built_in, load, parse, text_of


@pytest.mark.parametrize("name", built_in())
def test_a_built_in_plan_is_valid_and_named_as_its_file(name: str) -> None:
    assert load(name).name == name


def test_website_is_four_scenarios_in_six_blocks() -> None:
    plan = load("website")
    assert plan.axes.scenario == ["none", "offline", "online", "relay"]
    assert plan.blocks == 6


@pytest.mark.parametrize(("name", "trials"), [("thesis", 34), ("website", 34)])
def test_the_studies_have_a_part_that_can_carry_a_conclusion_on_data(name: str, trials: int) -> None:
    """Doses enough within else equal cells, under a limit of which the tenth that Nova begins with decides in none."""
    plan = load(name)
    assert len(schedule(plan)) == trials
    assert plan.also is not None
    second = [cell for cell in cells(plan) if in_second_part(plan.base_units(), cell)]
    by_scenario = {item.scenario: [other for other in second if other.scenario == item.scenario] for item in second}
    permutations = math.prod(math.factorial(len(same)) for same in by_scenario.values())
    assert permutations >= FEWEST_PERMUTATIONS
    for factors in second:
        assert 8 * (factors.resident_bytes + 250e6) / factors.link_bps < 0.7 * factors.downtime_limit_s / 10
    assert plan.also.outage == 15.0
    assert all(len({other.resident_bytes for other in same}) == len(same) >= 4 for same in by_scenario.values())


def test_a_quick_run_and_a_fleet_have_no_second_part() -> None:
    assert load("website", Options(quick=True)).also is None
    assert load("website", Options(lab="openstack", instances=2)).also is None
    with pytest.raises(PlanError, match=r"a plan of several instances has no second part"):
        parse("[lab]\nkind = 'openstack'\n[axes]\nscenario = ['none']\n[fleet]\ncount = [2]\n[also]\n", "my.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("blocks = 2\n[also]\nblocks = 3", "also.blocks: 3, and the plan has 2"),
        ("[also]\nresident = ['900MiB']", "also.resident: the guest needs 256MiB of its memory for itself"),
        ("[also]\ndowntime_limit = ['0s']", "also.downtime_limit: 1ms to 2000s"),
        ("[also]\nscenario = []", "also.scenario"),
        ("[also]\nresidnt = ['0B']", "also.residnt: unknown key; did you mean 'resident'"),
        ("[also]\noutage = '0s'", "also.outage"),
        ("blocks = 1000\n[axes]\nscenario = ['none', 'relay']\n[also]\nblocks = 1000\n"
         "downtime_limit = ['1s', '2s', '3s', '4s', '5s']", "make 12000 trials"),
    ],
)  # fmt: skip
def test_a_second_part_that_makes_no_sense_says_why(text: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        parse(text, "my.toml")


def test_quick_is_one_block_with_shorter_windows() -> None:
    whole, quick = load("website"), load("website", Options(quick=True))
    assert quick.blocks == 1
    assert quick.windows.before < whole.windows.before
    assert quick.axes == whole.axes


def test_every_mistake_is_listed_with_its_path_and_the_nearest_name() -> None:
    text = """
    blocks = 0
    [axes]
    scenario = ["none", "ofline"]
    memry = ["1GiB"]
    link = [1000]
    downtime_limit = ["300 parsecs"]
    [windows]
    befor = "2s"
    """
    with pytest.raises(PlanError) as caught:
        parse(text, "my.toml")
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 6
    assert "blocks: " in problems
    assert "axes.scenario.1: 'ofline' is not known; did you mean 'offline'?" in problems
    assert "axes.memry: unknown key; did you mean 'memory'?" in problems
    assert "axes.link.0: 1000 has no unit: write it in quotes, as in '1kbit'" in problems
    assert "axes.downtime_limit.0: '300 parsecs' is not a duration" in problems
    assert "windows.befor: unknown key; did you mean 'before'?" in problems
    assert str(caught.value).startswith("my.toml: 6 mistake(s)\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("axes = 3", "axes"),
        ("[axes]\nmemory = ['64MiB']", "256MiB at least"),
        ("[axes]\nlink = ['1gbit', '1000mbit']", "same value twice"),
        ("[axes]\nlink = []", "axes.link"),
        ("[axes]\ndowntime_limit = ['0s']", "1ms to 2000s"),
        ("blocks = ", "not TOML"),
        ("name = 'Has Spaces'", "name"),
        ("[windows]\nbefore = '0s'", "windows.before"),
    ],
)
def test_a_plan_that_makes_no_sense_says_why(text: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        parse(text, "my.toml")


def test_an_unknown_name_lists_the_built_in_plans() -> None:
    with pytest.raises(PlanError, match=r"did you mean 'website'\?.*built-in plans: .*website"):
        load("websit")


def test_a_file_that_is_not_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match="not a text file"):
        load(str(tmp_path / "plan.toml"))


@given(
    blocks=st.integers(1, 92),  # times 27 and the four scenarios: no more trials than a plan may have
    memory=st.lists(st.integers(256, 8192), min_size=1, max_size=3, unique=True),
    limit=st.lists(st.integers(1, 60_000), min_size=1, max_size=3, unique=True),
    link=st.lists(st.integers(1, 40_000), min_size=1, max_size=3, unique=True),
)
def test_the_plan_that_is_kept_reads_back_the_same(
    blocks: int, memory: list[int], limit: list[int], link: list[int]
) -> None:
    plan = Plan.model_validate(
        {
            "blocks": blocks,
            "axes": {
                "memory": [f"{size}MiB" for size in memory],
                "downtime_limit": [f"{milliseconds}ms" for milliseconds in limit],
                "link": [f"{rate}mbit" for rate in link],
            },
        }
    )
    assert parse(text_of(plan), "kept") == plan


def test_base_units_hold_no_text_quantities() -> None:
    plain = Plan().base_units()
    assert plain["windows"]["before"] == 5.0
    assert plain["axes"]["link"] == [1e9]
    assert plain["axes"]["memory"] == [2**30]


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[3].glob("examples/*.toml")), ids=lambda path: path.stem)
def test_every_example_is_a_plan_of_its_name(path: Path) -> None:
    assert load(str(path)).name == path.stem


def _policy(body: str) -> str:
    return f"[axes]\npolicy = ['mine']\n[policies.mine]\n{body}"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("post_copy = { after_round = 1 }\nmultifd = {}", "no post-copy over multifd"),
        ("xbzrle = {}\nmultifd = {}", "no XBZRLE over multifd"),
        ("auto_converge = {}\ndirty_limit = {}", "one of auto_converge and dirty_limit"),
        ("post_copy = {}", "say when"),
        ("post_copy = { after_round = 1, after = '1s' }", "say when"),
        ("post_copy = { after_round = 1 }\npause = { after_round = 1 }", "nothing left"),
        ("xbzrle = { cache = '3MiB' }", "power of two"),
        ("auto_converge = { initial = 0 }", "policies.mine.auto_converge.initial"),
        ("auto_converge = { initial = 50, maximum = 40 }", "more than maximum"),
        ("multifd = { channels = 256 }", "policies.mine.multifd.channels"),
        ("multifd = { compression = 'zst' }", "did you mean 'zstd'"),
        ("dirty_limit = { period = '2s' }", "1ms to 1s"),
        ("dirty_limit = { rate = '500kB/s' }", "whole MiB/s"),
        ("bandwidth = '1mbit'", "8mbit at least"),
        ("capabilities = { multifd = true }", "multifd is written as multifd"),
        ("capabilities = { mapped-ram = true }", "does not move a running guest"),
        ("capabilities = { zero-copy-send = true }", "needs multifd"),
        ("parameters = { max-bandwidth = 1 }", "max-bandwidth is written as bandwidth"),
        ("multifd = { chanels = 2 }", "did you mean 'channels'"),
        ("nova = {}\novirt = {}", "nova and ovirt: one manager changes the limit, not several"),
        ("proxmox = {}\npause = { after = '1s' }", "proxmox: a guest that is paused has no limit left to change"),
        (
            "advised = { turn = 'post-copy' }\nmultifd = {}",
            "it decides itself when the guest is turned over, without multifd",
        ),
        ("advised = { turn = 'post-copy' }\npost_copy = { after_round = 1 }", "without post_copy"),
        ("advised = { turn = 'postcopy' }", "did you mean 'post-copy'"),
        ("advised = { first = '0s' }", "policies.mine.advised.first"),
        ("nova = { steps = 2 }", "policies.mine.nova.steps"),
        ("nova = { delay = '1s' }", "policies.mine.nova.delay"),
        ("ovirt = { look = '10ms' }", "policies.mine.ovirt.look"),
        ("proxmox = { downtime = '1h' }", "policies.mine.proxmox.downtime"),
    ],
)
def test_a_policy_that_qemu_would_refuse_is_refused_with_the_plan(body: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        parse(_policy(body), "my.toml")


def test_a_policy_without_a_table_names_those_that_there_are() -> None:
    with pytest.raises(PlanError, match=r"'mine' has no table \[policies.mine\]; known: .*post-copy-preempt"):
        parse("[axes]\npolicy = ['mine']", "my.toml")


def test_a_plan_s_own_policy_goes_before_the_built_in_one() -> None:
    text = "[axes]\npolicy = ['xbzrle', 'tls']\n[policies.xbzrle]\nxbzrle = { cache = '256MiB' }\n"
    plan = parse(text, "my.toml")
    chosen = plan.chosen_policies()
    assert chosen["xbzrle"].xbzrle is not None
    assert chosen["xbzrle"].xbzrle.cache == 2**28
    assert chosen["tls"].tls
    assert parse(text_of(plan), "kept") == plan
    assert plan.base_units()["policies"]["xbzrle"]["xbzrle"]["cache"] == 2**28


def test_another_cloud_s_migrations_are_nova_s() -> None:
    with pytest.raises(PlanError, match="Nova has no setting for XBZRLE"):
        load("policies", Options(lab="openstack"))


def test_a_cloud_is_given_more_time_unless_the_plan_says_otherwise(tmp_path: Path) -> None:
    given = load("website", Options(lab="openstack"))
    assert (given.windows.limit, given.verdict.outage, given.probes.echo_rate) == (300.0, 10.0, 500.0)
    assert load("website").verdict.outage == 3.0
    path = tmp_path / "mine.toml"
    path.write_text(
        '[lab]\nkind = "openstack"\n[axes]\nscenario = ["none"]\n[windows]\nlimit = "90s"\n[verdict]\noutage = "2s"\n'
    )
    mine = load(str(path))
    assert (mine.windows.limit, mine.windows.boot_limit, mine.verdict.outage) == (90.0, 300.0, 2.0)
    foreign = load(str(path), Options(cloud="mine"))
    assert (foreign.cloud.name, foreign.probes.echo_rate, foreign.probes.echo_kind) == ("mine", 50.0, "auto")


def test_a_stream_needs_an_address_on_a_foreign_cloud() -> None:
    with pytest.raises(PlanError, match=r"cloud\.origin"):
        load("website", Options(cloud="mine"))


DISTURBED = '[axes]\ndisturbance = ["cut"]\n[[disturbance]]\nname = "cut"\nkind = "link-down"\ntarget = "migration"\n'
LATE = """
[axes]
disturbance = ["busy"]
[[disturbance]]
name = "busy"
kind = "guest-cpu"
workers = 1
when = "window"
offset = "4s"
duration = "1s"
"""


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        pytest.param(DISTURBED, Options(lab="fake"), "disturbance cut", id="the fake lab disturbs nothing"),
        pytest.param(DISTURBED, Options(cloud="theirs"), "a cloud of others is not disturbed", id="a cloud of others"),
        pytest.param(
            LATE, Options(quick=True), "offset: the window before", id="a window that --quick makes too short"
        ),
        pytest.param("", Options(instances=-3), r"fleet\.count\.0", id="fewer than no instances"),
        pytest.param("", Options(instances=3), "need the lab openstack, not qemu", id="a fleet on another lab"),
        pytest.param("", Options(lab="proxmox"), "lab.kind: 'proxmox' is not known", id="another lab"),
        pytest.param(
            "blocks = []\nlab = 5\n", Options(quick=True, lab="fake"), "lab: ", id="a file that is wrong itself"
        ),
    ],
)
def test_options_make_a_plan_that_is_validated_as_one(tmp_path: Path, text: str, options: Options, said: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(PlanError, match=said) as error:
        load(str(path), options)
    assert str(error.value).startswith(f"{path}{options.words()}: ")


@pytest.mark.parametrize("name", built_in())
@pytest.mark.parametrize("options", [Options(quick=True), Options(lab="fake"), Options(lab="openstack")])
def test_what_options_made_of_a_plan_can_be_read_again(name: str, options: Options) -> None:
    try:
        plan = load(name, options)
    except PlanError:
        return
    assert parse(text_of(plan), name) == plan


@pytest.mark.parametrize(("options", "most_min"), [((), 70), (("--quick",), 13)])
def test_managers_are_compared_in_little_more_than_an_hour(
    options: tuple[str, ...], most_min: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(["plan", "controllers", *options, "--json"], result_action="return_value") == 0
    assert json.loads(capsys.readouterr().out)["seconds"] <= 60 * most_min
    managers = {policy.manager for policy in load("controllers").chosen_policies().values()}
    assert managers == {None, "nova", "ovirt", "proxmox", "advised"}


@pytest.mark.parametrize(("name", "trials", "second"), [("thesis", 34, 16), ("website", 34, 10)])
@pytest.mark.parametrize(("lab", "most_min"), [("qemu", 27), ("openstack", 60)])
def test_plans_with_a_second_part_take_no_longer_than_people_wait_and_are_listed_in_80_columns(
    name: str, trials: int, second: int, lab: str, most_min: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app(["plan", name, "--lab", lab, "--json"], result_action="return_value") == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["trials"]) == trials
    assert told["seconds"] <= 60 * most_min
    assert app(["plan", name, "--lab", lab], result_action="return_value") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"plan {name}: {trials} trials in 6 blocks on the {lab} lab, {second} in a second part"
    until = next(place for place, line in enumerate(lines) if line.startswith("missing here: "))
    assert all(len(line) <= 80 for line in lines[:until])
    assert ["trial", "block", "direction", "scenario", "downtime_limit", "resident"] in [line.split() for line in lines]


def test_no_more_cells_are_drawn_than_there_are() -> None:
    axes = "[axes]\nscenario = ['none']\nwrite_rate = ['0B/s', '1MB/s']\npattern = ['random', 'hot']"
    assert parse(f"cells = 3\n{axes}", "mine").cells == 3
    with pytest.raises(PlanError, match="cells: 4, and the axes make 3"):
        parse(f"cells = 4\n{axes}", "mine")
    with pytest.raises(PlanError, match="has no second part"):
        parse(f"cells = 1\n{axes}\n[also]\nscenario = ['online']", "mine")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '[lab]\nkind = "openstack"\nstream_family = "ipv6"\n',
            "lab.stream_family: how the memory goes between",
        ),
        (
            '[lab]\nkind = "libvirt"\nstream_family = "ipv6"\n[axes]\npolicy = ["t"]\n[policies.t]\ntunnelled = true\n',
            "policy t: tunnelled: libvirt's own connection is over ipv4 alone",
        ),
    ],
)
def test_memory_goes_over_ipv6_only_where_we_say_how_it_goes(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(PlanError, match=words):
        load(str(tmp_path / "plan.toml"))
