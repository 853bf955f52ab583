"""A torch callable at given arguments, as a Subject.

The subject is a context: inside ``with subject:`` its tensors hold the values under verification (in double
precision where it can run so), and leaving it puts everything back as the user had it.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from gradcheck.errors import GradcheckError, TargetError, UsageError
from gradcheck.subjects.torch import layout, refusals, tree
from gradcheck.subjects.torch.pullback import accumulated, vjp
from gradcheck.subjects.torch.state import (
    ModuleState,
    Randomness,
    generators,
    modules_of,
    plain_tensors,
)
from gradcheck.subjects.torch.widening import Widening

# Casts to narrower formats that change the outputs by fewer roundings than this change nothing.
_ROUNDINGS = 1e4
# A point to look at casts from, which no narrow format holds: the golden ratio is the least rational number.
_NEARBY = 1 + 0.6180339887498949 * 2.0**-12


_ON_A_LEAF = "leaf Variable that requires grad"
# What the error of a reentrant checkpoint under ``torch.autograd.grad`` speaks of.
_REFUSES_GRAD = "use_reentrant"


class BackwardError(Exception):
    """The user's backward pass raised; the text is its own first line."""


class TorchSubject:
    """The forward pass ``function(*args, **kwargs)`` and its gradients by ``torch.autograd``.

    ``epsilon`` is the coarsest spacing among leaves and outputs, known once started.
    ``double`` asks for double precision throughout: parameters, inputs, buffers, constants that the
    function refers to, the default dtype, and casts that the outputs would feel. ``narrowing``, known once
    started, are the formats that numbers in double precision are cast into. ``names`` selects the leaves;
    None selects every parameter and input that requires grad (every floating-point input where nothing does).
    ``accumulates``: some leaf's gradient comes by way of ``.grad`` only, and so they are all fetched there.
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
    ) -> None:
        self.function, self.args, self.kwargs = function, tuple(args), dict(kwargs or {})
        self.name = name or _name_of(function)
        self.double = double
        self.notes: list[str] = []
        self.modules = modules_of(function)
        self.parameters = _parameters(function, self.modules)
        self.inputs = _inputs(self.args, self.kwargs)
        self._input_names = {id(tensor): name for name, tensor in self.inputs.items()}
        self.names = list(names) if names is not None else self._choose()
        self.original_dtypes = {
            name: tensor.dtype for name, tensor in {**self.parameters, **self.inputs}.items()
        }
        self._constants = plain_tensors(function, self.modules)
        self._generators = generators(function, self.modules, [*self.args, *self.kwargs.values()])
        self._state = ModuleState(self.modules)
        self._casts: Widening | None = None
        self.narrowing: frozenset[torch.dtype] = frozenset()
        self.needs_grad_mode = self.accumulates = self._refuses_grad = False
        self._copies = self._looked_for_more = False
        self._base: list[torch.Tensor] = []
        self.forward_runs = self.backward_runs = 0
        self.epsilon = 0.0
        self.output_paths: list[str] = []
        self.variables: dict[str, torch.Tensor] = {}

    def _choose(self) -> list[str]:
        own = {**(self.parameters if self._owns_parameters() else {}), **self.inputs}
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
        self.variables = {
            name: self._parameter_data[name] if name in self.parameters else self._input_data[name]
            for name in self.names
        }
        self._constant_values = {t: (t.data.clone(), t._version) for t in self._constants}

    def _name_of_state(self, tensor: torch.Tensor) -> str:
        names = [name for name, parameter in self.parameters.items() if parameter is tensor]
        return names[0] if names else f"a buffer or constant of {self.name}"

    def __exit__(self, *_: object) -> None:
        self._let_casts_be()
        self._forget_graphs()
        for tensor, data in self._originals:
            tensor.data = data
        torch.set_default_dtype(self._default)
        self._randomness.restore_all()
        self._state.restore_attributes()
        self._state.restore_gradients()

    def open(self) -> TorchSubject:
        """Enter and start; where starting raises, everything is put back."""
        self.__enter__()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Put the user's own tensors, random generators and default dtype back for a while."""
        self._forget_graphs()
        for tensor, data in self._originals:
            tensor.data = data
        torch.set_default_dtype(self._default)
        self._randomness.restore_all()
        self._state.restore_attributes()
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
        if self.accumulates:
            gc.collect()

    def _dtype(self, tensor: torch.Tensor) -> torch.dtype:
        return layout.wide(tensor.dtype) if self.double else tensor.dtype

    # Running

    def start(self) -> None:
        """Run forward once: learn which outputs are differentiable and what the run changes.

        Raises:
            TargetError: where the forward pass raises or has no floating-point output.
        """
        with torch.enable_grad():
            outputs = self._first_run()
        self._randomness.narrow()
        numbers = [(path, out) for path, out in outputs.items() if layout.is_number(out)]
        if not numbers:
            raise TargetError(
                f"{self.name} returns no floating-point tensor: return the outputs to differentiate."
            )
        chosen = [path for path, out in numbers if out.requires_grad] or [path for path, _ in numbers]
        self.output_paths = chosen
        if len(chosen) < len(numbers):
            left_out = [path or "output" for path, _ in numbers if path not in chosen]
            self.notes.append("not differentiable, not verified: outputs " + ", ".join(left_out[:5]))
        self.outputs = [out.detach() for path, out in numbers if path in chosen]
        self.requires_grad = any(out.requires_grad for _, out in numbers)
        dtypes = {tensor.dtype for tensor in [*self.variables.values(), *self.outputs]}
        self.epsilon = max(float(torch.finfo(dtype).eps) for dtype in dtypes)
        self._choose_grad_mode()

    def _first_run(self) -> dict[str, torch.Tensor]:
        """Run forward, and find out about casts; those that the outputs feel are made wide from here on."""
        self._casts = casts = Widening()
        casts.__enter__()  # type: ignore[no-untyped-call]  # untyped in torch
        plain: dict[str, torch.Tensor] | None = None
        try:
            plain = self._run_or_on_copies()
        except Exception:
            if not (self.double and casts.narrow):
                raise
        self.narrowing = frozenset(casts.narrowing)
        self._randomness.narrow()  # what this run has drawn the next ones must draw again
        if plain is None or (self.double and casts.narrow and self._feels_casts(casts)):
            casts.active = True
            return self._run({}, track=True)
        self._let_casts_be()
        return plain

    def _run_or_on_copies(self) -> dict[str, torch.Tensor]:
        """Run forward; where it changes an input in place, which no leaf admits, on copies of the inputs."""
        try:
            return self._run({}, track=True)
        except RuntimeError as error:
            if _ON_A_LEAF not in str(error):
                raise
        self._copies = True
        outputs = self._run({}, track=True)
        self.notes.append(
            "changes an input in place, which no leaf that requires grad admits: verified on a copy"
        )
        return outputs

    def _feels_casts(self, casts: Widening) -> bool:
        """Whether casts made wide change the outputs nearby: the leaves' own values may be narrow numbers."""
        nearby = {name: value * _NEARBY for name, value in self.variables.items()}
        try:
            plain = self._run(nearby, track=True)
            casts.active = True
            return _felt(plain, self._run(nearby, track=True))
        except Exception:  # outside its domain a forward pass raises what it likes
            return False
        finally:
            casts.active = False

    def _let_casts_be(self) -> None:
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
                again = [out for path, out in self._run({}).items() if path in self.output_paths]
            same = len(again) == len(self.outputs) and all(map(_same, again, self.outputs))
        except Exception:  # whatever it is, the forward pass needs grad mode
            same = False
        self.needs_grad_mode = not same
        self._base = again if same else self.outputs

    def evaluate(self, values: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Return the differentiable outputs with the named leaves replaced; those of none are known."""
        if not values:
            return [out.detach().clone() for out in self._base]
        with torch.set_grad_enabled(self.needs_grad_mode):
            outputs = self._run(values, track=self.needs_grad_mode)
        return [outputs[path].detach().clone() for path in self.output_paths]

    def pull_back(self, cotangents: Sequence[torch.Tensor | None] | None) -> dict[str, torch.Tensor | None]:
        """Return the gradient of each leaf by ``torch.autograd.grad``, on a fresh forward pass.

        The cotangents are copied: a backward pass may write into what it is given.
        """
        given = cotangents and [None if u is None else layout.copy(u) for u in cotangents]
        found = self._fresh_gradients(given)
        if not self._looked_for_more and self.requires_grad and any(g is None for g in found.values()):
            found = self._accumulated(found, given)
        return found

    def _fresh_gradients(
        self, cotangents: Sequence[torch.Tensor | None] | None
    ) -> dict[str, torch.Tensor | None]:
        """Run forward and back; where ``torch.autograd.grad`` is refused, by way of ``.grad`` from here on.

        Reentrant checkpoints refuse it in the middle of a backward pass, which has freed half the graph.
        """
        try:
            return self._forward_and_back(cotangents)
        except BackwardError as error:
            if self.accumulates or _REFUSES_GRAD not in str(error):
                raise
        self._looked_for_more = self.accumulates = self._refuses_grad = True
        return self._forward_and_back(cotangents)

    def _forward_and_back(
        self, cotangents: Sequence[torch.Tensor | None] | None
    ) -> dict[str, torch.Tensor | None]:
        with torch.enable_grad(), self.running({}) as (leaves, outputs):
            return self.gradients(leaves, outputs, cotangents)

    def _accumulated(
        self,
        found: dict[str, torch.Tensor | None],
        cotangents: Sequence[torch.Tensor | None] | None,
    ) -> dict[str, torch.Tensor | None]:
        """Look once whether missing gradients come by way of ``.grad``: a backward pass may call backward().

        So do reversible networks, which compute their inputs again. ``loss.backward()`` then gives what
        ``torch.autograd.grad`` does not know of.
        """
        self._looked_for_more = self.accumulates = True
        try:
            more = self._fresh_gradients(cotangents)
        except BackwardError:  # it goes the other way only
            more = found
        if all(g is None for name, g in more.items() if found[name] is None):
            self.accumulates = False
            return found
        self.notes.append("a backward pass calls backward() itself: gradients were read from .grad")
        return more

    def gradients(
        self,
        leaves: Mapping[str, torch.Tensor],
        outputs: Mapping[str, torch.Tensor],
        cotangents: Sequence[torch.Tensor | None] | None,
        **options: Any,
    ) -> dict[str, torch.Tensor | None]:
        """Differentiate outputs of a run; outputs without a graph, and None cotangents, are left out."""
        ordered = [outputs[path] for path in self.output_paths]
        given = list(cotangents) if cotangents is not None else [torch.ones_like(out) for out in ordered]
        pairs = [
            (out, u) for out, u in zip(ordered, given, strict=True) if out.requires_grad and u is not None
        ]
        wanted = [name for name in self.names if leaves[name].requires_grad]
        if not pairs or not wanted:
            return dict.fromkeys(self.names)
        self.backward_runs += 1
        columns = [out for out, _ in pairs], [leaves[name] for name in wanted], [u for _, u in pairs]
        try:
            # Checkpoints that only .grad passes cut the graph of the gradient itself, and by vjp they say so.
            by_grad = self.accumulates and not (self._refuses_grad and options.get("create_graph"))
            found = (accumulated if by_grad else vjp)(*columns, **options)
        except Exception as error:
            text = (str(error).splitlines() or [""])[0]
            raise BackwardError(f"{type(error).__name__}: {text}") from error
        return {**dict.fromkeys(self.names), **dict(zip(wanted, found, strict=True))}

    def _run(self, values: Mapping[str, torch.Tensor], track: bool = False) -> dict[str, torch.Tensor]:
        with self.running(values, track) as (_, outputs):
            return outputs

    @contextlib.contextmanager
    def running(
        self,
        values: Mapping[str, torch.Tensor],
        track: bool = True,
        names: Sequence[str] | None = None,
        change: Callable[[str, torch.Tensor], torch.Tensor] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> Iterator[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]]:
        """Run forward with the named leaves replaced; gives the leaves and the outputs by path.

        ``names``: which leaves require grad. ``change`` alters the layout of an input before it is used.
        ``aliases``: inputs for which the tensor of another input is passed.
        Parameters hold the given values until the context is left.
        """
        self.renew()
        tracked = set(self.names if names is None else names)
        leaves: dict[str, torch.Tensor] = {}
        flags = [(p, p.requires_grad) for p in self.parameters.values()]
        try:
            for name, parameter in self.parameters.items():
                if name in values:
                    parameter.data = values[name]
                if names is not None and name in self.names:
                    parameter.requires_grad_(name in tracked)
                leaves[name] = parameter
            args, kwargs = self._arguments(values, leaves, tracked if track else set(), change, aliases or {})
            self.forward_runs += 1
            result = self.function(*args, **kwargs)
            yield leaves, dict(tree.tensors(result))
        finally:
            for name, parameter in self.parameters.items():
                parameter.data = self._parameter_data[name]
            for parameter, flag in flags:
                if parameter.requires_grad is not flag:
                    parameter.requires_grad_(flag)

    def _arguments(
        self,
        values: Mapping[str, torch.Tensor],
        leaves: dict[str, torch.Tensor],
        tracked: set[str],
        change: Callable[[str, torch.Tensor], torch.Tensor] | None,
        aliases: Mapping[str, str],
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        def exchange(tensor: torch.Tensor) -> torch.Tensor:
            name = self._input_names[id(tensor)]
            name = aliases.get(name, name)
            if name not in leaves:
                data = values[name] if name in values else layout.copy(self._input_data[name])
                leaf = (data if change is None else change(name, data)).detach()
                leaves[name] = leaf.requires_grad_(True) if name in tracked else leaf
                leaves.update({alias: leaves[name] for alias, target in aliases.items() if target == name})
            return leaves[name]

        copied: dict[int, torch.Tensor] = {}

        def passed(tensor: torch.Tensor) -> torch.Tensor:
            leaf = exchange(tensor)
            return copied.setdefault(id(leaf), leaf.clone()) if self._copies else leaf

        args = tuple(tree.replace(arg, passed) for arg in self.args)
        return args, {key: tree.replace(arg, passed) for key, arg in self.kwargs.items()}

    def renew(self) -> None:
        """Put back what a run may have changed: random states, modules' attributes, buffers and constants."""
        self._randomness.restore()
        self._state.restore_attributes()
        self._restore_constants()

    def arguments(self, values: Mapping[str, torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return (args, kwargs) for one call, with copies of the inputs that are not given."""
        return self._arguments(values, {}, set(), None, {})

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
        return self.widened or any(layout.wide(dtype) is not dtype for dtype in self.original_dtypes.values())

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


def _felt(plain: Mapping[str, torch.Tensor], widened: Mapping[str, torch.Tensor]) -> bool:
    """Whether casts change the outputs by more than roundings of double precision."""
    if {path: out.shape for path, out in plain.items()} != {path: out.shape for path, out in widened.items()}:
        return True
    for one, other in zip(plain.values(), widened.values(), strict=True):
        if not layout.is_number(one) or not one.numel():
            continue
        a, b = (t.detach().to_dense().to(layout.wide(t.dtype)) for t in (one, other))
        apart = torch.nan_to_num((a - b).abs())
        largest = torch.nan_to_num(b.abs()).max()
        if bool((apart > _ROUNDINGS * torch.finfo(torch.float64).eps * largest).any()):
            return True
    return False


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.layout is torch.strided and torch.equal(a, b):  # allclose takes as long as many a forward pass
        return True
    return torch.allclose(a, b, rtol=1e-10, atol=0, equal_nan=True)


def _name_of(function: Any) -> str:
    if isinstance(function, torch.nn.Module):
        return type(function).__name__
    if hasattr(function, "func"):
        return _name_of(function.func)
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, torch.autograd.Function):
        return owner.__name__
    return str(getattr(function, "__name__", type(function).__name__))


def _parameters(function: Any, modules: list[tuple[str, torch.nn.Module]]) -> dict[str, torch.Tensor]:
    """Return parameters by qualified name; a tied one once, under its first name."""
    found: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for prefix, module in modules:
        for name, parameter in module.named_parameters(prefix=prefix):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                found[name] = parameter
    return found


def _inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors among the arguments by path; one passed twice once, under its first path."""
    found: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for path, tensor in [*tree.tensors(args, "inputs"), *tree.tensors(kwargs, "kwargs")]:
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[path] = tensor
    return found


@contextlib.contextmanager
def opened(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], name: str | None
) -> Iterator[TorchSubject]:
    """Give the subject, open and started: in double precision where it runs so, else in its own.

    Raises:
        TargetError: where the forward pass does not run even as it was given.
    """
    subject = _open(function, args, kwargs, name)
    try:
        yield subject
    finally:
        subject.__exit__()


def _wider(subject: TorchSubject) -> TorchSubject:
    """Return a double-precision subject with its casts made wide, where its outputs feel them."""
    if subject.is_narrow or not subject.narrowing:
        return subject
    subject.__exit__()
    with contextlib.suppress(Exception):  # whatever it is, it does not run with wider numbers
        wider = TorchSubject(
            subject.function, subject.args, subject.kwargs, name=subject.name, double=True
        ).open()
        if wider.widened:
            wider.notes.append("computes in narrower formats inside: verified with wide ones in their place")
            return wider
        wider.__exit__()
    return subject.open()


def _open(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], name: str | None
) -> TorchSubject:
    subject = TorchSubject(function, args, kwargs, name=name)
    if subject.is_narrow:
        try:
            return TorchSubject(function, args, kwargs, name=name, double=True).open()
        except Exception:  # whatever it is, it does not run in double precision
            subject.notes.append("does not run in float64: verified in its own precision")
    try:
        return _wider(subject.open())
    except GradcheckError:
        raise
    except Exception as error:
        text = (str(error).splitlines() or [""])[0].rstrip(".")
        raise TargetError(
            f"The forward pass of {subject.name} raises {type(error).__name__}: {text}; "
            "run it once yourself and mend that first."
        ) from error
