// Nearest neighbours on the device; the contract is in knn.py, the constants come from knn.cuda_defines().

#include "tensor.cuh"

#define ALL 0xffffffffu
#define WARPS (BLOCK / 32)
#define WORDS 32        // of a point in half numbers, two each: 62 coordinates and the two parts of half a norm
#define STRIDE 34       // words between points in shared memory: no two lanes meet in a bank
#define QUEUE 64
#define PADDING 0xfb53u  // half a norm beyond all
#define NEVER 3e38f

typedef long long i64;
typedef unsigned long long u64;

struct __align__(16) Four {
    float a, b, c, d;
};

// Half squared distance of two boxes.
__device__ float boxes_gap(const float* low, const float* high, const float* other_low, const float* other_high) {
    float total = 0.0f;
    for (int j = 0; j < DIMENSIONS; ++j) {
        float gap = fmaxf(fmaxf(low[j] - other_high[j], other_low[j] - high[j]), 0.0f);
        total += gap * gap;
    }
    return 0.5f * total;
}

__device__ float score_of(const float* query, const float* point, float half) {
    const Four *x = (const Four*)query, *y = (const Four*)point;
    float total = half;
#pragma unroll
    for (int j = 0; j < DIMENSIONS / 4; ++j) {
        Four v = x[j], w = y[j];
        total -= v.a * w.a + v.b * w.b + v.c * w.c + v.d * w.d;
    }
    return total;
}

// Pairs that a warp found to be near, to be scored in float32 and put into the list of the query's lane.
struct Queue {
    int *points, *owners;
    float* scores;
    int count;

    __device__ void put(bool wanted, int point, int owner) {
        unsigned votes = __ballot_sync(ALL, wanted);
        int at = count + __popc(votes & ((1u << (threadIdx.x % 32)) - 1));
        if (wanted) {
            points[at] = point;
            owners[at] = owner;
        }
        count += __popc(votes);
    }
};

// The best candidates of a lane's query, by score.
struct List {
    float scores[CANDIDATES];
    int found[CANDIDATES];

    __device__ void clear() {
        for (int slot = 0; slot < CANDIDATES; ++slot) {
            scores[slot] = FAR;
            found[slot] = -1;
        }
    }
    __device__ void insert(float score, int row) {
        int at = CANDIDATES - 1;
        for (; at > 0 && scores[at - 1] > score; --at) {
            scores[at] = scores[at - 1];
            found[at] = found[at - 1];
        }
        scores[at] = score;
        found[at] = row;
    }
};

// Scores what is queued and inserts it; the list's worst score.
__device__ float flush(Queue& queue, List& list, float worst, i64 first, i64 me, const float* points,
                       const float* half) {
    int lane = threadIdx.x % 32;
    __syncwarp();
    for (int i = lane; i < queue.count; i += 32) {
        i64 p = queue.points[i], q = first + queue.owners[i];
        queue.scores[i] = score_of(points + q * DIMENSIONS, points + p * DIMENSIONS, half[p]);
    }
    __syncwarp();
    for (int i = 0; i < queue.count; ++i)
        if (queue.owners[i] == lane && queue.scores[i] < worst && queue.points[i] != me) {
            list.insert(queue.scores[i], queue.points[i]);
            worst = list.scores[CANDIDATES - 1];
        }
    __syncwarp();
    queue.count = 0;
    return worst;
}

// Copies a leaf in half numbers into shared memory.
__device__ void fetch(const unsigned* words, i64 start, int width, unsigned* tile) {
    for (int i = threadIdx.x; i < LEAF * WORDS / 2; i += BLOCK) {
        int row = i / (WORDS / 2), word = 2 * (i % (WORDS / 2));
        u64 two = word == WORDS - 2 ? (u64)PADDING << 32 : 0;
        if (row < width) two = *(const u64*)(words + (start + row) * WORDS + word);
        *(u64*)(tile + row * STRIDE + word) = two;
    }
}

