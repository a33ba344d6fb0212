// Leiden on the device; the contract is in leiden.py, the constants come from leiden.cuda_defines(). No barrier: what
// has to be frozen while a batch is decided is frozen because the next kernel changes it. One thread per vertex, with
// a hash table of its neighbours' communities in global memory, two slots per edge. Bytes: 36 per edge and pass, most of
// them from L2.

#include "union_find.cuh"

typedef unsigned long long u64;
typedef long long i64;

#define VERTEX (i64)blockIdx.x * blockDim.x + threadIdx.x

__device__ __forceinline__ void add(i64* to, i64 value) { atomicAdd((u64*)to, (u64)value); }

__device__ __forceinline__ int batch_of(int vertex, u64 salt, int batches) {
    u64 x = ((u64)vertex + 1ull) * GOLDEN + salt;
    x = (x ^ (x >> 30)) * MULTIPLY_1;
    x = (x ^ (x >> 27)) * MULTIPLY_2;
    return (int)((x ^ (x >> 31)) & (u64)(batches - 1));
}

// --- sums of weights by community, in the slots of a vertex ---
__device__ __forceinline__ int room_of(i64 edges) { return 1 << (31 - __clz((int)(2 * edges))); }

__device__ __forceinline__ int slot_of(int community, const int* keys, int room) {
    int slot = (int)(((unsigned)community * 2654435761u) >> 7) & (room - 1);
    while (keys[slot] != community && keys[slot] != NONE) slot = (slot + 1) & (room - 1);
    return slot;
}

__device__ __forceinline__ void count_edge(int community, i64 weight, int* keys, i64* sums, int room) {
    int slot = slot_of(community, keys, room);
    keys[slot] = community;
    sums[slot] += weight;
}

// Batch of every active vertex; one past the last batch for the others.
extern "C" __global__ void batch_keys(const unsigned char* __restrict__ active, u64 salt, int batches, i64 n,
                                      int* __restrict__ keys) {
    i64 v = VERTEX;
    if (v < n) keys[v] = active[v] ? batch_of((int)v, salt, batches) : batches;
}

// --- moving ---
extern "C" __global__ void decide(const int* __restrict__ listed, i64 count, const i64* __restrict__ indptr,
                                  const int* __restrict__ indices, const i64* __restrict__ weights,
                                  const int* __restrict__ comm, const i64* __restrict__ volume,
                                  const i64* __restrict__ degree, double scale, int* slot_keys, i64* slot_sums,
                                  int* __restrict__ target) {
    i64 i = VERTEX;
    if (i >= count) return;
    int v = listed[i], own = comm[v];
    i64 begin = indptr[v], end = indptr[v + 1];
    double factor = __dmul_rn(scale, (double)degree[v]);
    double left = __dmul_rn(factor, (double)(volume[own] - degree[v]));
    int room = begin < end ? room_of(end - begin) : 0, best = own;
    int* keys = slot_keys + 2 * begin;
    i64* sums = slot_sums + 2 * begin;
    for (i64 e = begin; e < end; ++e) count_edge(comm[indices[e]], weights[e], keys, sums, room);
    i64 here = 0;
    if (room) {
        int slot = slot_of(own, keys, room);
        here = keys[slot] == own ? sums[slot] : 0;
    }
    double most = __dsub_rn((double)here, left);
    if (most < 0.0 && volume[v] == 0) {
        best = v;
        most = 0.0;
    }
    for (int slot = 0; slot < room; ++slot) {
        int c = keys[slot];
        if (c == NONE) continue;
        double gain = __dsub_rn((double)sums[slot], __dmul_rn(factor, (double)volume[c]));
        keys[slot] = NONE;
        sums[slot] = 0;
        if (c != own && (gain > most || (gain == most && best != own && c < best))) {
            best = c;
            most = gain;
        }
    }
    target[i] = best;
}

extern "C" __global__ void apply(const int* __restrict__ listed, i64 count, int* __restrict__ target, int* comm,
                                 i64* volume, const i64* __restrict__ degree, unsigned char* active, i64* moves) {
    i64 i = VERTEX;
    if (i >= count) return;
    int v = listed[i], to = target[i];
    active[v] = 0;
    if (to == comm[v]) {
        target[i] = NONE;
        return;
    }
    add(volume + comm[v], -degree[v]);
    add(volume + to, degree[v]);
    comm[v] = to;
    add(moves, 1);
}

