// Leiden on the device; the contract is in leiden.py, the constants come from leiden.cuda_defines(). A level is moved,
// and refined, by one grid that stays: a warp per vertex of a batch, one barrier of the grid after a batch is decided and
// one after it is applied. The weights to the communities around a vertex meet in a hash table, in shared memory up to
// ROOM slots, else in global memory, two slots per edge. Bytes: 24 per edge and sweep, most of them from L2.

#include "grid.cuh"
#include "union_find.cuh"

typedef unsigned long long u64;
typedef long long i64;

#define VERTEX (i64)blockIdx.x * blockDim.x + threadIdx.x
#define ALL 0xffffffffu
#define WARPS (BLOCK / 32)

struct Graph {
    const i64* __restrict__ indptr;
    const int* __restrict__ indices;
    const i64* __restrict__ weights;
    const i64* __restrict__ degree;
    i64 n;
};

// Slots of a warp in shared memory, and those of all edges in global memory; NONE and 0 between two vertices.
struct Slots {
    int* own_keys;
    i64* own_sums;
    int* keys;
    i64* sums;
    int room;

    __device__ void take(i64 begin, i64 end, int* all_keys, i64* all_sums) {
        room = begin < end ? 1 << (31 - __clz((int)(2 * (end - begin)))) : 0;
        keys = room <= ROOM ? own_keys : all_keys + 2 * begin;
        sums = room <= ROOM ? own_sums : all_sums + 2 * begin;
    }
    __device__ int home(int community) const { return (int)(((unsigned)community * 2654435761u) >> 7) & (room - 1); }
    __device__ void count(int community, i64 weight) {
        int slot = home(community);
        for (;; slot = (slot + 1) & (room - 1)) {
            int there = atomicCAS(keys + slot, NONE, community);
            if (there == NONE || there == community) break;
        }
        atomicAdd((u64*)(sums + slot), (u64)weight);
    }
    __device__ i64 weight_to(int community) const {
        if (!room) return 0;
        int slot = home(community);
        while (keys[slot] != community && keys[slot] != NONE) slot = (slot + 1) & (room - 1);
        return keys[slot] == community ? sums[slot] : 0;
    }
    __device__ void clear(int slot) {
        keys[slot] = NONE;
        sums[slot] = 0;
    }
};

// The largest gain and whose it is, the lowest in a tie.
struct Choice {
    double gain;
    int name;

    __device__ void meet(double other, int whose) {
        if (whose == NONE || (name != NONE && (other < gain || (other == gain && whose > name)))) return;
        gain = other;
        name = whose;
    }
    __device__ void of_warp() {
        for (int step = 16; step > 0; step >>= 1) {
            double other = __shfl_xor_sync(ALL, gain, step);
            int whose = __shfl_xor_sync(ALL, name, step);
            meet(other, whose);
        }
    }
};

__device__ __forceinline__ void add(i64* to, i64 value) { atomicAdd((u64*)to, (u64)value); }

__device__ __forceinline__ int batch_of(int vertex, u64 salt, int batches) {
    u64 x = ((u64)vertex + 1ull) * GOLDEN + salt;
    x = (x ^ (x >> 30)) * MULTIPLY_1;
    x = (x ^ (x >> 27)) * MULTIPLY_2;
    return (int)((x ^ (x >> 31)) & (u64)(batches - 1));
}

// --- the graph ---
__device__ __forceinline__ u64 mark(int a, int b) {
    u64 x = ((u64)a * MULTIPLY_1) ^ ((u64)b * GOLDEN);
    x = (x ^ (x >> 30)) * MULTIPLY_1;
    return x ^ (x >> 27);
}

// Whole-number weights and their sum per row. `sums`: rows with loops or not in order, check sums of the matrix and of
// its transpose.
extern "C" __global__ void whole(const i64* __restrict__ indptr, const int* __restrict__ indices,
                                 const double* __restrict__ data, i64 n, double scale, i64* __restrict__ weights,
                                 i64* __restrict__ degree, u64* sums) {
    i64 v = VERTEX;
    if (v >= n) return;
    i64 total = 0;
    u64 disorder = 0, straight = 0, turned = 0;
    for (i64 e = indptr[v]; e < indptr[v + 1]; ++e) {
        int u = indices[e];
        disorder |= u == v || (e > indptr[v] && u <= indices[e - 1]);
        i64 weight = (i64)rint(__dmul_rn(data[e], scale));
        weight = weight > 1 ? weight : 1;
        weights[e] = weight;
        total += weight;
        straight += mark((int)v, u) * (u64)weight;
        turned += mark(u, (int)v) * (u64)weight;
    }
    degree[v] = total;
    if (disorder) atomicAdd(sums, 1ull);
    atomicAdd(sums + 1, straight);
    atomicAdd(sums + 2, turned);
}