// One block per two leaves of queries, a warp per 32 of them, their coordinates in registers in half numbers. It meets the
// `count` leaves (a power of two) from `data` on, those first that differ little from `entry` of the query leaf. A leaf that
// boxes do not exclude goes through shared memory and the tensor cores; what their product, with the most it may be wrong
// (half numbers are off by 2^-11, sums by less than 2^-14), does not exclude is scored in float32 and put into the list of
// the query. Bytes: 128 per point and block, from L2.
extern "C" __global__ void __launch_bounds__(BLOCK, 2) search(
    const float* __restrict__ points, const unsigned* __restrict__ query_words,
    const unsigned* __restrict__ point_words, const i64* __restrict__ starts, i64 leaves, i64 data, i64 count,
    const i64* __restrict__ entry, const float* __restrict__ low, const float* __restrict__ high,
    const float* __restrict__ half, const float* __restrict__ head_half, const float* __restrict__ reach,
    int* __restrict__ rows, float* __restrict__ bound) {
    __shared__ __align__(8) unsigned tile[LEAF * STRIDE];
    __shared__ unsigned needed[WARPS];
    __shared__ int farthest, queued[WARPS][QUEUE], owners[WARPS][QUEUE];
    __shared__ float scored[WARPS][QUEUE];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quarter = lane % 4;
    i64 pair = 2 * (i64)blockIdx.x, other = pair + 1 < leaves ? pair + 1 : pair, enter = entry[pair];
    i64 mine = pair + warp / (WARPS / 2), end = mine < leaves ? starts[mine + 1] : 0;
    i64 first = mine < leaves ? starts[mine] + warp % (WARPS / 2) * 32 : 0, at = first + lane;
    bool here = at < end;
    i64 from = here ? at : starts[pair];
    float own = half[from], tail = own - head_half[from], norm = sqrtf(2.0f * head_half[from]);
    float worst = here ? FAR : -FAR;
    List list;
    list.clear();
    Queue queue = {queued[warp], owners[warp], scored[warp], 0};
    unsigned a[2][4][4];
#pragma unroll
    for (int r = 0; r < 4; ++r) {
        i64 place = first + 8 * r + group;
        const unsigned* words = query_words + (place < end ? place : from) * WORDS + 8 * quarter;
#pragma unroll
        for (int s = 0; s < 4; ++s) {
            a[r / 2][s][r % 2] = words[2 * s];
            a[r / 2][s][2 + r % 2] = words[2 * s + 1];
        }
    }
    for (i64 base = 0; base < count; base += BLOCK) {
        if (threadIdx.x == 0) farthest = 0;
        __syncthreads();
        if (here) atomicMax(&farthest, __float_as_int(fmaxf(worst + own, 0.0f)));
        __syncthreads();
        i64 ahead = data + (enter ^ (base + threadIdx.x));
        bool near = false;
        if (base + threadIdx.x < count) {
            const float *l = low + ahead * DIMENSIONS, *h = high + ahead * DIMENSIONS;
            near = fminf(boxes_gap(low + pair * DIMENSIONS, high + pair * DIMENSIONS, l, h),
                         boxes_gap(low + other * DIMENSIONS, high + other * DIMENSIONS, l, h)) <=
                   __int_as_float(farthest);
        }
        unsigned votes = __ballot_sync(ALL, near);
        if (lane == 0) needed[warp] = votes;
        __syncthreads();
        for (int step = 0; step < BLOCK; ++step) {
            if (!(needed[step / 32] >> (step % 32) & 1)) continue;
            i64 leaf = data + (enter ^ (base + step)), start = starts[leaf];
            int width = (int)(starts[leaf + 1] - start);
            fetch(point_words, start, width, tile);
            __syncthreads();
            float far = reach[leaf], most = norm * far;
            float wrong = 1.05f / 1024.0f * most + (most + 0.5f * far * far + own) / 16384.0f + 3e-7f;
            float limit = here ? -UNIT * (worst + tail + wrong) : NEVER, limits[4];
#pragma unroll
            for (int r = 0; r < 4; ++r) limits[r] = __shfl_sync(ALL, limit, 8 * r + group);
            for (int column = 0; column < width; column += 8) {
                const unsigned* words = tile + (column + group) * STRIDE + 8 * quarter;
                float c[2][4] = {};
#pragma unroll
                for (int s = 0; s < 4; ++s) {
                    u64 two = *(const u64*)(words + 2 * s);
                    unsigned b0 = (unsigned)two, b1 = (unsigned)(two >> 32);
                    multiply_tile(c[0], a[0][s], b0, b1);
                    multiply_tile(c[1], a[1][s], b0, b1);
                }
                bool any = false;
#pragma unroll
                for (int i = 0; i < 8; ++i) any |= c[i / 4][i % 4] >= limits[i / 2];
                if (!__ballot_sync(ALL, any)) continue;
#pragma unroll
                for (int i = 0; i < 8; ++i) {
                    int point = column + 2 * quarter + i % 2;
                    queue.put(c[i / 4][i % 4] >= limits[i / 2] && point < width, (int)start + point,
                              8 * (i / 2) + group);
                    if (queue.count <= QUEUE - 32) continue;
                    worst = flush(queue, list, worst, first, at, points, half);
                    limit = here ? -UNIT * (worst + tail + wrong) : NEVER;
#pragma unroll
                    for (int r = 0; r < 4; ++r) limits[r] = __shfl_sync(ALL, limit, 8 * r + group);
                }
            }
            if (queue.count) worst = flush(queue, list, worst, first, at, points, half);
            __syncthreads();
        }
    }
    if (!here) return;
    bound[at] = worst + own;
    for (int slot = 0; slot < CANDIDATES; ++slot) rows[at * CANDIDATES + slot] = list.found[slot];
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
