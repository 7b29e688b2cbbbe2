"""What a manifest says of policies, calibration and bank: read whole, or refused with what is wrong and where."""

from __future__ import annotations

from typing import Any

import pytest

from edge.bundle import SCALE, Bank, Calibration, Manifest, Policies
from edge.decode import DecodeError, decode

Data = dict[str, Any]
INFINITE, NAN = float("inf"), float("nan")


@pytest.fixture
def image(manifest: Data) -> Data:
    """The image tower of the small bundle: plain data, free to be spoilt."""
    tower: Data = manifest["towers"][0]
    return tower


@pytest.fixture
def policies(manifest: Data) -> Policies:
    read = decode(Manifest, manifest).tower("image").policies
    assert read is not None
    return read


def problems_of(manifest: Data) -> tuple[str, ...]:
    with pytest.raises(DecodeError) as caught:
        decode(Manifest, manifest)
    return caught.value.problems


def test_exits_are_read_with_all_that_they_have(manifest: Data) -> None:
    early, late = decode(Manifest, manifest).tower("image").exits
    assert (early.cost, late.cost) == (0.5, 1.0)
    assert [str(place.query.variants[0].path) for place in (early, late) if place.query] == [
        "image/query-00.tflite",
        "image/query-01.tflite",
    ]
    assert early.calibration == Calibration(cosine=9.0, mean=-3.0, spread=1.5, top=-2.0, bias=-4.5)
    assert early.calibration.scale == SCALE == 20
    assert late.calibration is not None
    assert late.calibration.scale == 30
    assert early.gate is not None
    assert late.gate is None


def test_bank_and_predictor_are_read(manifest: Data) -> None:
    read = decode(Manifest, manifest)
    assert read.bank is not None
    assert (str(read.bank.path), read.bank.rows, read.bank.width, read.bank.bytes) == ("bank.int8", 20, 16, 360)
    predictor = read.tower("image").predictor
    assert predictor is not None
    assert str(predictor.norm) == "image/predictor.f32"


def test_policies_are_read(policies: Policies) -> None:
    assert (policies.default, policies.stray, policies.survival) == ("gate", 60.0, (0.5, 0.8))
    assert [(setting.policy, setting.centre) for setting in policies.settings] == [
        ("fixed", 2.0),
        ("fixed", 4.0),
        ("predict", 3.0),
        ("gate", 2.5),
        ("gate", 3.5),
    ]


@pytest.mark.parametrize(
    ("cost", "centre"), [(0.0, 2.5), (0.6, 2.5), (0.69, 2.5), (0.7, 2.5), (0.71, 3.5), (0.8, 3.5), (2.0, 3.5)]
)
def test_knob_takes_the_setting_of_the_nearest_cost_and_of_two_the_cheaper(
    policies: Policies, cost: float, centre: float
) -> None:
    assert policies.nearest("gate", cost).centre == centre


def test_knob_takes_settings_of_the_wanted_policy_alone(policies: Policies) -> None:
    assert policies.nearest("predict", 0.5).policy == "predict"
    assert policies.nearest("fixed", 0.74).cost == 0.5


def test_policy_without_a_setting_is_answered_with_those_there_are(manifest: Data, image: Data) -> None:
    image["policies"]["settings"] = [one for one in image["policies"]["settings"] if one["policy"] != "predict"]
    read = decode(Manifest, manifest).tower("image").policies
    assert read is not None
    with pytest.raises(ValueError, match=r"^policy predict has no setting: there are fixed, gate$"):
        read.nearest("predict", 0.5)


@pytest.mark.parametrize("key", ["cosine", "mean", "spread", "top", "bias", "scale"])
@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
def test_calibration_must_be_finite(manifest: Data, image: Data, key: str, value: float) -> None:
    image["exits"][1]["calibration"][key] = value
    assert problems_of(manifest) == (f"towers[0].exits[1].calibration: {key} is {value}: must be a finite number",)


@pytest.mark.parametrize("key", ["cosine", "scale"])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_calibration_that_turns_the_ranking_round_is_refused(
    manifest: Data, image: Data, key: str, value: float
) -> None:
    image["exits"][0]["calibration"][key] = value
    assert problems_of(manifest) == (f"towers[0].exits[0].calibration: {key} is {value}: must be above 0",)


@pytest.mark.parametrize("number", [0, 1])
def test_calibrated_bundle_has_a_calibration_at_every_exit(manifest: Data, image: Data, number: int) -> None:
    del image["exits"][number]["calibration"]
    depth = image["exits"][number]["depth"]
    expected = f"calibrated is true, but the image exit at depth {depth} has no calibration"
    assert problems_of(manifest) == (expected,)


