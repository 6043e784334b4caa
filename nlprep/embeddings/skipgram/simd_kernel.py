"""A vector of floats as a numba type, so that a kernel says which registers it means.

numba's own vectoriser keeps to 256-bit registers and one accumulator a loop; a kernel that blocks for registers
needs to name them. `vector` is one LLVM vector of `LANES` float32: sixteen where the processor has AVX-512, else
eight (LLVM splits them where registers are narrower). The operations below are single instructions or short,
branch-free sequences; loads and stores take a flat float32 array and an element offset, unaligned, unchecked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LANES = 16 if binding.get_host_cpu_features().get("avx512f", False) else 8

_FLOAT = ir.FloatType()
_INT32 = ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INTEGERS = ir.VectorType(_INT32, LANES)


class VectorType(types.Type):  # type: ignore[misc]
    """The numba type of `LANES` float32 values in one register."""

    def __init__(self) -> None:
        super().__init__(name=f"Vector(float32 x {LANES})")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _constant(value: float) -> ir.Constant:
    return ir.Constant(_VECTOR, [float(value)] * LANES)


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    signature = ir.FunctionType(_VECTOR, [_VECTOR] * len(arguments))
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.{name}.v{LANES}f32")
    return builder.call(function, arguments)


def _shuffle(builder: Any, one: Any, other: Any, lanes: Iterable[int]) -> Any:
    return builder.shuffle_vector(one, other, ir.Constant(_INTEGERS, list(lanes)))


def _address(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), _VECTOR.as_pointer())


@intrinsic
def zero(_typing: Any) -> Any:
    """All lanes zero."""

    def generate(_context: Any, _builder: Any, _signature: Any, _arguments: Any) -> Any:
        return _constant(0.0)

    return vector(), generate


@intrinsic
def load(_typing: Any, array: Any, offset: Any) -> Any:
    """``array[offset : offset + LANES]``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.load(address, align=4)

    return vector(array, types.int64), generate


@intrinsic
def store(_typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """``array[offset : offset + LANES] = value``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.store(arguments[2], address, align=4)
        return context.get_dummy_value()

    return types.none(array, types.int64, vector), generate


@intrinsic
def multiply_add(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return _call(builder, "fma", *arguments)

    return vector(vector, vector, vector), generate


@intrinsic
def multiply(_typing: Any, a: Any, b: Any) -> Any:
    """``a * b``."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fmul(*arguments)

    return vector(vector, vector), generate


@intrinsic
def subtract(_typing: Any, a: Any, b: Any) -> Any:
    """``a - b``."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.fsub(*arguments)

    return vector(vector, vector), generate


def _lane_splatter(lane: int) -> Callable[[Any], Any]:
    @intrinsic
    def splat(_typing: Any, value: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return _shuffle(builder, arguments[0], arguments[0], [lane] * LANES)

        return vector(vector), generate

    return splat  # type: ignore[no-any-return]


# One lane of a vector in every lane; the lane is part of the instruction, so there is a function for each.
splat_0, splat_1, splat_2, splat_3, splat_4, splat_5 = (_lane_splatter(lane) for lane in range(6))


@intrinsic
def sums(_typing: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any) -> Any:
    """A vector whose lanes 0 to 5 are the sums over all lanes of the six vectors; the other lanes are zero.

    Adding neighbours pairwise, two vectors at a time, sums six of them in the time of two.
    """

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        level: list[Any] = [*arguments, *[None] * (LANES - len(arguments))]
        while len(level) > 1:
            level = [_add_pairs(builder, one, other) for one, other in zip(level[::2], level[1::2], strict=True)]
        return level[0]

    return vector(vector, vector, vector, vector, vector, vector), generate


def _add_pairs(builder: Any, one: Any, other: Any) -> Any:
    """The sums of neighbouring lanes of ``one``, then of ``other``; None stands for zeros."""
    if one is None and other is None:
        return None
    one = _constant(0.0) if one is None else one
    other = _constant(0.0) if other is None else other
    even = _shuffle(builder, one, other, range(0, 2 * LANES, 2))
    odd = _shuffle(builder, one, other, range(1, 2 * LANES, 2))
    return builder.fadd(even, odd)


# exp2 on [-0.5, 0.5]: Taylor coefficients ln(2)^k / k!, highest first; relative error below 3e-6, hidden by float32
# noise in a gradient.
_EXP2_COEFFICIENTS = (
    0.0013333558146428443,
    0.009618129107628477,
    0.05550410866482158,
    0.24022650695910072,
    0.6931471805599453,
    1.0,
)
_LOG2_E = 1.4426950408889634


@intrinsic
def sigmoid(_typing: Any, x: Any) -> Any:
    """``1 / (1 + exp(-x))`` in every lane, within 3e-6; ``x`` is clamped to [-30, 30], NaN to a bound."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        bounded = _call(builder, "minnum", _call(builder, "maxnum", arguments[0], _constant(-30)), _constant(30))
        # exp(-x) = 2^n * 2^r, n the nearest whole number to -x log2(e): r by a polynomial, n into the exponent.
        exponent = builder.fmul(bounded, _constant(-_LOG2_E))
        whole = _call(builder, "rint", exponent)
        rest = builder.fsub(exponent, whole)
        power = _constant(_EXP2_COEFFICIENTS[0])
        for coefficient in _EXP2_COEFFICIENTS[1:]:
            power = _call(builder, "fma", power, rest, _constant(coefficient))
        shifted = builder.shl(builder.fptosi(whole, _INTEGERS), ir.Constant(_INTEGERS, [23] * LANES))
        scaled = builder.bitcast(builder.add(builder.bitcast(power, _INTEGERS), shifted), _VECTOR)
        return builder.fdiv(_constant(1), builder.fadd(_constant(1), scaled))

    return vector(vector), generate
