// Threads of a grid as coroutines of one CPU thread: each runs until it meets a barrier of its warp or block, or sleeps,
// and goes on when all the others of the warp or block have come. Shared memory is a section of the library that is
// exchanged when another block's turn comes.
#pragma once
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>
#include <ucontext.h>

#define __shared__ static __attribute__((section("shim_shared")))
extern "C" char __start_shim_shared[] __attribute__((weak));
extern "C" char __stop_shim_shared[] __attribute__((weak));

namespace shim {
struct Gate {
    unsigned members = 0, arrived = 0, turn = 0;
    void open_if_full() {
        if (members == 0 || arrived < members) return;
        arrived = 0;
        ++turn;
    }
};

struct Fiber {
    unsigned block, thread;
    std::unique_ptr<char[]> stack;
    ucontext_t start;
    jmp_buf place;
    bool started = false, done = false;
    Gate* gate = nullptr;
    unsigned turn = 0;
    bool ready() const { return !done && (gate == nullptr || gate->turn != turn); }
};

struct World {
    std::vector<Fiber> fibers;
    std::vector<Gate> blocks, warps;
    std::vector<std::uint64_t> exchanged;
    std::vector<std::vector<char>> shared;
    std::function<void()> body;
    ucontext_t home;
    jmp_buf scheduler;
    Fiber* current = nullptr;
    unsigned warps_per_block() const { return (blockDim.x + 31) / 32; }
    unsigned warp() const { return current->block * warps_per_block() + current->thread / 32; }
};
static World* world = nullptr;

static void leave() {
    if (_setjmp(world->current->place) == 0) _longjmp(world->scheduler, 1);
}

static void pass(Gate& gate) {
    Fiber* me = world->current;
    me->turn = gate.turn;
    me->gate = &gate;
    ++gate.arrived;
    gate.open_if_full();
    if (!me->ready()) leave();
    me->gate = nullptr;
}

static void enter() {
    world->body();
    Fiber* me = world->current;
    me->done = true;
    for (Gate* gate : {&world->warps[world->warp()], &world->blocks[me->block]}) {
        --gate->members;
        gate->open_if_full();
    }
    _longjmp(world->scheduler, 1);
}

static void resume(Fiber& fiber) {
    world->current = &fiber;
    threadIdx = {fiber.thread, 0, 0};
    blockIdx = {fiber.block, 0, 0};
    if (_setjmp(world->scheduler)) return;
    if (fiber.started) _longjmp(fiber.place, 1);
    fiber.started = true;
    setcontext(&fiber.start);
}

// Turns of a block until every thread waits; whether any ran.
static bool turns(unsigned block) {
    std::size_t bytes = __stop_shim_shared - __start_shim_shared;
    auto first = world->fibers.begin() + block * blockDim.x, last = first + blockDim.x;
    if (bytes) std::memcpy(__start_shim_shared, world->shared[block].data(), bytes);
    bool any = false;
    for (auto fiber = first; fiber != last; ++fiber)
        if (fiber->ready()) {
            resume(*fiber);
            any = true;
        }
    if (bytes) std::memcpy(world->shared[block].data(), __start_shim_shared, bytes);
    return any;
}

static void fibers(std::function<void()> body) {
    static const std::size_t STACK = 1 << 16;
    World here;
    world = &here;
    here.body = std::move(body);
    here.fibers.resize(gridDim.x * blockDim.x);
    here.blocks.resize(gridDim.x);
    here.warps.resize(gridDim.x * here.warps_per_block());
    here.exchanged.resize(here.warps.size() * 32);
    here.shared.assign(gridDim.x, std::vector<char>(__stop_shim_shared - __start_shim_shared));
    for (unsigned i = 0; i < here.fibers.size(); ++i) {
        Fiber& fiber = here.fibers[i];
        fiber.block = i / blockDim.x;
        fiber.thread = i % blockDim.x;
        fiber.stack.reset(new char[STACK]);
        getcontext(&fiber.start);
        fiber.start.uc_stack.ss_sp = fiber.stack.get();
        fiber.start.uc_stack.ss_size = STACK;
        fiber.start.uc_link = nullptr;
        makecontext(&fiber.start, enter, 0);
        ++here.blocks[fiber.block].members;
        ++here.warps[fiber.block * here.warps_per_block() + fiber.thread / 32].members;
    }
    for (bool any = true; any;) {
        any = false;
        for (unsigned block = 0; block < gridDim.x; ++block) any |= turns(block);
    }
    for (Fiber& fiber : here.fibers)
        if (!fiber.done) {
            std::fprintf(stderr, "block %u, thread %u waits for ever\n", fiber.block, fiber.thread);
            std::abort();
        }
    world = nullptr;
}

// Every lane of the warp gives a value, which stands in the warp's row when all have come, until the next barrier.
template <class T>
static void give(T value) {
    std::memcpy(world->exchanged.data() + world->warp() * 32 + threadIdx.x % 32, &value, sizeof(T));
    pass(world->warps[world->warp()]);
}

template <class T>
static T exchange(T value, unsigned from) {
    T out;
    give(value);
    std::memcpy(&out, world->exchanged.data() + world->warp() * 32 + from % 32, sizeof(T));
    pass(world->warps[world->warp()]);
    return out;
}
}  // namespace shim