def test_bundle_that_is_not_calibrated_has_a_calibration_nowhere(manifest: Data, image: Data) -> None:
    manifest["calibrated"] = False
    del image["exits"][0]["calibration"]
    assert problems_of(manifest) == ("calibrated is false, but the image exit at depth 4 has a calibration",)


def test_bundle_with_policies_need_not_be_calibrated(manifest: Data, image: Data) -> None:
    manifest["calibrated"] = False
    for place in image["exits"]:
        del place["calibration"]
    assert decode(Manifest, manifest).tower("image").policies


@pytest.mark.parametrize("kept", ["calibration", "gate", "predictor"])
def test_what_reads_the_bank_needs_one(manifest: Data, image: Data, kept: str) -> None:
    del manifest["bank"], image["policies"]
    manifest["calibrated"] = kept == "calibration"
    for key in {"calibration", "gate"} - {kept}:
        for place in image["exits"]:
            place.pop(key, None)
    if kept != "predictor":
        del image["predictor"]
    assert problems_of(manifest) == ("the image tower compares items with a bank, but there is none",)


@pytest.mark.parametrize(("rows", "width"), [(19, 16), (0, 16), (20, 0), (-20, -16)])
def test_bank_too_small_for_its_numbers_is_refused(manifest: Data, rows: int, width: int) -> None:
    manifest["bank"] |= {"rows": rows, "width": width}
    expected = f"bank: rows is {rows}, width {width}: must be 20 or more and 1 or more"
    assert problems_of(manifest) == (expected,)


@pytest.mark.parametrize(("rows", "size"), [(21, 378), (1_000_000, 18_000_000)])
def test_bank_of_another_size_than_its_file_is_refused_with_both(manifest: Data, rows: int, size: int) -> None:
    manifest["bank"]["rows"] = rows
    assert problems_of(manifest) == (f"bank.int8 has 360 bytes: {rows} rows of 16 values have {size}",)


def test_bank_of_another_width_than_the_text_towers_features_is_refused(manifest: Data) -> None:
    manifest["bank"] |= {"rows": 36, "width": 8}
    expected = "bank has width 8, the text tower gives (16,) before its heads"
    assert problems_of(manifest) == (expected,)


def test_size_of_a_bank_counts_a_scale_for_each_row() -> None:
    assert Bank(path=decode(Bank, {"path": "b", "rows": 20, "width": 1}).path, rows=1500, width=384).bytes == 579_000


@pytest.mark.parametrize("cost", [0.0, -0.1, 1.01, NAN])
def test_cost_that_is_no_share_is_refused(manifest: Data, image: Data, cost: float) -> None:
    image["exits"][0]["cost"] = cost
    assert problems_of(manifest) == (f"towers[0].exits[0]: cost is {cost}: must be above 0 and at most 1",)


@pytest.mark.parametrize("costs", [(0.5, 0.9), (None, 1.0), (0.5, None)])
def test_costs_that_do_not_rise_to_1_or_are_known_in_part_are_refused(
    manifest: Data, image: Data, costs: tuple[float | None, float | None]
) -> None:
    for place, cost in zip(image["exits"], costs, strict=True):
        place["cost"] = cost
    assert problems_of(manifest) == (f"towers[0]: exit costs {list(costs)} must rise to 1, or all be unknown",)


def test_policies_without_costs_are_refused(manifest: Data, image: Data) -> None:
    for place in image["exits"]:
        del place["cost"]
    assert problems_of(manifest) == ("towers[0]: policies need the cost of every exit",)


@pytest.mark.parametrize(("stray", "problem"), [(-1.0, "must be 0 or more"), (NAN, "must be a finite number")])
def test_stray_that_the_rule_cannot_use_is_refused(manifest: Data, image: Data, stray: float, problem: str) -> None:
    image["policies"]["stray"] = stray
    assert problems_of(manifest) == (f"towers[0].policies: stray is {stray}: {problem}",)


