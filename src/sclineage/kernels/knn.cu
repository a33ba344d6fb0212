// Nearest neighbours on the device; the contract is in knn.py, the constants come from knn.cuda_defines(). No barrier.

#define QUERIES (LEAF / BLOCK)

struct __align__(16) Four {
    float a, b, c, d;
};

// Half squared distance of a point to a box.
__device__ __forceinline__ float box_gap(const float* point, const Four* low, const Four* high) {
    float total = 0.0f;
#pragma unroll
    for (int j = 0; j < DIMENSIONS / 4; ++j) {
        Four l = low[j], h = high[j];
        float a = fmaxf(fmaxf(l.a - point[4 * j], point[4 * j] - h.a), 0.0f);
        float b = fmaxf(fmaxf(l.b - point[4 * j + 1], point[4 * j + 1] - h.b), 0.0f);
        float c = fmaxf(fmaxf(l.c - point[4 * j + 2], point[4 * j + 2] - h.c), 0.0f);
        float d = fmaxf(fmaxf(l.d - point[4 * j + 3], point[4 * j + 3] - h.d), 0.0f);
        total += a * a + b * b + c * c + d * d;
    }
    return 0.5f * total;
}

__device__ __forceinline__ float product(const float* point, Four v, int j) {
    return point[4 * j] * v.a + point[4 * j + 1] * v.b + point[4 * j + 2] * v.c + point[4 * j + 3] * v.d;
}

__device__ void insert(float score, int row, float* scores, int* rows) {
    int at = CANDIDATES - 1;
    for (; at > 0 && scores[at - 1] > score; --at) {
        scores[at] = scores[at - 1];
        rows[at] = rows[at - 1];
    }
    scores[at] = score;
    rows[at] = row;
}

// One block per leaf of queries, QUERIES of them per thread with their coordinates in registers; every thread of a warp
// reads the same point, so a point costs one access of the L1 cache. Bytes: the leaves that boxes do not exclude, from
// L2, once per block.
extern "C" __global__ void __launch_bounds__(BLOCK) search(
    const float* __restrict__ points, const long long* __restrict__ starts, long long leaves,
    const float* __restrict__ low, const float* __restrict__ high, const float* __restrict__ half,
    const float* __restrict__ head_half, int* __restrict__ rows, float* __restrict__ bound) {
    long long mine = blockIdx.x, begin = starts[mine], end = starts[mine + 1];
    float query[QUERIES][DIMENSIONS], own[QUERIES], tail[QUERIES], worst[QUERIES];
    float scores[QUERIES][CANDIDATES];
    int found[QUERIES][CANDIDATES];
#pragma unroll
    for (int q = 0; q < QUERIES; ++q) {
        long long at = begin + threadIdx.x + (long long)q * BLOCK;
        bool here = at < end;
        long long from = here ? at : begin;
#pragma unroll
        for (int j = 0; j < DIMENSIONS; ++j) query[q][j] = points[from * DIMENSIONS + j];
        own[q] = half[from];
        tail[q] = half[from] - head_half[from];
        worst[q] = here ? FAR : -FAR;
        for (int slot = 0; slot < CANDIDATES; ++slot) {
            scores[q][slot] = FAR;
            found[q][slot] = -1;
        }
    }
    for (long long step = 0; step < leaves; ++step) {
        long long leaf = mine ^ step;
        const Four* l = (const Four*)(low + leaf * DIMENSIONS);
        const Four* h = (const Four*)(high + leaf * DIMENSIONS);
        bool needed = false;
#pragma unroll
        for (int q = 0; q < QUERIES; ++q) needed = needed || box_gap(query[q], l, h) <= worst[q] + own[q];
        if (!needed) continue;
        for (long long p = starts[leaf]; p < starts[leaf + 1]; ++p) {
            const Four* point = (const Four*)(points + p * DIMENSIONS);
            float score[QUERIES], rest = half[p] - head_half[p];
#pragma unroll
            for (int q = 0; q < QUERIES; ++q) score[q] = head_half[p];
#pragma unroll
            for (int j = 0; j < HEAD / 4; ++j) {
                Four v = point[j];
#pragma unroll
                for (int q = 0; q < QUERIES; ++q) score[q] -= product(query[q], v, j);
            }
            bool near = false;
#pragma unroll
            for (int q = 0; q < QUERIES; ++q) {
                near = near || score[q] <= worst[q] + tail[q];
                score[q] += rest;
            }
            if (!near) continue;
#pragma unroll
            for (int j = HEAD / 4; j < DIMENSIONS / 4; ++j) {
                Four v = point[j];
#pragma unroll
                for (int q = 0; q < QUERIES; ++q) score[q] -= product(query[q], v, j);
            }
#pragma unroll
            for (int q = 0; q < QUERIES; ++q) {
                if (score[q] < worst[q] && p != begin + threadIdx.x + (long long)q * BLOCK) {
                    insert(score[q], (int)p, scores[q], found[q]);
                    worst[q] = scores[q][CANDIDATES - 1];
                }
            }
        }
    }
#pragma unroll
    for (int q = 0; q < QUERIES; ++q) {
        long long at = begin + threadIdx.x + (long long)q * BLOCK;
        if (at >= end) continue;
        bound[at] = worst[q] + own[q];
        for (int slot = 0; slot < CANDIDATES; ++slot) rows[at * CANDIDATES + slot] = found[q][slot];
    }
}

__device__ double squared(const double* a, const double* b, int d) {
    double total = 0.0;
    for (int j = 0; j < d; ++j) {
        double gap = __dsub_rn(a[j], b[j]);
        total = __dadd_rn(total, __dmul_rn(gap, gap));
    }
    return total;
}

// One thread per point: its candidates again, in float64, sorted by (distance, index), the point itself first.
extern "C" __global__ void rerank(const double* __restrict__ points, const int* __restrict__ order,
                                  const int* __restrict__ rows, long long n, int d, int k, int* __restrict__ indices,
                                  double* __restrict__ squares) {
    long long place = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= n) return;
    long long me = order[place];
    int* index = indices + me * k;
    double* square = squares + me * k;
    for (int slot = 0; slot < k; ++slot) {
        square[slot] = INFINITE;
        index[slot] = 2147483647;
    }
    square[0] = -1.0;
    index[0] = (int)me;
    for (int slot = 0; slot < CANDIDATES; ++slot) {
        int other = rows[place * CANDIDATES + slot];
        if (other < 0) continue;
        other = order[other];
        double value = squared(points + me * d, points + (long long)other * d, d);
        int at = k - 1;
        if (value > square[at] || (value == square[at] && other > index[at])) continue;
        for (; at > 0 && (square[at - 1] > value || (square[at - 1] == value && index[at - 1] > other)); --at) {
            square[at] = square[at - 1];
            index[at] = index[at - 1];
        }
        square[at] = value;
        index[at] = other;
    }
}

// One thread per neighbour: how many members two sorted lists of neighbours share. Bytes: 8 k per thread, from L2.
extern "C" __global__ void shared_counts(const int* __restrict__ sorted, const int* __restrict__ indices, long long n,
                                         int k, int* __restrict__ counts) {
    long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= n * k) return;
    const int* a = sorted + at / k * k;
    const int* b = sorted + (long long)indices[at] * k;
    int i = 0, j = 0, total = 0;
    while (i < k && j < k) {
        total += a[i] == b[j];
        int first = a[i], second = b[j];
        i += first <= second;
        j += second <= first;
    }
    counts[at] = total;
}
