"""Tensors that have a shape and no numbers, and pass for tensors on a CPU, so that a model goes the way it goes there.

PyTorch's FakeTensor can do more, but spends most of a count on questions for its device and on its own bookkeeping.
Here the kernels of the meta device do the work, and what gives new tensors is run once for each set of forms that it is
given: equal layers give the same forms again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from duolect.errors import TrainingError
from duolect.nn.flops import flop_counter

_ATEN = torch.ops.aten
_CPU = torch.device("cpu")
_LARGE = 1 << 16  # elements: more than lengths, masks and labels have
_UNKNOWN = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}

Form = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]
"""Shape, strides and type of the elements."""


class ShapeTensor(Tensor):
    """Reports the CPU; `bare`, on the meta device, has its shape and its storage, which views share.

    Operations with it need a `CountedShapes` around them.
    """

    bare: Tensor
    form: Form
    __torch_function__ = torch._C._disabled_torch_function_impl  # ty: ignore[incompatible-method-override]

    @staticmethod
    def __new__(cls, bare: Tensor) -> ShapeTensor:
        """Around a tensor of the meta device."""
        form = _form(bare)
        shape, strides, dtype = form
        made: Any = Tensor._make_wrapper_subclass(
            cls, shape, strides=strides, storage_offset=bare.storage_offset(), dtype=dtype, device=_CPU
        )
        made.bare, made.form = bare, form
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # ty: ignore[incompatible-method-override]
        """None without a CountedShapes."""
        raise NotImplementedError(f"{func} of a tensor that has a shape alone")


def pretend(tensor: Tensor) -> Tensor:
    """A tensor of the meta device as one that passes for a CPU's; any other as it is."""
    return ShapeTensor(tensor.detach()) if tensor.is_meta else tensor


def storage_of(tensor: Tensor) -> torch.UntypedStorage:
    """The storage that a tensor shares with its views."""
    return (tensor.bare if isinstance(tensor, ShapeTensor) else tensor).untyped_storage()


@dataclass
class _Operation:
    """What is known of an operation. `aliases`: it gives views, or what it has written to. `made`: all that it was
    given, tensors by their forms → the forms of the new tensors that came of it."""

    composed: bool
    unknown: bool
    reshapes: bool
    aliases: bool
    formula: Callable[..., int] | None
    made: dict[Any, list[Form | None]] = field(default_factory=dict)