@pytest.mark.parametrize("share", [-0.1, 1.1, NAN])
def test_shares_out_of_range_are_refused_wherever_they_stand(manifest: Data, image: Data, share: float) -> None:
    first = image["policies"]["settings"][0]
    for key in ("cost", "recall_at_1", "recall_at_10"):
        kept, first[key] = first[key], share
        expected = f"towers[0].policies.settings[0]: {key} is {share}: must be from 0 to 1"
        assert problems_of(manifest) == (expected,)
        first[key] = kept
    first["exits"] = [share, 1.0]
    assert problems_of(manifest) == (f"towers[0].policies.settings[0]: exits is {share}: must be from 0 to 1",)
    first["exits"] = [1.0, 0.0]
    image["policies"]["survival"] = [0.5, share]
    assert problems_of(manifest) == (f"towers[0].policies: survival is {share}: must be from 0 to 1",)


@pytest.mark.parametrize(("kept", "problem"), [(-0.1, "must be 0 or more"), (NAN, "must be a finite number")])
def test_what_a_setting_keeps_may_be_more_than_full_depth_finds_but_not_less_than_nothing(
    manifest: Data, image: Data, kept: float, problem: str
) -> None:
    image["policies"]["settings"][0]["kept_at_10"] = 1.02
    assert decode(Manifest, manifest)
    image["policies"]["settings"][0]["kept_at_10"] = kept
    assert problems_of(manifest) == (f"towers[0].policies.settings[0]: kept_at_10 is {kept}: {problem}",)


@pytest.mark.parametrize("exits", [[0.5, 0.4], [1.0, 1.0], [], [0.0, 0.0]])
def test_shares_of_exits_must_add_up_to_1(manifest: Data, image: Data, exits: list[float]) -> None:
    image["policies"]["settings"][3]["exits"] = exits
    assert problems_of(manifest) == (f"towers[0].policies.settings[3]: exits {exits} must add up to 1",)


def test_shares_of_exits_may_be_rounded(manifest: Data, image: Data) -> None:
    image["policies"]["settings"][3]["exits"] = [0.3333, 0.6666]
    assert decode(Manifest, manifest)


def test_setting_with_shares_of_other_exits_than_survival_is_refused(manifest: Data, image: Data) -> None:
    image["policies"]["settings"][3]["exits"] = [0.5, 0.25, 0.25]
    expected = "towers[0].policies: a setting of gate has shares of 3 exits, survival those of 2"
    assert problems_of(manifest) == (expected,)


def test_survival_of_other_exits_than_the_tower_has_is_refused(manifest: Data, image: Data) -> None:
    image["policies"]["survival"] = [0.5, 0.6, 0.8]
    for one in image["policies"]["settings"]:
        one["exits"] = [1.0, 0.0, 0.0]
    assert problems_of(manifest) == ("towers[0]: policies have the survival of 3 exits, there are 2",)


@pytest.mark.parametrize("centre", [NAN, INFINITE])
def test_centre_must_be_finite(manifest: Data, image: Data, centre: float) -> None:
    image["policies"]["settings"][4]["centre"] = centre
    expected = f"towers[0].policies.settings[4]: centre is {centre}: must be a finite number"
    assert problems_of(manifest) == (expected,)


def test_default_policy_needs_a_setting(manifest: Data, image: Data) -> None:
    image["policies"]["settings"] = image["policies"]["settings"][:3]
    assert problems_of(manifest) == ("towers[0].policies: default is gate: settings must have one of it at least",)


@pytest.mark.parametrize("default", ["random", "oracle", "whim"])
def test_policy_that_no_device_can_follow_is_no_default(manifest: Data, image: Data, default: str) -> None:
    image["policies"]["default"] = default
    expected = f"towers[0].policies.default is '{default}': must be one of fixed, predict, gate"
    assert problems_of(manifest) == (expected,)


def test_policy_of_a_setting_must_be_known(manifest: Data, image: Data) -> None:
    image["policies"]["settings"][0]["policy"] = "whim"
    expected = "towers[0].policies.settings[0].policy is 'whim': must be one of fixed, predict, gate"
    assert problems_of(manifest) == (expected,)


def test_predict_needs_a_predictor(manifest: Data, image: Data) -> None:
    del image["predictor"]
    assert problems_of(manifest) == ("towers[0]: the policy predict needs a predictor",)


def test_gate_needs_a_gate_at_every_exit_but_the_last(manifest: Data, image: Data) -> None:
    del image["exits"][0]["gate"]
    expected = "towers[0]: the policy gate needs a gate at every exit but the last: depth 2 has none"
    assert problems_of(manifest) == (expected,)


def test_fixed_needs_neither_predictor_nor_gates(manifest: Data, image: Data) -> None:
    image["policies"] |= {"default": "fixed", "settings": image["policies"]["settings"][:2]}
    del image["predictor"], image["exits"][0]["gate"]
    assert decode(Manifest, manifest).tower("image").policies
