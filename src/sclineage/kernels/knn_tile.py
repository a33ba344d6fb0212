"""The inner step of the CPU search, written in LLVM's language: a few queries against a strip of points in registers.

A compiler that is given loops over arrays loads and stores every sum at every coordinate; here the `ROWS` x `LANES`
sums stay in vector registers, and a coordinate costs two loads of points, `ROWS` of queries and twice as many
multiply-adds. A core of an AMD EPYC with AVX2, others at work beside it, did 85 to 90 GFLOP/s with 52 coordinates at
once and 60 to 80 in the two steps of the search; ``np.dot`` of the same size 48 to 69, loops over arrays 33 to 39.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

VECTOR = 8  # float32 numbers of an AVX register; where registers are shorter, the compiler takes several
ROWS, LANES = 6, 16  # queries and points: twelve sums, two vectors of points and one of a query fill 16 registers

_FUSE = ("contract",)
_F32, _I16, _I32, _I64 = ir.FloatType(), ir.IntType(16), ir.IntType(32), ir.IntType(64)
_FLOATS = ir.VectorType(_F32, VECTOR)
_OFFSETS = range(0, LANES, VECTOR)


def _at(builder: Any, data: Any, index: Any, kind: Any = _FLOATS) -> Any:
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _splat(builder: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, VECTOR), [_I32(0)] * VECTOR))


def _begin(builder: Any, seed: Any, room: Any, queries: list[Any], *, fresh: bool) -> list[list[Any]]:
    """Sums of every query, in variables that become registers."""
    seeds = [builder.load(_at(builder, seed.data, _I64(v)), align=4) for v in _OFFSETS]
    sums = []
    for query in queries:
        values = seeds
        if not fresh:
            row = builder.mul(query, _I64(LANES))
            old = [builder.load(_at(builder, room.data, builder.add(row, _I64(v))), align=4) for v in _OFFSETS]
            values = [builder.fadd(a, b) for a, b in zip(seeds, old, strict=True)]
        sums.append([cgutils.alloca_once_value(builder, value) for value in values])
    return sums


def _subtract(builder: Any, sums: list[list[Any]], rows: list[Any], strip: Any, start: Any, stop: Any) -> None:
    with cgutils.for_range(builder, stop, start=start) as loop:
        line = builder.mul(loop.index, _I64(LANES))
        points = [builder.load(_at(builder, strip.data, builder.add(line, _I64(v))), align=4) for v in _OFFSETS]
        for row, mine in zip(rows, sums, strict=True):
            coordinate = _splat(builder, builder.load(builder.gep(row, [loop.index])))
            for held, point in zip(mine, points, strict=True):
                product = builder.fmul(coordinate, point, flags=_FUSE)
                builder.store(builder.fsub(builder.load(held), product, flags=_FUSE), held)


def _end(builder: Any, sums: list[Any], query: Any, most: Any, room: Any, bits: Any) -> None:
    """Write the sums of a query, and which of them are below its limit."""
    limit = _splat(builder, builder.load(builder.gep(most.data, [query])))
    row, mask = builder.mul(query, _I64(LANES)), _I16(0)
    for v, held in zip(_OFFSETS, sums, strict=True):
        total = builder.load(held)
        builder.store(total, _at(builder, room.data, builder.add(row, _I64(v))), align=4)
        near = builder.bitcast(builder.fcmp_ordered("<", total, limit), ir.IntType(VECTOR))
        mask = builder.or_(mask, builder.shl(builder.zext(near, _I16), _I16(v)))
    builder.store(mask, builder.gep(bits.data, [query]))


def _tile(*, fresh: bool) -> Any:
    """Subtract products of coordinates `start` to `stop` from the scores of `ROWS` queries for the points of a strip.

    Arguments: `queries` float32 (n, d); `listed` int64, of which the entries from `at` on are those queries; `strip`
    float32 (d, LANES); `start`, `stop`; `seed` float32 (LANES,), with which the scores begin or which is added to them;
    `room` float32 (n, LANES), the scores; `most` float32 (n,); `bits` uint16 (n,), set to the points with scores below
    `most`. All arrays are contiguous. A query may be listed twice in a tile.
    """
    def typed(typingctx: Any, queries: Any, listed: Any, at: Any, strip: Any, start: Any, stop: Any, seed: Any,
              room: Any, most: Any, bits: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = zip(signature.args, arguments, strict=True)
            points, order, first, block, low, high, begin, scores, limits, marks = (
                context.make_array(t)(context, builder, a) if isinstance(t, types.Array) else a for t, a in kinds)
            width = cgutils.unpack_tuple(builder, points.shape)[1]
            mine = [builder.load(builder.gep(order.data, [builder.add(first, _I64(r))])) for r in range(ROWS)]
            rows = [builder.gep(points.data, [builder.mul(query, width)]) for query in mine]
            sums = _begin(builder, begin, scores, mine, fresh=fresh)
            _subtract(builder, sums, rows, block, low, high)
            for query, held in zip(mine, sums, strict=True):
                _end(builder, held, query, limits, scores, marks)
            return context.get_dummy_value()

        return types.void(queries, listed, types.intp, strip, types.intp, types.intp, seed, room, most, bits), build

    return intrinsic(typed)


begin_tile: Any = _tile(fresh=True)
finish_tile: Any = _tile(fresh=False)