class CountedShapes(TorchDispatchMode):
    """Within it, operations with a ShapeTensor give such tensors, and those on real tensors alone are carried out, but
    for large new ones (noise for dropout), which get a shape only. `operations`: floating-point operations so far.

    Raises TrainingError where shapes, or the way that is taken, depend on numbers that a ShapeTensor does not have.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self._formulas: Mapping[Any, Callable[..., int]] = flop_counter().flop_registry
        self._known: dict[Any, _Operation] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """See the class."""
        kwargs = kwargs or {}
        known = self._known.get(func) or self._look_up(func)
        if known.composed:
            with self:
                return func.decompose(*args, **kwargs)
        if ShapeTensor in types:
            out = _special(func, args) if func in _SPECIAL else _on_shapes(func, args, kwargs, known)
        elif func is _ATEN.empty.memory_format and math.prod(args[0]) > _LARGE:
            out = ShapeTensor(func(*args, **{**kwargs, "device": "meta"}))
        else:
            out = func(*args, **kwargs)
        if known.formula is not None:
            self.operations += known.formula(*args, **kwargs, out_val=out)
        return out

    def _look_up(self, func: Any) -> _Operation:
        found = self._known[func] = _Operation(
            composed=func._can_decompose(),
            unknown=func is not _ATEN.index.Tensor and not _UNKNOWN.isdisjoint(func.tags),
            reshapes=torch.Tag.inplace_view in func.tags,
            aliases=any(returned.alias_info is not None for returned in func._schema.returns),
            formula=self._formulas.get(func.overloadpacket),
        )
        return found


_CTC = (_ATEN._ctc_loss.default, _ATEN._ctc_loss.Tensor)
_CTC_BACKWARD = (_ATEN._ctc_loss_backward.default, _ATEN._ctc_loss_backward.Tensor)
_SPECIAL = {*_CTC, *_CTC_BACKWARD}


def _special(func: Any, args: Any) -> Any:
    """CTC, which has no kernel on the meta device."""
    if func in _CTC_BACKWARD:
        return ShapeTensor(torch.empty_like(args[1].bare))
    frames, utterances, _ = args[0].shape
    states = 2 * args[1].shape[-1] + 1
    bare = args[0].bare
    return ShapeTensor(bare.new_empty(utterances)), ShapeTensor(bare.new_empty(utterances, frames, states))


def _on_shapes(func: Any, args: Any, kwargs: Mapping[str, Any], known: _Operation) -> Any:
    if known.unknown:
        raise TrainingError("The cost of a step depends on what is heard, and cannot be told without data.")
    if known.reshapes:
        raise NotImplementedError(f"{func} changes the shape of a tensor in its place.")
    if func is _ATEN.index.Tensor:
        args = (args[0], [index for given in args[1] for index in _indices(given)])
    key = None
    if not known.aliases:
        key = _described(args), tuple((name, _described(value)) for name, value in kwargs.items()) if kwargs else ()
        forms = known.made.get(key)
        if forms is not None:
            made = [None if form is None else ShapeTensor(_new(form)) for form in forms]
            return made[0] if len(made) == 1 else tuple(made)
    outer: dict[int, Tensor] = {}

    def uncovered(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        bare = value.bare if isinstance(value, ShapeTensor) else _new(_form(value))
        outer[id(bare)] = value
        return bare

    def covered(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return outer[id(value)] if id(value) in outer else ShapeTensor(value)

    given = {name: _mapped(uncovered, value) for name, value in kwargs.items()}
    if given.get("device") is not None:
        given["device"] = "meta"
    out = func(*_mapped(uncovered, args), **given)
    forms = _forms(out, outer.values()) if key else []
    if forms:
        known.made[key] = forms
    return _mapped(covered, out)


def _form(tensor: Tensor) -> Form:
    return tuple(tensor.shape), tensor.stride(), tensor.dtype


def _new(form: Form) -> Tensor:
    shape, strides, dtype = form
    return torch.empty_strided(shape, strides, dtype=dtype, device="meta")


def _described(value: Any) -> Any:
    """What an operation's outcome depends on, hashable. The type tells 1 from 1.0 and True."""
    if isinstance(value, ShapeTensor):
        return value.form
    if isinstance(value, list | tuple):
        return tuple([_described(each) for each in value])
    return _form(value) if isinstance(value, Tensor) else (type(value), value)


def _forms(out: Any, given: Iterable[Tensor]) -> list[Form | None]:
    """Of what an operation gave, where that can be made of its forms alone; [] where it shares its storage."""
    found = [out] if isinstance(out, Tensor) else out
    if not isinstance(found, tuple | list) or (found is out and len(found) < 2):
        return []
    tensors = [each for each in found if isinstance(each, Tensor)]
    if len(tensors) + sum(each is None for each in found) < len(found):
        return []
    storages = {each.untyped_storage()._cdata for each in tensors}
    if len(storages) < len(tensors) or storages & {storage_of(each)._cdata for each in given}:
        return []
    whole = all(_new(_form(e)).untyped_storage().nbytes() == e.untyped_storage().nbytes() for e in tensors)
    return [None if each is None else _form(each) for each in found] if whole else []


def _mapped(convert: Callable[[Any], Any], value: Any) -> Any:
    """Of what operations take and give: tensors, numbers, and lists or tuples of them."""
    if isinstance(value, list | tuple):
        return tuple([_mapped(convert, each) for each in value])
    return convert(value)


def _indices(index: Any) -> list[Any]:
    """A real mask decides how many elements are taken: it becomes their places along each of its axes."""
    if isinstance(index, Tensor) and index.dtype == torch.bool and not isinstance(index, ShapeTensor):
        return list(index.nonzero(as_tuple=True))
    return [index]
