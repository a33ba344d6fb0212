// Just enough CUDA for g++ to run kernels: without barriers one thread after another, with them (SHIM_FIBERS, see
// fibers.h) all threads of the grid in turns. Intrinsics that round keep their rounding because the library is built
// with -ffp-contract=off.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

struct dim3 {
    unsigned x, y, z;
};
static thread_local dim3 blockIdx{0, 0, 0}, threadIdx{0, 0, 0}, blockDim{1, 1, 1}, gridDim{1, 1, 1};

using std::isinf;
using std::isnan;

static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
static inline int __ffs(int v) { return __builtin_ffs(v); }
static inline int __ffsll(long long v) { return __builtin_ffsll(v); }
static inline int __clz(int v) { return v == 0 ? 32 : __builtin_clz((unsigned)v); }
static inline int __clzll(long long v) { return v == 0 ? 64 : __builtin_clzll((unsigned long long)v); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }

static inline int __float_as_int(float a) {
    int bits;
    std::memcpy(&bits, &a, sizeof bits);
    return bits;
}
static inline float __int_as_float(int a) {
    float value;
    std::memcpy(&value, &a, sizeof value);
    return value;
}

template <class T>
static inline T __ldg(const T* p) {
    return *p;
}
template <class T, class U>
static inline T atomicAdd(T* p, U v) {
    T old = *p;
    *p = (T)(old + v);
    return old;
}
template <class T, class U>
static inline T atomicMin(T* p, U v) {
    T old = *p;
    if ((T)v < old) *p = (T)v;
    return old;
}
template <class T, class U>
static inline T atomicMax(T* p, U v) {
    T old = *p;
    if ((T)v > old) *p = (T)v;
    return old;
}
template <class T, class U>
static inline T atomicOr(T* p, U v) {
    T old = *p;
    *p = (T)(old | v);
    return old;
}
template <class T, class U>
static inline T atomicExch(T* p, U v) {
    T old = *p;
    *p = (T)v;
    return old;
}
template <class T, class U, class V>
static inline T atomicCAS(T* p, U compare, V v) {
    T old = *p;
    if (old == (T)compare) *p = (T)v;
    return old;
}
template <class A, class B>
static inline auto min(A a, B b) -> decltype(a + b) {
    return a < b ? a : b;
}
template <class A, class B>
static inline auto max(A a, B b) -> decltype(a + b) {
    return a > b ? a : b;
}

#ifdef SHIM_FIBERS
#include "fibers.h"
#endif

namespace shim {
template <class... P, std::size_t... I>
void call(void (*kernel)(P...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_reference_t<P>*>(arguments[I])...);
}

// Runs every thread of the grid in order; `arguments` points at the values, as in cuLaunchKernel.
template <class... P>
void launch(void (*kernel)(P...), const unsigned* grid, const unsigned* block, void** arguments) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
#ifdef SHIM_FIBERS
    if (gridDim.y * gridDim.z * blockDim.y * blockDim.z != 1) std::abort();
    fibers([&] { call(kernel, arguments, std::index_sequence_for<P...>{}); });
    return;
#endif
    for (blockIdx.z = 0; blockIdx.z < gridDim.z; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
                for (threadIdx.z = 0; threadIdx.z < blockDim.z; ++threadIdx.z)
                    for (threadIdx.y = 0; threadIdx.y < blockDim.y; ++threadIdx.y)
                        for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x)
                            call(kernel, arguments, std::index_sequence_for<P...>{});
}

// Bytes of each parameter; returns how many there are.
template <class... P>
int sizes(void (*)(P...), int* out) {
    int n = 0;
    ((out[n++] = (int)sizeof(P)), ...);
    return n;
}
}  // namespace shim