extern "C" __global__ void wake(const int* __restrict__ listed, i64 count, const int* __restrict__ target,
                                const i64* __restrict__ indptr, const int* __restrict__ indices,
                                const int* __restrict__ comm, unsigned char* active) {
    i64 i = VERTEX;
    if (i >= count || target[i] == NONE) return;
    int v = listed[i];
    for (i64 e = indptr[v]; e < indptr[v + 1]; ++e)
        if (comm[indices[e]] != comm[v]) active[indices[e]] = 1;
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

extern "C" __global__ void join(const int* __restrict__ listed, i64 count, int mine, u64 salt, int batches,
                                const i64* __restrict__ indptr, const int* __restrict__ indices,
                                const i64* __restrict__ weights, const int* __restrict__ comm,
                                const i64* __restrict__ volume, const i64* __restrict__ degree, double scale,
                                const int* __restrict__ sub, const i64* __restrict__ part, const i64* __restrict__ inside,
                                const int* __restrict__ size, int* slot_keys, i64* slot_sums,
                                int* __restrict__ target) {
    i64 i = VERTEX;
    if (i >= count) return;
    int v = listed[i], best = NONE;
    target[v] = NONE;
    i64 begin = indptr[v], end = indptr[v + 1], whole = volume[comm[v]];
    double factor = __dmul_rn(scale, (double)degree[v]), most = 0.0;
    if (size[v] != 1 || sub[v] != v || (double)inside[v] < __dmul_rn(factor, (double)(whole - degree[v]))) return;
    int room = begin < end ? room_of(end - begin) : 0;
    int* keys = slot_keys + 2 * begin;
    i64* sums = slot_sums + 2 * begin;
    for (i64 e = begin; e < end; ++e)
        if (comm[indices[e]] == comm[v]) count_edge(sub[indices[e]], weights[e], keys, sums, room);
    for (int slot = 0; slot < room; ++slot) {
        int s = keys[slot];
        if (s == NONE) continue;
        double gain = __dsub_rn((double)sums[slot], __dmul_rn(factor, (double)part[s]));
        keys[slot] = NONE;
        sums[slot] = 0;
        if (!(gain > most || (gain == most && best != NONE && s < best))) continue;
        bool leaves_too = size[s] == 1 && batch_of(s, salt, batches) == mine;
        double needed = __dmul_rn(__dmul_rn(scale, (double)part[s]), (double)(whole - part[s]));
        if (!leaves_too && (double)inside[s] >= needed) {
            best = s;
            most = gain;
        }
    }
    target[v] = best;
}

extern "C" __global__ void merge(const int* __restrict__ listed, i64 count, int mine, const int* __restrict__ target,
                                 const i64* __restrict__ degree, int* sub, i64* part, int* size,
                                 int* __restrict__ joined) {
    i64 i = VERTEX;
    if (i >= count || target[listed[i]] == NONE) return;
    int v = listed[i], to = target[v];
    sub[v] = to;
    add(part + to, degree[v]);
    atomicAdd(size + to, 1);
    part[v] = 0;
    size[v] = 0;
    joined[v] = mine;
}

// The weight of a part to the rest of its community; an edge between two that joined at once is met from both ends.
extern "C" __global__ void settle(const int* __restrict__ listed, i64 count, int mine, const int* __restrict__ target,
                                  const i64* __restrict__ indptr, const int* __restrict__ indices,
                                  const i64* __restrict__ weights, const int* __restrict__ sub,
                                  const int* __restrict__ joined, i64* inside) {
    i64 i = VERTEX;
    if (i >= count || target[listed[i]] == NONE) return;
    int v = listed[i];
    i64 change = inside[v];
    for (i64 e = indptr[v]; e < indptr[v + 1]; ++e) {
        int u = indices[e];
        if (sub[u] == sub[v]) change -= joined[u] == mine ? weights[e] : 2 * weights[e];
    }
    add(inside + sub[v], change);
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
