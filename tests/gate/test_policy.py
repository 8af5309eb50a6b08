"""``benchbox.toml``: what it may say, and how its errors are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbox.errors import UsageError
from benchbox.gate.night import Tier
from benchbox.gate.policy import Outputs, Policy, outputs_of, policy_from_text, policy_of, quantity

FULL = """
[gate]
version = 1
references = ["rolling", "anchor"]
rolling = { nights = 20, min_nights = 3, persist = 3 }
anchor = { baseline = "levels", drift = 3.0 }
coverage = { require = ["resnet*"], retired = ["lenet5/*"] }
confirm = { processes = 8, order = "ABBA", alpha = 0.01, rerun_on_noise = 1 }
budget = { inconclusive = 0.2, blind = 1.0 }
selftest = { aa = 3, injected = 0.10, every = "night" }
groups = ["machine"]

[[gate.rule]]
where = { metric = "latency_p50", device = "cpu*" }
effect = 0.03
floor = "20 us"

[[gate.rule]]
where = { metric = ["latency_*"] }
effect = 0.1
tier = "secondary"

[outputs]
markdown = "gate.md"
"""


def test_what_is_written_holds() -> None:
    policy = policy_from_text(FULL, origin="x")
    assert (policy.rolling.nights, policy.rolling.persist, policy.anchor.drift) == (20, 3, 3.0)
    assert policy.coverage.retired == ["lenet5/*"]
    assert policy.rules[0].least_difference == pytest.approx(20e-6)
    assert len(policy.rules) > len(policy.rule) == 2
    assert (policy.alpha, policy.rounds, policy.selftest.aa) == (0.01, 2, 3)
    # Without a word on it, a confirmation may be as wrong as a night.
    assert Policy().alpha == Policy().false_alarms


def test_outputs_are_checked_with_everything_else(tmp_path: Path) -> None:
    file = tmp_path / "benchbox.toml"
    file.write_text(FULL)
    assert outputs_of(tmp_path, None) == Outputs(markdown="gate.md")
    assert outputs_of(tmp_path / "elsewhere", None) == Outputs()
    file.write_text(FULL.replace("nights = 20", "nights = 0") + 'junitt = "x"\nannotations = "yes"\n')
    with pytest.raises(UsageError) as caught:
        policy_of(tmp_path, None)
    end = len(FULL.splitlines())
    lines = sorted(caught.value.values.splitlines())
    assert [line.partition(": ")[0] for line in lines] == [f"line {end + 1}", f"line {end + 2}", "line 5"]
    assert "junitt" in lines[0]
    assert "did you mean 'junit'" in lines[0]


def test_the_first_rule_that_matches_wins() -> None:
    rules = policy_from_text(FULL, origin="x").rules
    case = {"metric": "latency_p50", "device": "cpu", "mode": "isolated"}
    assert next(rule for rule in rules if rule.matches(case)).effect == 0.03
    gpu = next(rule for rule in rules if rule.matches({**case, "device": "cuda:0"}))
    assert (gpu.effect, gpu.level) == (0.1, Tier.SECONDARY)
    macs = next(rule for rule in rules if rule.matches({**case, "metric": "macs"}))
    assert macs.exact


def test_a_case_is_the_first_owners_that_matches() -> None:
    text = """[[gate.owner]]
where = { model = "resnet*", metric = "latency_*" }
name = "@vision"
[[gate.owner]]
name = "@all"
"""
    policy = policy_from_text(text, origin="x")
    case = {"model": "resnet50", "metric": "latency_p50"}
    assert policy.owner_of(case) == "@vision"
    assert policy.owner_of({**case, "metric": "macs"}) == "@all"
    assert Policy().owner_of(case) == ""


def test_all_errors_are_told_at_once_with_their_lines() -> None:
    text = (
        "[gate]\n"
        "rolling = { nigths = 3 }\n"
        "false_alarms = 7\n"
        "\n"
        "[[gate.rule]]\n"
        'where = { metric = "latency_p50" }\n'
        "effect = 0.05\n"
        "[[gate.rule]]\n"
        'where = { metrik = "x" }\n'
        "effect = 5\n"
        'floor = "20 parsecs"\n'
        "[gate.budget]\n"
        "blind = -1\n"
    )
    with pytest.raises(UsageError) as caught:
        policy_from_text(text, origin="benchbox.toml")
    said = caught.value.values.splitlines()
    assert [line.split(":")[0] for line in said] == ["line 2", "line 13", "line 3", "line 9", "line 10", "line 11"]
    assert "did you mean 'nights'" in said[0]
    assert "did you mean 'metric'" in said[3]
    assert "gate.rule.2.effect" in said[4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gate\n", "not TOML"),
        ("[gate]\nversion = 2\n", "line 2: gate.version"),
        ("[gate]\nrolling = { nights = 3, min_nights = 5 }\n", "min_nights 5 is more than nights 3"),
        ('[[gate.rule]]\nwhere = { metric = "macs" }\nexact = true\neffect = 0.1\n', "any change counts"),
        ('[[gate.rule]]\nwhere = { metric = "macs" }\n', "effect is missing"),
        ("[gate]\nrule = 3\n", "line 2: gate.rule"),
        ('[gate]\nconfirm = { order = "AABB" }\n', "line 2: gate.confirm.order"),
        ("[gate]\nconfirm = { alpha = 0 }\n", "line 2: gate.confirm.alpha"),
        ("[gate]\nselftest = { aa = 0 }\n", "line 2: gate.selftest.aa"),
        ('[[gate.rule]]\nwhere = {}\neffect = 0.1\nalso = "energy"\n', "line 4: gate.rule.1.also"),
        ('[[gate.rule]]\nwhere = {}\nexact = true\nalso = "cycles"\n', "any change counts"),
        ('[[gate.owner]]\nwhere = { modle = "x" }\nname = "a"\n', "line 2: gate.owner.1.where: cases have no 'modle'"),
        ("[[gate.owner]]\nwhere = {}\n", "gate.owner.1.name"),
        ('[[gate.owner]]\nnaem = "a"\n', "did you mean 'name'"),
    ],
)
def test_wrong_policies(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        policy_from_text(text, origin="benchbox.toml")
    assert said in str(caught.value)


def test_where_there_is_no_file_the_defaults_judge(tmp_path: Path) -> None:
    assert policy_of(tmp_path, None) == Policy()
    with pytest.raises(UsageError, match="cannot be read"):
        policy_of(tmp_path, str(tmp_path / "no.toml"))
    (tmp_path / "benchbox.toml").write_text(FULL)
    assert policy_of(tmp_path, None).groups == ["machine"]


def test_equal_policies_have_equal_digests() -> None:
    assert policy_from_text("[gate]\n", origin="x").sha256 == Policy().sha256
    assert policy_from_text(FULL, origin="x").sha256 != Policy().sha256


@pytest.mark.parametrize(("text", "value"), [("20 us", 20e-6), ("1MiB", 2.0**20), (3, 3.0), ("0.5 ms", 5e-4)])
def test_quantities(text: str | float, value: float) -> None:
    assert quantity(text) == pytest.approx(value)
