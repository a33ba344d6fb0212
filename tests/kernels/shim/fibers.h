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

// Every lane of the warp gives a value and reads another's.
template <class T>
static T exchange(T value, unsigned from) {
    std::uint64_t* row = world->exchanged.data() + world->warp() * 32;
    Gate& gate = world->warps[world->warp()];
    std::memcpy(row + threadIdx.x % 32, &value, sizeof(T));
    pass(gate);
    T out;
    std::memcpy(&out, row + from % 32, sizeof(T));
    pass(gate);
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
    unsigned votes = 0;
    for (unsigned lane = 0; lane < 32; ++lane) votes |= (unsigned)(shim::exchange(vote, lane) != 0) << lane;
    return votes;
}