// --- batches ---
__device__ int sized(int active, int most) {
    int batches = FEWEST;
    while (2 * batches <= most && 2 * (i64)batches * PER_BATCH <= active) batches *= 2;
    return batches;
}

// Lists vertices batch after batch; `starts`, in shared memory, tells where a batch starts. The order within a batch is
// open. `counts` and `cursors` are 0 before.
__device__ void list(const unsigned char* now, i64 n, u64 salt, int batches, int* counts, int* cursors, int* starts,
                     int* listed, unsigned* arrived) {
    i64 step = (i64)gridDim.x * blockDim.x;
    for (i64 v = VERTEX; v < n; v += step)
        if (now[v]) atomicAdd(counts + batch_of((int)v, salt, batches), 1);
    grid_barrier(arrived);
    for (int b = threadIdx.x; b < batches; b += blockDim.x) starts[b + 1] = counts[b];
    __syncthreads();
    if (threadIdx.x == 0) {
        starts[0] = 0;
        for (int b = 0; b < batches; ++b) starts[b + 1] += starts[b];
    }
    __syncthreads();
    for (i64 v = VERTEX; v < n; v += step)
        if (now[v]) {
            int b = batch_of((int)v, salt, batches);
            listed[starts[b] + atomicAdd(cursors + b, 1)] = (int)v;
        }
    grid_barrier(arrived);
}

// --- moving ---
__device__ int best(int v, const Graph& g, const int* comm, const i64* volume, double scale, Slots& slots,
                    int* slot_keys, i64* slot_sums) {
    int lane = threadIdx.x % 32, own = comm[v];
    i64 begin = g.indptr[v], end = g.indptr[v + 1];
    slots.take(begin, end, slot_keys, slot_sums);
    for (i64 e = begin + lane; e < end; e += 32) slots.count(comm[g.indices[e]], g.weights[e]);
    __syncwarp();
    i64 here = slots.weight_to(own);
    __syncwarp();
    double factor = __dmul_rn(scale, (double)g.degree[v]);
    Choice other = {0.0, NONE};
    for (int slot = lane; slot < slots.room; slot += 32) {
        int c = slots.keys[slot];
        if (c == NONE) continue;
        double gain = __dsub_rn((double)slots.sums[slot], __dmul_rn(factor, (double)volume[c]));
        slots.clear(slot);
        if (c != own) other.meet(gain, c);
    }
    other.of_warp();
    __syncwarp();
    Choice mine = {__dsub_rn((double)here, __dmul_rn(factor, (double)(volume[own] - g.degree[v]))), own};
    if (mine.gain < 0.0 && volume[v] == 0) mine = {0.0, v};
    bool better = other.gain > mine.gain || (other.gain == mine.gain && mine.name != own && other.name < mine.name);
    return other.name != NONE && better ? other.name : mine.name;
}

// Neighbours that a mover left behind or came upon take part in the next sweep, unless their turn in this one is to come.
__device__ void wake(int v, int batch, const Graph& g, const int* comm, const unsigned char* now, u64 salt, int batches,
                     unsigned char* next) {
    for (i64 e = g.indptr[v] + threadIdx.x % 32; e < g.indptr[v + 1]; e += 32) {
        int u = g.indices[e];
        if (comm[u] != comm[v] && !(now[u] && batch_of(u, salt, batches) > batch)) next[u] = 1;
    }
}

// Carries out the moves of a batch; `target` becomes NONE where a vertex stays.
__device__ void apply(int first, int size, const int* listed, int* target, const i64* degree, int* comm, i64* volume,
                      i64* moves) {
    for (i64 i = VERTEX; i < size; i += (i64)gridDim.x * blockDim.x) {
        int v = listed[first + i], to = target[first + i], from = comm[v];
        if (to == from) {
            target[first + i] = NONE;
            continue;
        }
        add(volume + from, -degree[v]);
        add(volume + to, degree[v]);
        comm[v] = to;
        add(moves, 1);
    }
}

// Starts a sweep: who takes part, and how many.
__device__ int begin_sweep(unsigned char* now, unsigned char* next, i64 n, int* of_block, int* total,
                           unsigned* arrived) {
    int count = 0;
    if (threadIdx.x == 0) *of_block = 0;
    __syncthreads();
    for (i64 v = VERTEX; v < n; v += (i64)gridDim.x * blockDim.x) {
        now[v] = next[v];
        next[v] = 0;
        count += now[v];
    }
    if (count) atomicAdd(of_block, count);
    __syncthreads();
    if (threadIdx.x == 0) atomicAdd(total, *of_block);
    grid_barrier(arrived);
    return *(volatile int*)total;
}

