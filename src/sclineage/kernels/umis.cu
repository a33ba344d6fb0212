// UMI collapse on the device; the contract is in umis.py, the constants come from umis.cuda_defines().
// One thread per distinct (cell, feature, UMI) row, no barrier. A row reads its group: 16 bytes per member in groups
// up to PAIRWISE, else 3 * length binary searches.

typedef unsigned long long u64;

__device__ __forceinline__ long long row_of_thread() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

__device__ __forceinline__ bool one_apart(u64 a, u64 b) {
    u64 x = a ^ b;
    x = (x | (x >> 1)) & 0x5555555555555555ull;
    return x != 0ull && (x & (x - 1ull)) == 0ull;
}

__device__ long long place(const u64* umis, long long low, long long high, u64 wanted) {
    while (low < high) {
        long long middle = (low + high) / 2;
        if (umis[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

template <class Visit>
__device__ void visit_neighbours(const u64* umis, long long first, long long last, long long row, int length,
                                 Visit& visit) {
    u64 own = umis[row];
    if (last - first <= PAIRWISE) {
        for (long long other = first; other < last; ++other)
            if (one_apart(umis[other], own)) visit(other);
        return;
    }
    for (int position = 0; position < length; ++position) {
        u64 base = (own >> (2 * position)) & 3ull;
        for (u64 other = 0ull; other < 4ull; ++other) {
            if (other == base) continue;
            u64 wanted = own ^ ((base ^ other) << (2 * position));
            long long at = place(umis, first, last, wanted);
            if (at < last && umis[at] == wanted) visit(at);
        }
    }
}

struct Best {  // most reads, then the larger UMI
    const u64* umis;
    const long long* reads;
    long long best;
    __device__ void operator()(long long other) {
        if (reads[other] > reads[best] || (reads[other] == reads[best] && umis[other] > umis[best])) best = other;
    }
};

extern "C" __global__ void to_best(const u64* __restrict__ umis, const long long* __restrict__ reads,
                                   const long long* __restrict__ first, const long long* __restrict__ last,
                                   long long n, int length, long long* __restrict__ target) {
    long long row = row_of_thread();
    if (row >= n) return;
    Best best = {umis, reads, row};
    visit_neighbours(umis, first[row], last[row], row, length, best);
    target[row] = best.best;
}

struct Root {  // the earliest root among those that reach a neighbour with an edge to this row
    const long long* reads;
    const long long* root;
    long long row, best;
    __device__ void operator()(long long other) {
        if (reads[other] < 2 * reads[row] - 1) return;
        long long found = root[other];
        if (reads[found] > reads[best] || (reads[found] == reads[best] && found < best)) best = found;
    }
};

// One step of the spread of roots; repeated until nothing changes. The fixed point is the first root, by descending
// reads and then row, from which a row can be reached: what a breadth-first search in that order finds.
extern "C" __global__ void spread(const u64* __restrict__ umis, const long long* __restrict__ reads,
                                  const long long* __restrict__ first, const long long* __restrict__ last,
                                  long long n, int length, const long long* __restrict__ root,
                                  long long* __restrict__ next, int* __restrict__ changed) {
    long long row = row_of_thread();
    if (row >= n) return;
    Root best = {reads, root, row, root[row]};
    visit_neighbours(umis, first[row], last[row], row, length, best);
    next[row] = best.best;
    if (best.best != root[row]) changed[0] = 1;
}
