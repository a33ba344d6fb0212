// Barcode matching on the device; the contract is in barcodes.py, the constants come from barcodes.cuda_defines().
// Every kernel gives one thread to one read and has no barrier. Bytes moved per read, 16 bases: pack 16 + 9,
// look_up 9 + 4 and one atomic, correct 26 + 14 and a count gather per candidate. The tables of a product list are
// 1 to 3 MB and stay in the L2 cache.
// Packed reads are matched by two kernels, a block to a segment of SEGMENT reads: first_pass reads 5 bytes (codes of
// 32 bits, n_at), writes 10, adds one atomic, and lists the reads of its segment that are not on the list (2 bytes,
// one atomic on the segment's own counter); second_pass corrects those alone, in full warps, with 32 bytes of sector
// for each candidate's quality and count.

typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned char u8;

struct Tables {  // meaning: Tables in whitelists_cpu.py
    int length, half;
    const long long* left;
    const int* right;
    const u32 *left_mask, *right_mask;
    const u64* keys;
    const int* slots;
    const u64* bits;
    long long n_slots, n_bits;
};

#define TABLE_PARAMETERS                                                                                             \
    int length, int half, const long long *left, const int *right, const u32 *left_mask, const u32 *right_mask,      \
        const u64 *keys, const int *slots, const u64 *bits, long long n_slots, long long n_bits
#define TABLES                                                                                                       \
    Tables { length, half, left, right, left_mask, right_mask, keys, slots, bits, n_slots, n_bits }

__device__ __forceinline__ long long read_of_thread() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