static inline void __syncthreads() { shim::pass(shim::world->blocks[shim::world->current->block]); }
static inline void __syncwarp(unsigned = 0xffffffffu) { shim::pass(shim::world->warps[shim::world->warp()]); }
static inline void __threadfence() {}
static inline void __nanosleep(unsigned) { shim::leave(); }
template <class T>
static inline T __shfl_sync(unsigned, T value, int lane) {
    return shim::exchange(value, (unsigned)lane);
}
template <class T>
static inline T __shfl_xor_sync(unsigned, T value, int mask) {
    return shim::exchange(value, threadIdx.x % 32 ^ (unsigned)mask);
}
static inline unsigned __ballot_sync(unsigned, int vote) {
    const std::uint64_t* row = shim::world->exchanged.data() + shim::world->warp() * 32;
    shim::give((std::uint64_t)(vote != 0));
    unsigned votes = 0;
    for (unsigned lane = 0; lane < 32; ++lane) votes |= (unsigned)row[lane] << lane;
    shim::pass(shim::world->warps[shim::world->warp()]);
    return votes;
}

// In the place of tensor.cuh: a lane has k = 2 t, 2 t + 1 in its first register and k = 2 t + 8, 2 t + 9 in its second.
namespace shim {
static inline float half_to_float(unsigned bits) {
    unsigned exponent = bits >> 10 & 31, fraction = bits & 1023;
    float value = exponent ? std::ldexp((float)(1024 + fraction), (int)exponent - 25) : std::ldexp((float)fraction, -24);
    return bits >> 15 & 1 ? -value : value;
}
static inline float dot(unsigned a, unsigned b) {
    static const std::vector<float> of_half = [] {
        std::vector<float> values(1 << 16);
        for (unsigned bits = 0; bits < values.size(); ++bits) values[bits] = half_to_float(bits);
        return values;
    }();
    return of_half[a & 0xffff] * of_half[b & 0xffff] + of_half[a >> 16] * of_half[b >> 16];
}
}  // namespace shim

static inline void multiply_tile(float* c, const unsigned* a, unsigned b0, unsigned b1) {
    using namespace shim;
    struct Registers {
        unsigned a[4], b[2];
    };
    static std::vector<Registers> all;
    if (all.size() < world->warps.size() * 32) all.resize(world->warps.size() * 32);
    Registers* warp = all.data() + world->warp() * 32;
    unsigned lane = threadIdx.x % 32;
    warp[lane] = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
    pass(world->warps[world->warp()]);
    for (unsigned i = 0; i < 4; ++i)
        for (unsigned t = 0; t < 4; ++t) {
            const Registers &row = warp[lane / 4 * 4 + t], &column = warp[(2 * (lane % 4) + i % 2) * 4 + t];
            c[i] += dot(row.a[i / 2], column.b[0]) + dot(row.a[2 + i / 2], column.b[1]);
        }
    pass(world->warps[world->warp()]);
}
