"""Every option is checked where it enters, in one sentence that ends in the next action."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import gradcheck
from gradcheck.errors import GradcheckError, UsageError
from gradcheck.options import Options


def test_defaults_are_those_of_the_documentation():
    options = Options.of()
    assert options == Options()
    assert (options.order, options.rtol, options.effort, options.variations) == (1, None, "auto", True)
    assert dict(options.allow) == {}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"order": 3}, "Expected 1 or 2 but got order=3; use order=2"),
        ({"order": True}, "got order=True"),
        ({"order": np.zeros(2)}, "got order=array"),
        (
            {"rtol": -1},
            "Expected a finite number that is not negative but got rtol=-1; use",
        ),
        ({"atol": "small"}, "got atol='small'"),
        ({"rtol": float("nan")}, "got rtol=nan"),
        ({"effort": "all"}, "Expected 'probe', 'auto' or 'every' but got effort='all'; use effort='every'"),
        ({"variations": "ties"}, "got variations='ties'; use variations={'ties'}"),
        ({"variations": [1]}, "got variations=[1]; use variations=False"),
        ({"variations": ["ties", "zeroes"]}, "Unknown variation 'zeroes'. Did you mean 'zeros'"),
        ({"variations": {"xyz"}}, "Unknown variation 'xyz'. The variations are: cotangent layouts,"),
        ({"reference": 1}, "Expected a function but got reference=1"),
        ({"allow": ["w"]}, "Expected a mapping from parameter name to reason but got allow=['w']"),
        ({"allow": {"w": ""}}, "got allow['w']=''"),
        ({"seed": -1}, "got seed=-1"),
        ({"seed": 1.5}, "got seed=1.5"),
        ({"name": ""}, "Expected text but got name=''"),
        ({"efort": "every"}, "Unknown option efort='every'. Did you mean 'effort'?"),
        ({"gradent": abs}, "Did you mean 'gradient'?"),
        ({"zzz": 1}, "The options are: allow, atol, effort"),
    ],
)
def test_an_unusable_option_is_refused_with_what_to_use(given, expected):
    with pytest.raises(UsageError) as caught:
        Options.of(**given)
    assert expected in str(caught.value)
    assert isinstance(caught.value, GradcheckError)


def test_numbers_of_other_libraries_are_taken():
    options = Options.of(order=np.int64(2), rtol=np.float32(0.5), seed=np.uint8(7))
    assert (options.order, options.rtol, options.seed) == (2, 0.5, 7)
    assert type(options.order) is type(options.seed) is int


def test_a_set_of_variations_is_kept_as_names():
    assert Options.of(variations=["ties", "ties"]).variations == frozenset({"ties"})


def test_options_cannot_be_changed_behind_the_back():
    allowed = {"w": "straight-through"}
    options = Options.of(allow=allowed)
    allowed["b"] = "later"
    assert dict(options.allow) == {"w": "straight-through"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.order = 2  # type: ignore[misc]  # that this is refused is the point


def test_replacing_checks_as_well():
    options = Options.of(seed=3).replace(rtol=1e-3)
    assert (options.seed, options.rtol) == (3, 1e-3)
    with pytest.raises(UsageError):
        options.replace(effort="none")


def test_the_report_gets_only_what_was_changed():
    assert Options.of().to_dict() == {}
    changed = Options.of(
        order=2, variations={"zeros", "ties"}, reference=np.sum, allow={"w": "why"}
    ).to_dict()
    assert changed == {"order": 2, "variations": ["ties", "zeros"], "reference": "sum", "allow": {"w": "why"}}


def test_a_value_whose_repr_raises_is_still_refused_in_words():
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(UsageError, match="whose repr raises RuntimeError"):
        Options.of(effort=Hostile())


def test_the_names_of_the_variations_are_those_that_there_are():
    from gradcheck.variations.names import JAX_ONLY, NAMES
    from gradcheck.variations.run import VARIATIONS

    assert (*VARIATIONS, *JAX_ONLY) == NAMES


@pytest.mark.parametrize("option", [{"order": 2}, {"variations": False}, {"allow": {"x": "why"}}])
def test_what_a_case_has_none_of_is_refused(option):
    with pytest.raises(UsageError, match="is about functions, and an engine on a case has none of it"):
        gradcheck.verify_case(None, None, **option)


def test_variations_by_name_are_not_ignored_in_silence():
    report = gradcheck.verify(lambda p: float(p**3), 2.0, gradient=lambda p: 3 * p**2, variations={"zeros"})
    assert report.ok
    assert any("variations are for PyTorch and JAX functions" in note for note in report.notes)


def test_keyword_arguments_that_are_no_mapping_are_refused():
    with pytest.raises(UsageError, match="Expected keyword arguments by name but got kwargs=3; use"):
        gradcheck.verify(abs, 1.0, kwargs=3)
