"""From discrepancies to named mistakes: try every kind, keep what fits, prefer the simple."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gradcheck.diagnose.evidence import Discrepancy, Facts
from gradcheck.diagnose.hypothesis import Hypothesis
from gradcheck.diagnose.joint import joint_explanations
from gradcheck.diagnose.kinds import EVIDENT, FITTED, Propose
from gradcheck.diagnose.precision import precision
from gradcheck.diagnose.profile import enters_between, profile
from gradcheck.diagnose.sample import Sample, narrowed
from gradcheck.diagnose.scene import Scene, set_scene
from gradcheck.diagnose.unexplained import unexplained
from gradcheck.report.records import Diagnosis
from gradcheck.slips.record import Slip

# A hypothesis that leaves something is reported only if it leaves next to nothing.
_GOOD = 0.999
# Without much distance from the noise only hypotheses that assume little are believed.
_SIMPLE = 3.3
# Alternatives that cost this much more than the best say nothing new.
_SPREAD = 2.5
_MOST = 3


@dataclass(frozen=True)
class Findings:
    """What was found wrong with a subject's gradients, and what explains it.

    ``parameters``: the diagnoses of each parameter that has any, best first. ``joint``: explanations of
    several parameters at once (named in ``details["parameters"]``). ``between``: the last wrong and the first
    right parameter from input to output. ``profile``: the same in a sentence, "" where it tells nothing.
    ``slip``: the one change that makes every gradient right, in a sentence, "" where none was found.
    """

    parameters: Mapping[str, tuple[Diagnosis, ...]] = field(default_factory=dict)
    joint: tuple[Diagnosis, ...] = ()
    between: tuple[str, str] | None = None
    profile: str = ""
    slip: str = ""

    def of(self, name: str) -> tuple[Diagnosis, ...]:
        """Return the diagnoses of one parameter, best first; () where nothing is wrong."""
        return self.parameters.get(name, ())

    @property
    def headline(self) -> Diagnosis | None:
        """The one to show first: of several parameters, what explains most; None where nothing is wrong."""
        if self.joint and len(self.joint[0].details["parameters"]) == len(self.parameters):
            return self.joint[0]
        firsts = [listed[0] for listed in self.parameters.values()]
        named = [diagnosis for diagnosis in firsts if diagnosis.kind != "unexplained"]
        # The parameter nearest to the output shows the mistake itself, those before it what became of it.
        return next(reversed(named or firsts), None)


def diagnose(discrepancies: Mapping[str, Discrepancy], facts: Facts | None = None) -> Findings:
    """Name the mistakes behind wrong gradients. Give all parameters, the right ones too.

    Right gradients get no diagnosis. A wrong one that no known mistake explains gets "unexplained".
    """
    scene = set_scene(discrepancies, facts or Facts())
    found: dict[str, tuple[Diagnosis, ...]] = {}
    for name in scene.order + tuple(name for name in scene.samples if name not in scene.order):
        diagnoses = _explain(scene.samples[name], scene)
        if diagnoses:
            found[name] = tuple(_spelled(diagnosis, name) for diagnosis in diagnoses)
    return Findings(found, joint_explanations(scene, found), enters_between(scene), profile(scene))


def narrowness(imprecise: Discrepancy) -> tuple[Diagnosis, ...]:
    """Name the narrow number format that a gradient right to some digits comes of; () where none shows."""
    scene = set_scene({imprecise.name: imprecise}, Facts())
    sample = _finite_part(scene.samples[imprecise.name])
    with np.errstate(all="ignore"):
        fitting = [h for h in _proposed(precision, sample, scene) if sample.failing and _fits(h, sample)]
    return tuple(_spelled(diagnosis, imprecise.name) for diagnosis in _report(_best(fitting)[:1]))


def with_slip(found: Findings, slip: Slip | None) -> Findings:
    """Add the one change that makes every gradient right: the name of what no numbers explain."""
    if slip is None:
        return found
    parameters = {
        name: _with_slip(name, listed, slip) if name in slip.right else listed
        for name, listed in found.parameters.items()
    }
    return replace(found, parameters=parameters, slip=slip.note)


def _with_slip(name: str, listed: tuple[Diagnosis, ...], slip: Slip) -> tuple[Diagnosis, ...]:
    """Put the change in the place of "unexplained", and after a diagnosis that tells the place alone."""
    details = {"place": slip.place, "before": slip.before, "after": slip.after}
    change = _spelled(Diagnosis("slip", slip.message(name), 1.0, details), name)
    if listed and listed[0].kind == "unexplained":
        return (change,)
    return (listed[0], change) if listed and listed[0].details.get("inside") == "" else listed


def _spelled(diagnosis: Diagnosis, name: str) -> Diagnosis:
    """Return a diagnosis with the possessive that a name in s has."""
    if len(name) < 3 or not name.endswith("s"):  # of the letter s it is s's: s' is a derivative
        return diagnosis
    return replace(diagnosis, message=diagnosis.message.replace(f"{name}'s ", f"{name}' "))


def _explain(sample: Sample, scene: Scene) -> tuple[Diagnosis, ...]:
    evident = [hypothesis for propose in EVIDENT for hypothesis in _proposed(propose, sample, scene)]
    evident = _one_of_repetition(evident)
    rest = _finite_part(sample)
    if not rest.failing:
        return _report(evident)
    if rest is not sample and not _enough(rest):
        return _report(evident)
    proposed = list(_proposals(rest, scene))
    fitting = [hypothesis for hypothesis in proposed if _fits(hypothesis, rest)]
    if not fitting and not evident:
        nearest = max(proposed, key=lambda hypothesis: hypothesis.fit.share, default=None)
        return (unexplained(rest, nearest),)
    return _report(evident + _best(fitting))


def _one_of_repetition(evident: list[Hypothesis]) -> list[Hypothesis]:
    """Two calls that differ are one finding: accumulation where it is that."""
    kinds = [hypothesis.kind for hypothesis in evident]
    kept = []
    for i, hypothesis in enumerate(evident):
        again = hypothesis.kind in kinds[:i]
        if not again and not (hypothesis.kind == "nondeterministic" and "accumulated" in kinds):
            kept.append(hypothesis)
    return kept


def _proposals(sample: Sample, scene: Scene) -> Iterator[Hypothesis]:
    with np.errstate(all="ignore"):
        for propose in FITTED:
            yield from _proposed(propose, sample, scene)


def _proposed(propose: Propose, sample: Sample, scene: Scene) -> list[Hypothesis]:
    """Ask one kind of mistake; what it cannot compute of such numbers it does not propose.

    A report of a wrong gradient must not fail because one explanation of it does.
    """
    found = []
    try:
        for hypothesis in propose(sample, scene):
            found.append(hypothesis)
    except Exception:  # a decomposition that does not converge, an axis that is not there
        pass
    return found


def _finite_part(sample: Sample) -> Sample:
    """Leave out entries that are claimed to be NaN or infinite: they are a finding of their own."""
    if sample.finite:
        return sample
    finite = np.isfinite(sample.claimed)
    known = sample.known if sample.misshapen else sample.known & finite
    return narrowed(sample, known, np.where(finite, sample.claimed, 0))


def _enough(sample: Sample) -> bool:
    return not sample.misshapen and int(sample.wrong.sum()) > 1


def _fits(hypothesis: Hypothesis, sample: Sample) -> bool:
    fit = hypothesis.fit
    if not sample.clear and not sample.misshapen and hypothesis.cost > _SIMPLE:
        return fit.exact and hypothesis.kind in ("partial", "masked", "precision")
    return fit.raw >= 0.5 and (fit.exact or fit.share >= _GOOD)


def _best(fitting: list[Hypothesis]) -> list[Hypothesis]:
    """Keep the simplest of those that fit exactly, then what is nearly as simple; one of each kind."""
    ranked = sorted(fitting, key=lambda hypothesis: (not hypothesis.fit.exact, hypothesis.cost))
    kept: list[Hypothesis] = []
    for hypothesis in ranked:
        alike = any(other.kind == hypothesis.kind for other in kept)
        far = bool(kept) and hypothesis.cost > kept[0].cost + _SPREAD
        worse = bool(kept) and kept[0].fit.exact and not hypothesis.fit.exact
        if not alike and not far and not worse:
            kept.append(hypothesis)
    return kept[:_MOST]


def _report(hypotheses: list[Hypothesis]) -> tuple[Diagnosis, ...]:
    return tuple(hypothesis.diagnosis() for hypothesis in hypotheses)
