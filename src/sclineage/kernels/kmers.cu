// The k-mer filter on the device; the contract is in kmers.py, the constants come from kmers.cuda_defines().
// One thread per read, no barrier. A read costs its bases once for the seeds (filter of 16 bytes per k-mer, in L2) and,
// in the few that have one, once more for the k-mers with a table look-up each.

typedef unsigned long long u64;
typedef unsigned int u32;
typedef unsigned char u8;

__device__ __forceinline__ u64 base_of(u8 letter) {
    switch (letter & 0xDF) {
        case 'A': return 0ull;
        case 'C': return 1ull;
        case 'G': return 2ull;
        case 'T': return 3ull;
    }
    return 4ull;
}

__device__ __forceinline__ long long slot_of(u64 code, const u64* keys, long long n_slots) {
    long long slot = (long long)(((code ^ (code >> 32)) * FACTOR) >> 32) & (n_slots - 1);
    while (keys[slot] != code && keys[slot] != EMPTY) slot = (slot + 1) & (n_slots - 1);
    return slot;
}

// Letters 1 to 8 and 5 to 12 of a word, byte by byte because reads are not aligned; then as in kmers_cpu.seed_word.
__device__ bool seeded(const u8* read, int length, int k, const u64* seeds, long long n_seeds) {
    bool hit = false;
    for (int at = 0; at + SEED <= length; at += k - SEED + 1) {
        u64 first = 0ull, second = 0ull;
        for (int j = 0; j < 8; ++j) {
            first |= (u64)read[at + j] << (8 * j);
            second |= (u64)read[at + SEED - 8 + j] << (8 * j);
        }
        u64 mixed = ((first & LETTER_BITS) | (((second >> 32) & LETTER_BITS) << 3)) * FACTOR;
        u64 bits = (1ull << (mixed >> 58)) | (1ull << ((mixed >> 52) & 63ull));
        long long word = (long long)((mixed >> 26) & 0x3FFFFFFull) & (n_seeds - 1);
        hit = hit || (seeds[word] & bits) == bits;
    }
    return hit;
}

extern "C" __global__ void scan(const u8* __restrict__ buffer, const long long* __restrict__ start,
                                const int* __restrict__ lengths, long long n, int k, const u64* __restrict__ keys,
                                const short* __restrict__ sets, const u8* __restrict__ flags, long long n_slots,
                                const short* __restrict__ meet, int n_sets, const u64* __restrict__ seeds,
                                long long n_seeds, u8* __restrict__ kind, int* __restrict__ set, int* __restrict__ unique_bases,
                                int* __restrict__ endogenous_bases, bool* __restrict__ junction) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const u8* read = buffer + start[i];
    int length = lengths[i];
    kind[i] = NOTHING;
    set[i] = -1;
    unique_bases[i] = 0;
    endogenous_bases[i] = 0;
    junction[i] = false;
    if (length < k || !seeded(read, length, k, seeds, n_seeds)) return;
    u64 keep = (1ull << (2 * k)) - 1ull, forward = 0ull, backward = 0ull;
    int run = 0, stretch = 0, bases = 0, native = 0, first = -1, last = -1, last_native = -1, own = -1, shared = -1;
    bool far = false, clean = false, crossing = false, apart = false;
    for (int at = 0; at < length; ++at) {
        u64 base = base_of(read[at]);
        run = base < 4ull ? run + 1 : 0;
        forward = ((forward << 2) | (base & 3ull)) & keep;
        backward = (backward >> 2) | (((base & 3ull) ^ 3ull) << (2 * (k - 1)));
        if (run < k) continue;
        u64 code = forward < backward ? forward : backward;
        long long slot = slot_of(code, keys, n_slots);
        if (keys[slot] != code) continue;
        u8 flag = flags[slot];
        if (flag & FLAG_ENDOGENOUS) {
            native += last_native < 0 || at - last_native > k ? k : at - last_native;
            last_native = at;
            continue;
        }
        if (flag & FLAG_SHARED) {
            shared = shared < 0 ? sets[slot] : meet[shared * n_sets + sets[slot]];
            continue;
        }
        own = own < 0 ? sets[slot] : meet[own * n_sets + sets[slot]];
        bool unbroken = last >= 0 && last == at - 1;
        stretch = unbroken ? stretch + 1 : k;
        far = (far && unbroken) || !(flag & FLAG_NEAR);
        clean = clean || (far && stretch >= CLEAN_RUN);
        crossing = crossing || ((flag & FLAG_JUNCTION) && !(flag & FLAG_NEAR));
        bases += last < 0 || at - last > k ? k : at - last;
        first = first < 0 ? at : first;
        apart = apart || at - first >= k;
        last = at;
    }
    if (clean || crossing || apart) {
        kind[i] = own < n_sets - 1 ? UNIQUE : SEVERAL;
    } else if (shared >= 0) {
        kind[i] = SHARED;
        own = shared;
    } else {
        kind[i] = own >= 0 ? WEAK : NOTHING;
    }
    set[i] = own;
    unique_bases[i] = bases;
    endogenous_bases[i] = native;
    junction[i] = crossing;
}