// Rounded one by one, never fused: the same bits as on the CPU.
__device__ __forceinline__ double times(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ double plus(double a, double b) { return __dadd_rn(a, b); }

__device__ __forceinline__ u64 base_at(u64 code, int shift) { return (code >> shift) & 3ull; }

// The code with the base at `shift` replaced by the k-th of the three others, ascending.
__device__ __forceinline__ u64 substituted(u64 code, int shift, int k) {
    u64 base = base_at(code, shift), other = (u64)k;
    if (other >= base) ++other;
    return code ^ ((base ^ other) << shift);
}

// --- membership ------------------------------------------------------------------------------------------------------
__device__ int find_product(u64 code, const Tables& t) {
    long long start = t.left[code >> t.half];
    int word = t.right[code & ((1ull << t.half) - 1ull)];
    bool listed = start >= 0 && (start >> 32) == (word >> RANK_BITS);
    return listed ? (int)start + (word & RANK_MASK) : -1;
}

__device__ __forceinline__ long long cell_of(u64 code, u64 factor, long long size) {
    return (long long)(((code ^ (code >> 32)) * factor) >> 32) & (size - 1);
}

__device__ int find_hash(u64 code, const Tables& t) {
    long long bit = cell_of(code, HASH_FILTER, t.n_bits);
    if (((t.bits[bit >> 6] >> (bit & 63)) & 1ull) == 0ull) return -1;
    long long slot = cell_of(code, HASH_SLOT, t.n_slots);
    for (;;) {
        int row = t.slots[slot];
        if (row < 0 || t.keys[row] == code) return row;
        slot = (slot + 1) & (t.n_slots - 1);
    }
}

__device__ int find(u64 code, const Tables& t) { return t.half > 0 ? find_product(code, t) : find_hash(code, t); }

// --- packing ---------------------------------------------------------------------------------------------------------
__device__ __forceinline__ int base_of(u8 letter) {
    switch (letter & 0xDF) {
        case 'A': return 0;
        case 'C': return 1;
        case 'G': return 2;
        case 'T': return 3;
        case 'N': return 4;
    }
    return letter == '.' ? 4 : 5;
}

extern "C" __global__ void pack(const u8* __restrict__ sequences, long long n, int length, u64* __restrict__ codes,
                                signed char* __restrict__ n_at) {
    long long i = read_of_thread();
    if (i >= n) return;
    const u8* read = sequences + i * length;
    u64 code = 0ull;
    int at = NO_N;
    for (int position = 0; position < length; ++position) {
        int base = base_of(read[position]);
        if (base == 5) {
            code = 0ull;
            at = BAD_LETTER;
            break;
        }
        if (base == 4) {
            at = at == NO_N ? position : MANY_N;
            base = N_CODE;
        }
        code = (code << 2) | (u64)base;
    }
    codes[i] = code;
    n_at[i] = (signed char)at;
}

// --- exact matches ---------------------------------------------------------------------------------------------------
extern "C" __global__ void look_up(const u64* __restrict__ codes, const signed char* __restrict__ n_at, long long n,
                                   TABLE_PARAMETERS, int* __restrict__ ranks, int* __restrict__ counts) {
    long long i = read_of_thread();
    if (i >= n) return;
    int rank = n_at[i] == NO_N ? find(codes[i], TABLES) : -1;
    ranks[i] = rank;
    if (rank >= 0) atomicAdd(&counts[rank], 1);
}

// --- candidates one mismatch away, by position and then base ----------------------------------------------------------
template <class Visit>
__device__ void visit_product(u64 code, const Tables& t, Visit& visit) {
    int right_bases = t.half / 2, left_bases = t.length - right_bases;
    u64 high = code >> t.half, low = code & ((1ull << t.half) - 1ull);
    long long start = t.left[high];
    int word = t.right[low];
    u32 mask = word >= 0 ? t.left_mask[high] : 0u;
    for (; mask != 0u; mask &= mask - 1u) {
        int bit = __ffs((int)mask) - 1;
        long long neighbour = t.left[substituted(high, 2 * (left_bases - 1 - bit / 3), bit % 3)];
        if ((neighbour >> 32) == (word >> RANK_BITS)) visit((int)neighbour + (word & RANK_MASK), bit / 3);
    }
    mask = start >= 0 ? t.right_mask[low] : 0u;
    for (; mask != 0u; mask &= mask - 1u) {
        int bit = __ffs((int)mask) - 1;
        int entry = t.right[substituted(low, 2 * (right_bases - 1 - bit / 3), bit % 3)];
        if ((entry >> RANK_BITS) == (start >> 32)) visit((int)start + (entry & RANK_MASK), left_bases + bit / 3);
    }
}

template <class Visit>
__device__ void visit_generic(u64 code, const Tables& t, Visit& visit) {
    for (int position = 0; position < t.length; ++position)
        for (int k = 0; k < 3; ++k) {
            int rank = find_hash(substituted(code, 2 * (t.length - 1 - position), k), t);
            if (rank >= 0) visit(rank, position);
        }
}

template <class Visit>
__device__ void visit_candidates(u64 code, int n_at, const Tables& t, Visit& visit) {
    if (n_at == MANY_N) return;
    if (n_at >= 0) {
        int shift = 2 * (t.length - 1 - n_at);
        for (u64 base = 0ull; base < 4ull; ++base) {
            int rank = find((code & ~(3ull << shift)) | (base << shift), t);
            if (rank >= 0) visit(rank, n_at);
        }
    } else if (t.half > 0) {
        visit_product(code, t, visit);
    } else {
        visit_generic(code, t, visit);
    }
}

// State of a read that is not on the list and of which no candidate was taken.
__device__ __forceinline__ int refused(int n_at, int n_candidates) {
    if (n_at != NO_N) return WITH_N;
    return n_candidates > 0 ? AMBIGUOUS : NONE;
}

// --- correction ------------------------------------------------------------------------------------------------------
struct Weigh {  // sums likelihoods in the order of the visits and keeps the first highest
    int policy;
    const int* counts;
    const double* error;
    const u8* quality;
    int n, best, where;
    double highest, total;

    __device__ void operator()(int rank, int position) {
        double likelihood = 1.0;
        if (policy == CELLRANGER) likelihood = times(plus(1.0, (double)counts[rank]), error[quality[position]]);
        total = plus(total, likelihood);
        if (likelihood > highest) {
            highest = likelihood;
            best = rank;
            where = position;
        }
        ++n;
    }
};

struct Out {  // what becomes of each read
    int* ranks;
    u8* states;
    float* posteriors;
    signed char* changed;

    __device__ void put(long long i, int rank, int state, double posterior, int where) const {
        ranks[i] = rank;
        states[i] = (u8)state;
        posteriors[i] = (float)posterior;
        changed[i] = (signed char)where;
    }
};

__device__ void decide(long long i, u64 code, int at, const u8* quality, const Tables& t, const int* counts,
                       const double* error, double threshold, int policy, const Out& out) {
    Weigh weigh = {policy, counts, error, quality, 0, -1, NO_N, 0.0, 0.0};
    if (policy == UNIQUE && at != NO_N) {
        int rank = find(code, t);
        if (rank >= 0) weigh(rank, NO_N);
    }
    if (weigh.n == 0) visit_candidates(code, policy == UNIQUE ? NO_N : at, t, weigh);
    double posterior = weigh.n > 0 ? __ddiv_rn(weigh.highest, weigh.total) : 0.0;
    if (weigh.n > 0 && posterior >= threshold)
        out.put(i, weigh.best, CORRECTED, posterior, weigh.where);
    else
        out.put(i, -1, refused(at, weigh.n), posterior, NO_N);
}

extern "C" __global__ void correct(const u64* __restrict__ codes, const signed char* __restrict__ n_at, long long n,
                                   const u8* __restrict__ qualities, int quality_step, TABLE_PARAMETERS,
                                   const int* __restrict__ counts, const double* __restrict__ error,
                                   double threshold, int policy, int* __restrict__ ranks, u8* __restrict__ states,
                                   float* __restrict__ posteriors, signed char* __restrict__ changed) {
    long long i = read_of_thread();
    if (i >= n) return;
    Out out = {ranks, states, posteriors, changed};
    decide(i, codes[i], n_at[i], qualities + i * quality_step, TABLES, counts, error, threshold, policy, out);
}

// --- both passes over packed reads ------------------------------------------------------------------------------------
struct Codes {  // of 32 bits (up to 16 bases) or 64
    const void* at;
    int width;
    __device__ u64 operator[](long long i) const {
        return width == 32 ? (u64)((const u32*)at)[i] : ((const u64*)at)[i];
    }
};

extern "C" __global__ void first_pass(const void* __restrict__ packed, int width,
                                      const signed char* __restrict__ n_at, long long n, TABLE_PARAMETERS, int* __restrict__ counts,
                                      int* __restrict__ ranks, u8* __restrict__ states,
                                      float* __restrict__ posteriors, signed char* __restrict__ changed,
                                      unsigned short* __restrict__ rows, int* __restrict__ waiting) {
    long long first = (long long)blockIdx.x * SEGMENT;
    long long last = first + SEGMENT < n ? first + SEGMENT : n;
    Tables t = TABLES;
    Codes codes = {packed, width};
    Out out = {ranks, states, posteriors, changed};
    for (long long i = first + threadIdx.x; i < last; i += blockDim.x) {
        int rank = n_at[i] == NO_N ? find(codes[i], t) : -1;
        if (rank >= 0) {
            atomicAdd(&counts[rank], 1);
            out.put(i, rank, EXACT, 1.0, NO_N);
        } else {
            rows[first + atomicAdd(&waiting[blockIdx.x], 1)] = (unsigned short)(i - first);
        }
    }
}

// `offsets` says where the quality rows of a segment begin if there are only those of the waiting reads, else it is 0.
extern "C" __global__ void second_pass(const void* __restrict__ packed, int width,
                                       const signed char* __restrict__ n_at, const u8* __restrict__ qualities, int quality_step,
                                       const long long* __restrict__ offsets, TABLE_PARAMETERS,
                                       const int* __restrict__ counts, const double* __restrict__ error,
                                       double threshold, int policy, const unsigned short* __restrict__ rows,
                                       const int* __restrict__ waiting, int* __restrict__ ranks,
                                       u8* __restrict__ states, float* __restrict__ posteriors,
                                       signed char* __restrict__ changed) {
    long long first = (long long)blockIdx.x * SEGMENT;
    Codes codes = {packed, width};
    Out out = {ranks, states, posteriors, changed};
    for (int k = threadIdx.x; k < waiting[blockIdx.x]; k += blockDim.x) {
        long long i = first + rows[first + k];
        long long quality = offsets == nullptr ? i : offsets[blockIdx.x] + k;
        decide(i, codes[i], n_at[i], qualities + quality * quality_step, TABLES, counts, error, threshold, policy, out);
    }
}

// The waiting reads of all segments one after another: their numbers, from `offsets` of their segment on.
extern "C" __global__ void list_waiting(const unsigned short* __restrict__ rows, const int* __restrict__ waiting,
                                        const long long* __restrict__ offsets, int* __restrict__ listed) {
    long long first = (long long)blockIdx.x * SEGMENT;
    for (int k = threadIdx.x; k < waiting[blockIdx.x]; k += blockDim.x)
        listed[offsets[blockIdx.x] + k] = (int)(first + rows[first + k]);
}

// --- calibrated posterior ----------------------------------------------------------------------------------------------
struct Share {
    const float* weights;
    const double* odds;
    const u8* quality;
    bool with_n;
    int n, best, where;
    double highest, mass;

    __device__ void operator()(int rank, int position) {
        double share = times((double)weights[rank], with_n ? 1.0 : odds[quality[position]]);
        mass = plus(mass, share);
        if (share > highest) {
            highest = share;
            best = rank;
            where = position;
        }
        ++n;
    }
};

__device__ double far_mass(u64 code, int first, const Tables& t, const Share& s, int skip) {
    double mass = 0.0;
    for (int position = first; position < t.length; ++position) {
        if (position == skip) continue;
        for (int k = 0; k < 3; ++k) {
            int rank = find(substituted(code, 2 * (t.length - 1 - position), k), t);
            if (rank >= 0) mass = plus(mass, times((double)s.weights[rank], s.odds[s.quality[position]]));
        }
    }
    return mass;
}

__device__ double two_mismatches(u64 code, int n_at, const Tables& t, const Share& s) {
    double mass = 0.0;
    if (n_at >= 0) {
        int shift = 2 * (t.length - 1 - n_at);
        for (u64 base = 0ull; base < 4ull; ++base)
            mass = plus(mass, far_mass((code & ~(3ull << shift)) | (base << shift), 0, t, s, n_at));
        return mass;
    }
    for (int position = 0; position < t.length - 1; ++position)
        for (int k = 0; k < 3; ++k) {
            u64 changed = substituted(code, 2 * (t.length - 1 - position), k);
            mass = plus(mass, times(s.odds[s.quality[position]], far_mass(changed, position + 1, t, s, -1)));
        }
    return mass;
}

extern "C" __global__ void shares(const u64* __restrict__ codes, const signed char* __restrict__ n_at,
                                  const int* __restrict__ exact, long long n, const u8* __restrict__ qualities,
                                  int quality_step, TABLE_PARAMETERS, const float* __restrict__ weights,
                                  const double* __restrict__ odds, const double* __restrict__ inverse,
                                  int* __restrict__ ranks, signed char* __restrict__ changed,
                                  int* __restrict__ found, double* __restrict__ best_mass,
                                  double* __restrict__ mass, double* __restrict__ scale) {
    long long i = read_of_thread();
    if (i >= n) return;
    Tables t = TABLES;
    int at = n_at[i], self = exact[i];
    Share share = {weights, odds, qualities + i * quality_step, at != NO_N, 0, -1, NO_N, 0.0, 0.0};
    visit_candidates(codes[i], at, t, share);
    double highest = share.highest, total = share.mass;
    if (self >= 0) {
        highest = (double)weights[self];
        total = plus(total, highest);
    } else if (at != MANY_N) {
        total = plus(total, two_mismatches(codes[i], at, t, share));
    }
    double product = 1.0;
    for (int position = 0; position < length; ++position)
        product = times(product, position == at ? 4.0 : inverse[share.quality[position]]);
    ranks[i] = self >= 0 ? self : share.best;
    changed[i] = (signed char)(self >= 0 ? NO_N : share.where);
    found[i] = share.n;
    best_mass[i] = highest;
    mass[i] = total;
    scale[i] = product;
}

// --- exact reads of the neighbours of a barcode -----------------------------------------------------------------------
struct Total {
    const int* counts;
    long long sum;
    __device__ void operator()(int rank, int) { sum += counts[rank]; }
};

extern "C" __global__ void spill(const int* __restrict__ counts, const u64* __restrict__ codes, long long n,
                                 TABLE_PARAMETERS, long long* __restrict__ out) {
    long long i = read_of_thread();
    if (i >= n) return;
    Tables t = TABLES;
    Total total = {counts, 0};
    visit_candidates(codes[i], NO_N, t, total);
    out[i] = total.sum;
}
