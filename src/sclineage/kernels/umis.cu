// UMI collapse on the device; the contract is in umis.py, the constants come from umis.cuda_defines().
// One thread per distinct (cell, feature, UMI) row, no barrier. A row reads 16 bytes of its own (group, UMI, reads) and
// writes 4; the rest of its group lies beside it and comes from L1. Groups that reach more than PAIRWISE rows to one
// side are searched: their ends by doubling steps, then 3 * length binary searches.

typedef unsigned long long u64;

__device__ __forceinline__ long long row_of_thread() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

__device__ __forceinline__ bool one_apart(u64 a, u64 b) {
    u64 x = a ^ b;
    x = (x | (x >> 1)) & 0x5555555555555555ull;
    return x != 0ull && (x & (x - 1ull)) == 0ull;
}

struct Rows {  // sorted by group and then UMI
    const int* groups;
    const u64* umis;
    int n;
};

__device__ int place(const u64* umis, int low, int high, u64 wanted) {
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (umis[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

__device__ bool in_group(const Rows& rows, long long row, int group) {
    return row >= 0 && row < rows.n && rows.groups[row] == group;
}

// Row furthest from `row` in direction `step` (1 or -1) that is in its group: doubling steps, then halving ones.
__device__ int end_of_group(const Rows& rows, int row, int step) {
    int group = rows.groups[row];
    long long at = row, jump = step;
    while (in_group(rows, at + jump, group)) {
        at += jump;
        jump *= 2;
    }
    for (; jump != 0; jump /= 2)
        if (in_group(rows, at + jump, group)) at += jump;
    return (int)at;
}

template <class Visit>
__device__ void search_group(const Rows& rows, int row, int length, Visit& visit) {
    int first = end_of_group(rows, row, -1), last = end_of_group(rows, row, 1) + 1;
    u64 own = rows.umis[row];
    for (int position = 0; position < length; ++position) {
        u64 base = (own >> (2 * position)) & 3ull;
        for (u64 other = 0ull; other < 4ull; ++other) {
            if (other == base) continue;
            u64 wanted = own ^ ((base ^ other) << (2 * position));
            int at = place(rows.umis, first, last, wanted);
            if (at < last && rows.umis[at] == wanted) visit(at);
        }
    }
}

template <class Visit>
__device__ void visit_neighbours(const Rows& rows, int row, int length, Visit& visit) {
    int own = rows.groups[row], first = row, last = row + 1;
    while (first > 0 && row - first <= PAIRWISE && rows.groups[first - 1] == own) --first;
    while (last < rows.n && last - row <= PAIRWISE && rows.groups[last] == own) ++last;
    if (row - first > PAIRWISE || last - row > PAIRWISE) {
        search_group(rows, row, length, visit);
        return;
    }
    for (int other = first; other < last; ++other)
        if (one_apart(rows.umis[other], rows.umis[row])) visit(other);
}

struct Best {  // most reads, then the larger UMI
    const u64* umis;
    const int* reads;
    int best;
    __device__ void operator()(int other) {
        if (reads[other] > reads[best] || (reads[other] == reads[best] && umis[other] > umis[best])) best = other;
    }
};

extern "C" __global__ void to_best(const int* __restrict__ groups, const u64* __restrict__ umis,
                                   const int* __restrict__ reads, int n, int length, int* __restrict__ target) {
    long long row = row_of_thread();
    if (row >= n) return;
    Best best = {umis, reads, (int)row};
    visit_neighbours(Rows{groups, umis, n}, (int)row, length, best);
    target[row] = best.best;
}

struct Root {  // the earliest root among those that reach a neighbour with an edge to this row
    const int *reads, *root;
    int row, best;
    __device__ void operator()(int other) {
        if (reads[other] < 2ll * reads[row] - 1) return;
        int found = root[other];
        if (reads[found] > reads[best] || (reads[found] == reads[best] && found < best)) best = found;
    }
};

// One step of the spread of roots; repeated until nothing changes. The fixed point is the first root, by descending
// reads and then row, from which a row can be reached: what a breadth-first search in that order finds.
extern "C" __global__ void spread(const int* __restrict__ groups, const u64* __restrict__ umis,
                                  const int* __restrict__ reads, int n, int length, const int* __restrict__ root,
                                  int* __restrict__ next, int* __restrict__ changed) {
    long long row = row_of_thread();
    if (row >= n) return;
    Root best = {reads, root, (int)row, root[row]};
    visit_neighbours(Rows{groups, umis, n}, (int)row, length, best);
    next[row] = best.best;
    if (best.best != root[row]) changed[0] = 1;
}
