"""What several parameters show together: one factor for all, exchanged gradients, where an error enters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradcheck.diagnose.scene import Scene
from gradcheck.diagnose.words import listing, number
from gradcheck.report.records import Diagnosis


def joint_explanations(scene: Scene, diagnoses: Mapping[str, tuple[Diagnosis, ...]]) -> tuple[Diagnosis, ...]:
    """Return explanations that cover two or more parameters, the one that covers most first."""
    found = [*_common_factor(scene, diagnoses), *_exchanged(diagnoses), *_common_kind(scene, diagnoses)]
    return tuple(sorted(found, key=lambda d: -len(d.details["parameters"])))


def _first(diagnoses: Mapping[str, tuple[Diagnosis, ...]]) -> dict[str, Diagnosis]:
    return {name: listed[0] for name, listed in diagnoses.items() if listed}


def _common_factor(scene: Scene, diagnoses: Mapping[str, tuple[Diagnosis, ...]]) -> Iterator[Diagnosis]:
    """One ratio shared by parameters: the factor enters where all of them are reached from."""
    ratios = {}
    for name, listed in diagnoses.items():
        if listed[0].kind == "cotangent":  # the factor is what became of it
            continue
        for diagnosis in listed:
            ratio = diagnosis.details.get("ratio")
            if diagnosis.kind in ("sign", "scale") and isinstance(ratio, float) and diagnosis.fit >= 0.999:
                ratios[name] = (ratio, diagnosis)
                break
    groups: dict[str, list[str]] = {}
    for name, (ratio, _) in ratios.items():
        groups.setdefault(number(ratio), []).append(name)
    for text, names in groups.items():
        if len(names) < 2:
            continue
        ratio, example = ratios[names[0]]
        named = scene.name_factor("", ratio, float(example.details.get("uncertainty", 1e-9)))
        negated = text == "-1"
        if named is None and not negated and not scene.facts.listed:  # the operation at fault says more
            continue
        words = "have the wrong sign" if negated else f"are {text} times the true ones"
        words += named.after(text) if named and not negated else ""
        message = f"The gradients of {listing(names)} all {words}; {_where(scene, names)}"
        message += f" {named.question[0].upper()}{named.question[1:]}" if named and named.question else ""
        kind = "sign" if negated else "scale"
        fit = min(ratios[name][1].fit for name in names)
        yield Diagnosis(kind, message, fit, {"parameters": names, "ratio": ratio})


def _where(scene: Scene, names: list[str]) -> str:
    """Say what is common to the parameters of a group, in the order of the computation."""
    failing = [name for name in scene.order if scene.samples[name].failing]
    if len(names) == len(scene.samples):
        return "that is every parameter, so the factor is in the loss or in what all of them share."
    right = [name for name in scene.order if not scene.samples[name].failing]
    last = max((scene.order.index(name) for name in names if name in scene.order), default=-1)
    alone = set(failing) <= set(names)
    if alone and last >= 0 and right and all(scene.order.index(name) > last for name in right):
        return f"everything after {scene.order[last]} is right, so one factor enters there."
    return "one mistake common to them explains that."


def _exchanged(diagnoses: Mapping[str, tuple[Diagnosis, ...]]) -> Iterator[Diagnosis]:
    done: set[frozenset[str]] = set()
    for name, first in _first(diagnoses).items():
        other = first.details.get("with")
        if first.kind != "swapped" or not first.details.get("mutual") or not isinstance(other, str):
            continue
        pair = frozenset((name, other))
        if pair not in done:
            done.add(pair)
            yield Diagnosis("swapped", first.message, first.fit, {"parameters": [name, other]})


def _common_kind(scene: Scene, diagnoses: Mapping[str, tuple[Diagnosis, ...]]) -> Iterator[Diagnosis]:
    """Parameters whose gradients all vanish or all accumulate have one cause."""
    first = _first(diagnoses)
    for kind, words in _SHARED.items():
        names = [name for name in scene.order if name in first and first[name].kind == kind]
        if len(names) >= 2:
            message = f"The gradients of {listing(names)} {words}"
            yield Diagnosis(kind, message, min(first[name].fit for name in names), {"parameters": names})


_SHARED = {
    "severed": "are all zero or absent: the path to all of them is cut in one place, or they are left out.",
    "accumulated": "all accumulate over calls.",
    "nondeterministic": "all differ from call to call.",
    "precision": "are all right only to the digits of a narrower format: something shared is computed in it.",
}
