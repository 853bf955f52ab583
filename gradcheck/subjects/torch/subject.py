"""A torch callable at given arguments, as a Subject.

The subject is a context: inside ``with subject:`` its tensors hold the values under verification (in double
precision where it can run so), and leaving it puts everything back as the user had it.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from gradcheck.errors import TargetError, UsageError
from gradcheck.subjects.torch import first_run, layout, refusals, tree
from gradcheck.subjects.torch.arguments import NO_ALIASES, Arguments, Change
from gradcheck.subjects.torch.backward import Backward, Cotangents, Gradients, Run
from gradcheck.subjects.torch.leaves import inputs_of, name_of, parameters_of
from gradcheck.subjects.torch.randomness import Randomness
from gradcheck.subjects.torch.state import ModuleState, generators, modules_of, plain_tensors, within
from gradcheck.subjects.torch.widening import Widening

_NOTHING_CAPTURED: Mapping[str, torch.Tensor] = MappingProxyType({})


class TorchSubject:
    """The forward pass ``function(*args, **kwargs)`` and its gradients by ``torch.autograd``.

    ``epsilon`` is the coarsest spacing among leaves and outputs, known once started.
    ``double`` asks for double precision throughout: parameters, inputs, buffers, constants that the
    function refers to, the default dtype, and casts that the outputs would feel. ``narrowing``, known once
    started, are the formats that numbers in double precision are cast into. ``on_copies``: inputs are passed
    as copies, as the forward pass changes one in place. ``names`` selects the leaves;
    None selects every parameter and input that requires grad (every floating-point input where nothing does).
    ``captured`` are leaves that are neither: what the function closes over, or finds in objects of its own.
    """

    fixed_cotangent = False

    def __init__(
        self,
        function: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        double: bool = False,
        names: Sequence[str] | None = None,
        captured: Mapping[str, torch.Tensor] = _NOTHING_CAPTURED,
    ) -> None:
        if isinstance(function, type) and issubclass(function, torch.autograd.Function | torch.nn.Module):
            raise UsageError(refusals.of_class(function))
        self.function, self.args, self.kwargs = function, tuple(args), dict(kwargs or {})
        self.name = name or name_of(function)
        self.double = double
        self.notes: list[str] = []
        self.modules = modules_of(function)
        self.captured = captured
        inner = within(self.modules)
        self.parameters = {**parameters_of(inner), **captured}
        self.inputs = inputs_of(self.args, self.kwargs)
        refused = next(filter(None, map(refusals.unfit, self.inputs, self.inputs.values())), "")
        if refused:
            raise UsageError(refused)
        self._arguments = Arguments(self.args, self.kwargs, self.inputs)
        self.names = list(names) if names is not None else self._choose()
        self.original_dtypes = {
            name: tensor.dtype for name, tensor in {**self.parameters, **self.inputs}.items()
        }
        self._is_given_narrow = any(map(layout.is_narrow, self.original_dtypes.values()))
        own = {id(parameter) for parameter in self.parameters.values()}
        self._constants = [t for t in plain_tensors(function, inner.values()) if id(t) not in own]
        self._generators = generators(function, inner.values(), [*self.args, *self.kwargs.values()])
        self._state = ModuleState(inner.values())
        self._casts: Widening | None = None
        self.narrowing: frozenset[torch.dtype] = frozenset()
        self.on_copies = False
        self._needs_grad_mode: bool | None = None
        self.backward = Backward()
        self._base: list[torch.Tensor] = []
        self.forward_runs = 0
        self.epsilon = 0.0
        self.output_paths: list[str] = []
        self.variables: dict[str, torch.Tensor] = {}

    def at(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        double: bool | None = None,
        names: Sequence[str] | None = None,
    ) -> TorchSubject:
        """Return a subject of the same function, and leaves unless others are named, at other arguments."""
        return TorchSubject(
            self.function,
            args,
            kwargs,
            name=self.name,
            double=self.double if double is None else double,
            names=self.names if names is None else names,
            captured=self.captured,
        )

    def _choose(self) -> list[str]:
        own = {**(self.parameters if self._owns_parameters() else {}), **self.inputs, **self.captured}
        for named in (own, self.parameters):  # of a module in a closure where no input requires grad
            chosen = [name for name, tensor in named.items() if tensor.requires_grad]
            if chosen:
                unfit = [name for name in chosen if not layout.is_finite(named[name])]
                if unfit:
                    raise UsageError(refusals.undefined(unfit[0]))
                return chosen
        numbers = [name for name, tensor in self.inputs.items() if layout.is_number(tensor)]
        chosen = [name for name in numbers if layout.is_finite(self.inputs[name])]
        if chosen:
            self.notes.append("no input requires grad: every floating-point input was verified")
            if len(chosen) < len(numbers):  # masks, say, of minus infinity
                left_out = [name for name in numbers if name not in chosen]
                self.notes.append("not verified, as they hold NaN or infinity: " + ", ".join(left_out[:5]))
            return chosen
        if numbers:
            raise UsageError(refusals.undefined(numbers[0]))
        raise UsageError(refusals.nothing_to_move(self.name, self.inputs, self.args, self.kwargs))

    def _owns_parameters(self) -> bool:
        return any(prefix == "" for prefix, _ in self.modules)

    def __enter__(self) -> TorchSubject:
        self._randomness = Randomness(self._generators)
        self._originals = [(tensor, tensor.data) for tensor in [*self.parameters.values(), *self._constants]]
        self._default = torch.get_default_dtype()
        try:
            if self.double:
                torch.set_default_dtype(torch.float64)
            self._install()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _install(self) -> None:
        self._fresh: list[tuple[torch.Tensor, torch.Tensor]] = []
        for tensor, data in self._originals:
            if torch.nn.parameter.is_lazy(tensor):
                raise UsageError(
                    f"{self.name} has uninitialised (lazy) parameters: run it once before verifying."
                )
            if tensor.is_inference():
                raise UsageError(refusals.of_inference(self._name_of_state(tensor)))
            if layout.is_number(tensor):
                tensor.data = layout.copy(data, self._dtype(data))
            else:  # counters, masks, indices: a forward pass may change them in place
                tensor.data = data.clone()
            self._fresh.append((tensor, tensor.data))
        self._input_data = {name: layout.copy(t, self._dtype(t)) for name, t in self.inputs.items()}
        self._parameter_data = {name: p.data for name, p in self.parameters.items()}
        self._held = [(p, p.data, p.requires_grad) for p in self.parameters.values()]
        self.variables = {
            name: self._parameter_data[name] if name in self.parameters else self._input_data[name]
            for name in self.names
        }
        self._constant_values = {t: (t.data.clone(), t._version) for t in self._constants}
        self._is_changed = self._state.holds_any or bool(self._constant_values)

    def _name_of_state(self, tensor: torch.Tensor) -> str:
        names = [name for name, parameter in self.parameters.items() if parameter is tensor]
        return names[0] if names else f"a buffer or constant of {self.name}"

    def __exit__(self, *_: object) -> None:
        self.let_casts_be()
        self._forget_graphs()
        self._give_back()
        self._state.restore_gradients()

    def _give_back(self) -> None:
        """Put back the user's own tensors, default dtype, random generators and attributes of modules."""
        for tensor, data in self._originals:
            tensor.data = data
        if torch.get_default_dtype() is not self._default:
            torch.set_default_dtype(self._default)
        self._randomness.restore_all()
        self._state.restore_attributes()

    def open(self) -> TorchSubject:
        """Enter and start; where starting raises, everything is put back."""
        self.__enter__()
        try:
            self.start(on_trial=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Put the user's own tensors, random generators and default dtype back for a while."""
        self._forget_graphs()
        self._give_back()
        if self.accumulates:
            self._state.restore_gradients()
        if self._casts is not None:
            self._casts.active = False
        try:
            yield
        finally:
            self._forget_graphs()
            if self._casts is not None:
                self._casts.active = True
            if self.double:
                torch.set_default_dtype(torch.float64)
            for tensor, data in self._fresh:
                tensor.data = data

    def _forget_graphs(self) -> None:
        """Free graphs that only cycles keep: while one lives, its leaf takes gradients of its dtype only."""
        self.backward.forget()
        if self.accumulates:
            gc.collect()

    def _dtype(self, tensor: torch.Tensor) -> torch.dtype:
        return layout.wide(tensor.dtype) if self.double else tensor.dtype

    # Running

    def start(self, on_trial: bool = False) -> None:
        """Run forward once: learn which outputs are differentiable and what the run changes.

        ``on_trial``: whether a function whose graph is PyTorch's own may be evaluated without grad until
        something is off, and only then be compared with what it gives with grad.

        Raises:
            TargetError: where the forward pass raises or has no floating-point output.
        """
        run, hooks = self._first_run()
        numbers = [(path, out) for path, out in run.outputs.items() if layout.is_number(out)]
        if not numbers:
            raise TargetError(
                f"{self.name} returns no floating-point tensor: return the outputs to differentiate."
            )
        tracked = [path for path, out in numbers if out.requires_grad]
        self.requires_grad = bool(tracked)
        self.output_paths = chosen = tracked or [path for path, _ in numbers]
        if len(chosen) < len(numbers):
            left_out = [path or "output" for path, _ in numbers if path not in chosen]
            self.notes.append("not differentiable, not verified: outputs " + ", ".join(left_out[:5]))
        self.outputs = [out.detach() for path, out in numbers if path in chosen]
        dtypes = {tensor.dtype for tensor in [*self.variables.values(), *self.outputs]}
        self.epsilon = max(map(layout.spacing, dtypes))
        self.backward.begin(self, run, hooks)
        self._base = self.outputs
        if not (on_trial and self.backward.is_own):
            self._choose_grad_mode()

    def _first_run(self) -> tuple[Run, bool]:
        """Run forward, and find out about casts; those that the outputs feel are made wide from here on.

        Tells too whether hooks were put on tensors on the way.
        """
        casts, before = Widening(), torch.is_grad_enabled()
        torch._C._set_grad_enabled(True)
        try:
            run = first_run.of(self, casts)
        finally:
            torch._C._set_grad_enabled(before)
        self.narrowing = frozenset(casts.narrowing)
        if casts.active:
            self.widen(casts)
        return run, casts.hooks

    def learn_randomness(self) -> None:
        """Put back, before each run from here on, the random generators that runs have drawn from so far."""
        self._randomness.narrow()

    def widen(self, casts: Widening) -> None:
        """Make casts to narrower formats wide from here on."""
        casts.active, self._casts = True, casts
        casts.__enter__()  # type: ignore[no-untyped-call]  # untyped in torch
        self.narrowing |= casts.narrowing

    def let_casts_be(self) -> None:
        """Make casts what they say again."""
        if self._casts is not None:
            self._casts.__exit__(None, None, None)  # type: ignore[no-untyped-call]  # untyped in torch
            self._casts = None

    @property
    def widened(self) -> bool:
        """Whether the forward pass casts to narrower formats, which is made wide."""
        return self._casts is not None

    def _choose_grad_mode(self) -> None:
        """Evaluate without grad where that gives the same; some forward passes differentiate inside."""
        again: list[torch.Tensor] = []
        try:
            with torch.no_grad():
                again = [out for path, out in self.run({}).outputs.items() if path in self.output_paths]
            same = len(again) == len(self.outputs) and all(map(_same, again, self.outputs))
        except Exception:  # whatever it is, the forward pass needs grad mode
            same = False
        self._needs_grad_mode = not same
        self._base = again if same else self.outputs

    @property
    def needs_grad_mode(self) -> bool:
        """Whether the forward pass gives something else, or raises, without grad."""
        if self._needs_grad_mode is None:
            self._choose_grad_mode()
        return bool(self._needs_grad_mode)

    @property
    def is_provisional(self) -> bool:
        """Whether it is evaluated without grad on trial: until something is off, nobody has compared."""
        return self._needs_grad_mode is None

    def evaluate(self, values: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Return the differentiable outputs with the named leaves replaced; those of none are known."""
        if not values:
            return [out.detach().clone() for out in self._base]
        with_grad, before = bool(self._needs_grad_mode), torch.is_grad_enabled()
        torch._C._set_grad_enabled(with_grad)  # as a context it takes as long as a small forward pass
        try:
            _, result = self._call(values, self.names if with_grad else ())
            if isinstance(result, torch.Tensor):
                return [result.detach().clone() if result.requires_grad else result.clone()]
            outputs = tree.named(result)
            return [outputs[path].detach().clone() for path in self.output_paths]
        finally:
            self._put_back()
            torch._C._set_grad_enabled(before)

    def pull_back(self, cotangents: Cotangents | None) -> Gradients:
        """Return the gradient of each leaf by ``torch.autograd``. See ``Backward``."""
        return self.backward.pull_back(self, cotangents)

    def gradients(
        self,
        leaves: Mapping[str, torch.Tensor],
        outputs: Mapping[str, torch.Tensor],
        cotangents: Cotangents | None,
        **options: Any,
    ) -> Gradients:
        """Return the gradient of each leaf in a given run. See ``Backward``."""
        return self.backward.gradients(self, leaves, outputs, cotangents, **options)

    @property
    def accumulates(self) -> bool:
        """Whether gradients are fetched by way of ``.grad``, as some come that way only."""
        return self.backward.accumulates

    @property
    def is_linear(self) -> bool:
        """Whether the backward pass is linear in the cotangent by construction."""
        return self.backward.is_own

    @property
    def backward_runs(self) -> int:
        """How many backward passes were run."""
        return self.backward.runs

    def run(
        self,
        values: Mapping[str, torch.Tensor],
        track: bool = False,
        under: contextlib.AbstractContextManager[Any] | None = None,
    ) -> Run:
        """Run forward with the named leaves replaced, which they are no longer afterwards.

        ``track``: whether the inputs under verification require grad. ``under``: entered for the call alone.
        """
        try:
            return self._forward(values, track, under=under)
        finally:
            self._put_back()

    def run_beside(self, values: Mapping[str, torch.Tensor]) -> None:
        """Run forward with the named leaves replaced while an earlier run waits for its backward pass.

        Nothing but the parameters is put back in between: the earlier run's buffers and attributes go on.
        """
        try:
            for name, parameter in self.parameters.items():
                if name in values:
                    parameter.data = values[name]
            inputs = self._arguments.fresh(self._input_data, values, self.names)
            args, kwargs = self._arguments.filled(inputs, self.on_copies)
            self.forward_runs += 1
            self.function(*args, **kwargs)
        finally:
            self._put_back()

    @contextlib.contextmanager
    def running(
        self,
        values: Mapping[str, torch.Tensor],
        track: bool = True,
        names: Sequence[str] | None = None,
        change: Change | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> Iterator[Run]:
        """Run forward with the named leaves replaced; gives the leaves and the outputs by path.

        ``names``: which leaves require grad. ``change`` alters the layout of an input before it is used.
        ``aliases``: inputs for which the tensor of another input is passed.
        Parameters hold the given values until the context is left.
        """
        try:
            yield self._forward(values, track, names, change, aliases or {})
        finally:
            self._put_back()

    def _forward(
        self,
        values: Mapping[str, torch.Tensor],
        track: bool,
        names: Sequence[str] | None = None,
        change: Change | None = None,
        aliases: Mapping[str, str] = NO_ALIASES,
        under: contextlib.AbstractContextManager[Any] | None = None,
    ) -> Run:
        tracked = self.names if names is None else names
        if names is not None:
            for name in self.parameters:
                if name in self.names:
                    self.parameters[name].requires_grad_(name in tracked)
        inputs, result = self._call(values, tracked if track else (), change, aliases, under)
        return Run({**self.parameters, **inputs}, tree.named(result))

    def _call(
        self,
        values: Mapping[str, torch.Tensor],
        tracked: Sequence[str] = (),
        change: Change | None = None,
        aliases: Mapping[str, str] = NO_ALIASES,
        under: contextlib.AbstractContextManager[Any] | None = None,
    ) -> tuple[dict[str, torch.Tensor], Any]:
        """Return the inputs and the result of one call; parameters are left with the values that are given.

        ``tracked``: which inputs require grad.
        """
        if self._is_changed or self._randomness.used:
            self.renew()
        for name, parameter in self.parameters.items():
            if name in values:
                parameter.data = values[name]
        inputs = self._arguments.fresh(self._input_data, values, tracked, change, aliases)
        args, kwargs = self._arguments.filled(inputs, self.on_copies)
        self.forward_runs += 1
        if under is None:
            return inputs, self.function(*args, **kwargs)
        with under:
            return inputs, self.function(*args, **kwargs)

    def _put_back(self) -> None:
        """Give every parameter its own values, and have it require grad or not, as before a run."""
        for parameter, data, flag in self._held:
            parameter.data = data
            if parameter.requires_grad is not flag:
                parameter.requires_grad_(flag)

    def renew(self) -> None:
        """Put back what a run may have changed: random states, modules' attributes, buffers and constants."""
        if self._randomness.used:
            self._randomness.restore()
        if self._state.holds_any:
            self._state.restore_attributes()
        if self._constant_values:
            self._restore_constants()

    def arguments(self, values: Mapping[str, torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return (args, kwargs) for one call: the given inputs as they are, and copies of the others."""
        others = {name: own for name, own in self._input_data.items() if name not in values}
        leaves = {**self._arguments.fresh(others, {}), **values}
        return self._arguments.filled(leaves, self.on_copies)

    def chosen(self, result: Any) -> tuple[torch.Tensor, ...]:
        """Return the differentiable outputs out of what a call returned."""
        outputs = dict(tree.tensors(result))
        return tuple(outputs[path] for path in self.output_paths)

    def together(self, name: str) -> Any:
        """Return what evaluates this subject at many points of one leaf at once, None where nothing does."""
        from gradcheck.subjects.torch.batched import Batched

        try:
            return Batched(self, name)
        except Exception:  # vmap refuses what it refuses, in users' code: then one by one
            return None

    def _restore_constants(self) -> None:
        for tensor, (values, version) in self._constant_values.items():
            if tensor._version != version:
                tensor.data = values.clone()
                self._constant_values[tensor] = (values, tensor._version)

    @property
    def is_narrow(self) -> bool:
        """Whether the user's own tensors, or what they are cast into, are narrower than double precision."""
        return self._is_given_narrow or self.widened

    def coarsen(self, epsilon: float) -> None:
        """Take it from whoever measured that the forward pass computes in a narrower format inside."""
        self.epsilon = max(self.epsilon, epsilon)

    @property
    def precision(self) -> float:
        """Claimed gradients are computed in the numbers of the forward pass."""
        return self.epsilon

    @property
    def randomised(self) -> bool:
        """Whether the forward pass draws random numbers (they are made to repeat)."""
        return self._randomness.in_use


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.layout is torch.strided and torch.equal(a, b):  # allclose takes as long as many a forward pass
        return True
    return torch.allclose(a, b, rtol=1e-10, atol=0, equal_nan=True)