// `counters`: per sweep 1 + 2 MOST, all 0. While a batch is decided, the one before it wakes its neighbours.
extern "C" __global__ void __launch_bounds__(BLOCK, 1) move(
    const i64* __restrict__ indptr, const int* __restrict__ indices, const i64* __restrict__ weights,
    const i64* __restrict__ degree, i64 n, double scale, int most, const u64* __restrict__ salts, int sweeps, int* comm,
    i64* volume, unsigned char* now, unsigned char* next, int* listed, int* target, int* counters, int* slot_keys,
    i64* slot_sums, i64* moves, unsigned* arrived) {
    __shared__ int starts[MOST + 1], of_block, keys[WARPS][ROOM];
    __shared__ i64 sums[WARPS][ROOM];
    Graph g = {indptr, indices, weights, degree, n};
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    Slots slots = {keys[warp], sums[warp], keys[warp], sums[warp], 0};
    for (int slot = lane; slot < ROOM; slot += 32) slots.clear(slot);
    for (int sweep = 0; sweep < sweeps; ++sweep) {
        int* counts = counters + (i64)sweep * (1 + 2 * MOST) + 1;
        int active = begin_sweep(now, next, n, &of_block, counts - 1, arrived), batches = sized(active, most);
        if (!active) return;
        list(now, n, salts[sweep], batches, counts, counts + MOST, starts, listed, arrived);
        for (int b = 0, before = 0; b <= batches; ++b) {
            int first = starts[b], size = b < batches ? starts[b + 1] - first : 0;
            for (int w = warp * gridDim.x + blockIdx.x; w < size + before; w += WARPS * gridDim.x) {
                int i = w < size ? first + w : first - before + w - size, v = listed[i];
                if (w >= size) {
                    if (target[i] != NONE) wake(v, b - 1, g, comm, now, salts[sweep], batches, next);
                    continue;
                }
                int to = best(v, g, comm, volume, scale, slots, slot_keys, slot_sums);
                if (lane == 0) target[i] = to;
            }
            if (size || before) grid_barrier(arrived);
            if (size) {
                apply(first, size, listed, target, degree, comm, volume, moves);
                grid_barrier(arrived);
            }
            before = size;
        }
    }
}

// --- refining ---
extern "C" __global__ void inside_of(const i64* __restrict__ indptr, const int* __restrict__ indices,
                                     const i64* __restrict__ weights, const int* __restrict__ comm, i64 n,
                                     i64* __restrict__ inside) {
    i64 v = VERTEX;
    if (v >= n) return;
    i64 total = 0;
    for (i64 e = indptr[v]; e < indptr[v + 1]; ++e) total += comm[indices[e]] == comm[v] ? weights[e] : 0;
    inside[v] = total;
}

// The part of its community that a vertex on its own joins, or NONE.
__device__ int joins(int v, int batch, u64 salt, int batches, const Graph& g, const int* comm, const i64* volume,
                     double scale, const int* sub, const i64* part, const i64* inside, const int* size, Slots& slots,
                     int* slot_keys, i64* slot_sums) {
    int lane = threadIdx.x % 32, own = comm[v];
    i64 begin = g.indptr[v], end = g.indptr[v + 1], whole = volume[own];
    double factor = __dmul_rn(scale, (double)g.degree[v]);
    if (size[v] != 1 || sub[v] != v || (double)inside[v] < __dmul_rn(factor, (double)(whole - g.degree[v]))) return NONE;
    slots.take(begin, end, slot_keys, slot_sums);
    for (i64 e = begin + lane; e < end; e += 32)
        if (comm[g.indices[e]] == own) slots.count(sub[g.indices[e]], g.weights[e]);
    __syncwarp();
    Choice found = {0.0, NONE};
    for (int slot = lane; slot < slots.room; slot += 32) {
        int s = slots.keys[slot];
        if (s == NONE) continue;
        double gain = __dsub_rn((double)slots.sums[slot], __dmul_rn(factor, (double)part[s]));
        slots.clear(slot);
        bool leaves_too = size[s] == 1 && batch_of(s, salt, batches) == batch;
        double needed = __dmul_rn(__dmul_rn(scale, (double)part[s]), (double)(whole - part[s]));
        if (gain > 0.0 && !leaves_too && (double)inside[s] >= needed) found.meet(gain, s);
    }
    found.of_warp();
    __syncwarp();
    return found.name;
}

