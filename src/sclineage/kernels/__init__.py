"""Kernels: arrays in, arrays out; one contract, two devices.

Adding a kernel
---------------
1. Write ``tests/oracles/x.py``: the slow plain version, the executable specification.
2. ``kernels/x_cpu.py``: ``@njit(cache=True)`` functions and the integer constants of the memory layout. `prange` only
   over independent outputs, no fastmath; pass arrays one by one (a tuple of arrays costs a reference count per
   access) and mark small functions of inner loops ``forceinline=True``.
3. ``kernels/x.cu``: the same for CUDA, ``extern "C" __global__`` kernels, with one comment that states the work split
   and the bytes moved. No number that Python also knows stands in it: constants arrive as defines.
4. ``kernels/x.py``: the contract (shapes, dtypes, units, ties, errors) once, checks, allocation and dispatch; and
   ``cuda_defines() -> dict[str, str]``, every define the source needs. Launch with
   ``_backend.module("x", cuda_defines()).get_function(name)(grid, block, arguments)``; scalars as NumPy scalars of
   the parameter's type; arrays through ``_backend.cupy()`` alone, in calls that NumPy has too.
5. ``tests/kernels/test_x.py``: one test body over the fixture `backend` (Numba, the CUDA source built by g++,
   CUDA) against the oracle. ``tests/kernels/test_cuda_sources.py`` finds the new source by
   itself and compiles it for every architecture with warnings as errors.
6. ``benchmarks/kernels/x.py`` for the runner in ``benchmarks/_runner.py``.

Files without a ``.cu`` of their name (`whitelists`, `matching`) hold host code that kernels share.
"""
