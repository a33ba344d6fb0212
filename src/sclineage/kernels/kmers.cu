// The k-mer filter on the device; the contract is in kmers.py, the constants come from kmers.cuda_defines().
// One thread per read, no barrier. A read costs its bases once for the seeds (a seventh of them, 2 MB bitmap in L2) and,
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

__device__ bool seeded(const u8* read, int length, int k, const u64* seeds) {
    for (int at = 0; at + SEED <= length; at += k - SEED + 1) {
        u64 word = 0ull;
        bool whole = true;
        for (int j = 0; j < SEED; ++j) {
            u64 base = base_of(read[at + j]);
            whole = whole && base < 4ull;
            word = (word << 2) | (base & 3ull);
        }
        if (whole && ((seeds[word >> 6] >> (word & 63ull)) & 1ull)) return true;
    }
    return false;
}

extern "C" __global__ void scan(const u8* __restrict__ buffer, const long long* __restrict__ start,
                                const int* __restrict__ lengths, long long n, int k, const u64* __restrict__ keys,
                                const u32* __restrict__ masks, const u8* __restrict__ flags, long long n_slots,
                                const u64* __restrict__ seeds, u8* __restrict__ kind, u32* __restrict__ mask,
                                int* __restrict__ unique_bases, bool* __restrict__ junction) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const u8* read = buffer + start[i];
    int length = lengths[i];
    kind[i] = NOTHING;
    mask[i] = 0u;
    unique_bases[i] = 0;
    junction[i] = false;
    if (length < k || !seeded(read, length, k, seeds)) return;
    u64 keep = (1ull << (2 * k)) - 1ull, forward = 0ull, backward = 0ull;
    int run = 0, stretch = 0, longest = 0, bases = 0, first = -1, last = -1;
    bool shared = false, crossing = false, apart = false;
    u32 common = 0xFFFFFFFFu;
    for (int at = 0; at < length; ++at) {
        u64 base = base_of(read[at]);
        run = base < 4ull ? run + 1 : 0;
        forward = ((forward << 2) | (base & 3ull)) & keep;
        backward = (backward >> 2) | (((base & 3ull) ^ 3ull) << (2 * (k - 1)));
        if (run < k) continue;
        u64 code = forward < backward ? forward : backward;
        long long slot = slot_of(code, keys, n_slots);
        if (keys[slot] != code) continue;
        if (flags[slot] & FLAG_SHARED) {
            shared = true;
            continue;
        }
        common &= masks[slot];
        crossing = crossing || (flags[slot] & FLAG_JUNCTION) != 0;
        stretch = last == at - 1 && last >= 0 ? stretch + 1 : k;
        longest = stretch > longest ? stretch : longest;
        bases += last < 0 || at - last > k ? k : at - last;
        first = first < 0 ? at : first;
        apart = apart || at - first >= k;
        last = at;
    }
    if (first < 0) {
        kind[i] = shared ? SHARED : NOTHING;
        return;
    }
    bool enough = apart || crossing || longest >= CLEAN_RUN;
    kind[i] = enough ? (common != 0u ? UNIQUE : SEVERAL) : WEAK;
    mask[i] = common;
    unique_bases[i] = bases;
    junction[i] = crossing;
}