// Carries out the joins of a batch.
__device__ void merge(int first, int last, int batch, const int* listed, const int* target, const i64* degree, int* sub,
                      i64* part, int* size, int* joined) {
    for (i64 i = first + VERTEX; i < last; i += (i64)gridDim.x * blockDim.x) {
        int v = listed[i], to = target[i];
        if (to == NONE) continue;
        sub[v] = to;
        add(part + to, degree[v]);
        atomicAdd(size + to, 1);
        part[v] = 0;
        size[v] = 0;
        joined[v] = batch;
    }
}

// The weight of a part to the rest of its community; an edge between two that joined at once is met from both ends.
__device__ void settle(int v, int batch, const Graph& g, const int* sub, const int* joined, i64* inside) {
    int lane = threadIdx.x % 32;
    i64 change = lane == 0 ? inside[v] : 0;
    for (i64 e = g.indptr[v] + lane; e < g.indptr[v + 1]; e += 32) {
        int u = g.indices[e];
        if (sub[u] == sub[v]) change -= joined[u] == batch ? g.weights[e] : 2 * g.weights[e];
    }
    if (change) add(inside + sub[v], change);
}

// `now` is 1 for every vertex, `counters` are 2 MOST zeros.
extern "C" __global__ void __launch_bounds__(BLOCK, 1) refine(
    const i64* __restrict__ indptr, const int* __restrict__ indices, const i64* __restrict__ weights,
    const i64* __restrict__ degree, i64 n, double scale, int batches, u64 salt, const int* __restrict__ comm,
    const i64* __restrict__ volume, const unsigned char* __restrict__ now, int* sub, i64* part, i64* inside, int* size,
    int* joined, int* listed, int* target, int* counters, int* slot_keys, i64* slot_sums, unsigned* arrived) {
    __shared__ int starts[MOST + 1], keys[WARPS][ROOM];
    __shared__ i64 sums[WARPS][ROOM];
    Graph g = {indptr, indices, weights, degree, n};
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    Slots slots = {keys[warp], sums[warp], keys[warp], sums[warp], 0};
    for (int slot = lane; slot < ROOM; slot += 32) slots.clear(slot);
    list(now, n, salt, batches, counters, counters + MOST, starts, listed, arrived);
    for (int b = 0; b < batches; ++b) {
        int first = starts[b], last = starts[b + 1], mine = first + warp * gridDim.x + blockIdx.x;
        if (first == last) continue;
        for (int i = mine; i < last; i += WARPS * gridDim.x) {
            int to = joins(listed[i], b, salt, batches, g, comm, volume, scale, sub, part, inside, size, slots,
                           slot_keys, slot_sums);
            if (lane == 0) target[i] = to;
        }
        grid_barrier(arrived);
        merge(first, last, b, listed, target, degree, sub, part, size, joined);
        grid_barrier(arrived);
        for (int i = mine; i < last; i += WARPS * gridDim.x)
            if (target[i] != NONE) settle(listed[i], b, g, sub, joined, inside);
        grid_barrier(arrived);
    }
}

// --- aggregating ---
extern "C" __global__ void add_totals(const int* __restrict__ labels, const i64* __restrict__ values, i64 n,
                                      i64* totals) {
    i64 v = VERTEX;
    if (v < n) add(totals + labels[v], values[v]);
}

extern "C" __global__ void claim(const int* __restrict__ labels, i64 n, int* first) {
    i64 v = VERTEX;
    if (v < n) atomicMin(first + labels[v], (int)v);
}

// Key of every edge between two nodes; the largest number for an edge inside one.
extern "C" __global__ void edge_keys(const i64* __restrict__ indptr, const int* __restrict__ indices,
                                     const int* __restrict__ node, i64 n, i64 nodes, i64* __restrict__ keys) {
    i64 v = VERTEX;
    if (v >= n) return;
    for (i64 e = indptr[v]; e < indptr[v + 1]; ++e) {
        int a = node[v], b = node[indices[e]];
        keys[e] = a == b ? nodes * nodes : a * nodes + b;
    }
}

// --- components within communities ---
extern "C" __global__ void unite_within(const i64* __restrict__ indptr, const int* __restrict__ indices,
                                        const int* __restrict__ labels, i64 n, int* parent) {
    i64 v = VERTEX;
    if (v >= n) return;
    for (i64 e = indptr[v]; e < indptr[v + 1]; ++e)
        if (indices[e] < v && labels[indices[e]] == labels[v]) unite(parent, (int)v, indices[e]);
}

extern "C" __global__ void flatten_within(int* parent, int* __restrict__ labels, i64 n) {
    i64 v = VERTEX;
    if (v < n) labels[v] = root(parent, (int)v);
}
