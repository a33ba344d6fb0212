// Neighbour search on the device; the contract is in sequences.py, the method in sequences_plan.py, every constant in
// sequences_cuda.cuda_defines(). No kernel has a barrier. One thread takes one row of one task (build, probe), one row
// of one tile (brute), one sequence (duplicates) or one pair (pair_distances). Bytes of a row of up to 24 residues:
// build 16 + 8 and one atomic, probe 16 + 4 and 20 per candidate; brute reads 16 per pair, the same for a whole warp,
// and computes about 20 integer operations per word.

typedef unsigned long long u64;
typedef long long i64;
typedef unsigned char u8;

#include "union_find.cuh"

struct Index {
    const i64 *lengths, *widths, *counts, *strides, *bases, *firsts;
    const u64* words;
    const int *member_start, *members;
};

struct Metric {
    int kind, cutoff, gap, free, trim_left, trim_right;
    const u8* costs;
};

struct Sink {
    int mode, first_bits, second_bits;
    u64* codes;
    i64 capacity;
    u64* cursor;
    int* parent;
    u64* nearest;
    i64 k;
};

#define INDEX_PARAMETERS                                                                                              \
    const i64 *__restrict__ lengths, const i64 *__restrict__ widths, const i64 *__restrict__ counts,                  \
        const i64 *__restrict__ strides, const i64 *__restrict__ bases, const i64 *__restrict__ firsts,               \
        const u64 *__restrict__ words, const int *__restrict__ member_start, const int *__restrict__ members
#define INDEX                                                                                                         \
    Index { lengths, widths, counts, strides, bases, firsts, words, member_start, members }
#define METRIC_PARAMETERS                                                                                             \
    int kind, int cutoff, int gap, int free_gap, int trim_left, int trim_right, const u8 *__restrict__ costs
#define METRIC                                                                                                        \
    Metric { kind, cutoff, gap, free_gap, trim_left, trim_right, costs }
#define SINK_PARAMETERS                                                                                               \
    int mode, int first_bits, int second_bits, u64 *codes, i64 capacity, u64 *cursor, int *parent, u64 *nearest, i64 k
#define SINK                                                                                                          \
    Sink { mode, first_bits, second_bits, codes, capacity, cursor, parent, nearest, k }

__device__ __forceinline__ i64 thread_rank() { return (i64)blockIdx.x * blockDim.x + threadIdx.x; }

// --- residues --------------------------------------------------------------------------------------------------------
__device__ __forceinline__ u64 occupied(u64 word) {
    u64 any = word | (word >> 1);
    any |= any >> 2;
    return (any | (word >> 4)) & LOW;
}

__device__ __forceinline__ u64 merged(u64 word) { return word & ~(~(word >> 3) & (word >> 2) & (word >> 1) & LOW); }

__device__ __forceinline__ int lowest_bit(u64 word) { return __ffsll((i64)word) - 1; }

// Twelve residues from residue 12 * word + shift on; the caller masks.
__device__ __forceinline__ u64 shifted(const u64* words, i64 at, i64 stride, i64 width, i64 word, i64 shift) {
    i64 first = word + shift / PER_WORD;
    int bits = RESIDUE_BITS * (int)(shift % PER_WORD);
    u64 low = first < width ? words[at + first * stride] : 0ull;
    u64 high = first + 1 < width ? words[at + (first + 1) * stride] : 0ull;
    return (low >> bits) | (high << (RESIDUE_BITS * PER_WORD - bits));
}

__device__ __forceinline__ u64 fields_below(i64 count) {
    i64 held = count < 0 ? 0 : (count > PER_WORD ? PER_WORD : count);
    return (1ull << (RESIDUE_BITS * held)) - 1ull;
}

__device__ __forceinline__ u64 field_range(i64 word, i64 start, i64 end) {
    return fields_below(end - word * PER_WORD) & ~fields_below(start - word * PER_WORD);
}

// --- common stretches ------------------------------------------------------------------------------------------------
__device__ u64 differing_window(const Index& index, i64 a, i64 x, i64 from_x, i64 b, i64 y, i64 from_y) {
    return shifted(index.words, index.bases[a] + x, index.strides[a], index.widths[a], 0, from_x) ^
           shifted(index.words, index.bases[b] + y, index.strides[b], index.widths[b], 0, from_y);
}

__device__ i64 equal_from(const Index& index, i64 a, i64 x, i64 from_x, i64 b, i64 y, i64 from_y) {
    i64 rest_x = index.lengths[a] - from_x, rest_y = index.lengths[b] - from_y;
    i64 limit = rest_x < rest_y ? rest_x : rest_y;
    for (i64 done = 0; done < limit; done += PER_WORD) {
        u64 differing = differing_window(index, a, x, from_x + done, b, y, from_y + done) & fields_below(PER_WORD);
        if (differing) {
            i64 equal = done + lowest_bit(differing) / RESIDUE_BITS;
            return equal < limit ? equal : limit;
        }
    }
    return limit > 0 ? limit : 0;
}

__device__ i64 equal_at_end(const Index& index, i64 a, i64 x, i64 b, i64 y) {
    i64 length_a = index.lengths[a], length_b = index.lengths[b], done = 0;
    i64 limit = length_a < length_b ? length_a : length_b;
    while (done < limit) {
        i64 step = limit - done < PER_WORD ? limit - done : PER_WORD;
        u64 differing = differing_window(index, a, x, length_a - done - step, b, y, length_b - done - step);
        differing &= fields_below(step);
        if (differing) return done + step - 1 - (63 - __clzll((i64)differing)) / RESIDUE_BITS;
        done += step;
    }
    return limit;
}

// --- distances -------------------------------------------------------------------------------------------------------
__device__ int hamming(const Index& index, i64 group, i64 x, i64 y, int cutoff) {
    i64 at = index.bases[group], stride = index.strides[group];
    int total = 0;
    for (i64 word = 0; word < index.widths[group]; ++word) {
        total += __popcll(occupied(index.words[at + word * stride + x] ^ index.words[at + word * stride + y]));
        if (total > cutoff) return -1;
    }
    return total;
}

__device__ int levenshtein(const Index& index, i64 s, i64 x, i64 l, i64 y, int cutoff) {
    int reach[2][2 * MAX_EDITS + 4];
    i64 length = index.lengths[s], difference = index.lengths[l] - length;
    for (int place = 0; place < 2 * MAX_EDITS + 4; ++place) reach[0][place] = reach[1][place] = -2;
    for (int edits = 0; edits <= cutoff; ++edits) {
        int* now = reach[edits & 1] + MAX_EDITS + 2;
        const int* before = reach[1 - (edits & 1)] + MAX_EDITS + 2;
        for (int diagonal = -edits; diagonal <= edits; ++diagonal) {
            i64 at = 0;
            if (edits > 0) {
                at = before[diagonal] + 1;
                if (before[diagonal - 1] > at) at = before[diagonal - 1];
                if (before[diagonal + 1] + 1 > at) at = before[diagonal + 1] + 1;
            }
            if (at > length) at = length;
            if (at > index.lengths[l] - diagonal) at = index.lengths[l] - diagonal;
            if (at < 0 || at + diagonal < 0) {
                now[diagonal] = -2;
                continue;
            }
            at += equal_from(index, s, x, at, l, y, at + diagonal);
            now[diagonal] = (int)at;
            if (diagonal == difference && at == length) return edits;
        }
    }
    return -1;
}

__device__ void gap_range(const Metric& metric, i64 length, i64 difference, i64& first, i64& last) {
    if (difference == 0) {
        first = last = length - metric.trim_right;
    } else if (!metric.free) {
        i64 rest = length - 5;
        i64 fixed = 3 + (rest >= 0 ? rest / 2 : -((1 - rest) / 2));
        first = last = fixed < 6 ? fixed : 6;
    } else {
        first = 5;
        last = length - 5;
        while (first > last) {
            --first;
            ++last;
        }
    }
}

// The two sequences' residues of one word that a frame compares.
__device__ __forceinline__ void frame_words(const Index& index, const Metric& metric, i64 s, i64 x, i64 l, i64 y,
                                            i64 gap, i64 word, u64& ahead, u64& other) {
    u64 left = field_range(word, metric.trim_left, gap);
    u64 right = field_range(word, gap, index.lengths[s] - metric.trim_right);
    ahead = index.words[index.bases[s] + word * index.strides[s] + x] & (left | right);
    other = index.words[index.bases[l] + word * index.strides[l] + y] & left;
    if (right)
        other |= right & shifted(index.words, index.bases[l] + y, index.strides[l], index.widths[l], word,
                                 index.lengths[l] - index.lengths[s]);
}

__device__ int frame_cost(const Index& index, const Metric& metric, i64 s, i64 x, i64 l, i64 y, i64 gap, int most) {
    int total = 0;
    for (i64 word = 0; word < index.widths[s] && total <= most; ++word) {
        u64 ahead, other;
        frame_words(index, metric, s, x, l, y, gap, word, ahead, other);
        for (u64 differing = occupied(ahead ^ other); differing; differing &= differing - 1ull) {
            int at = lowest_bit(differing);
            total += metric.costs[((ahead >> at) & RESIDUE) * (RESIDUE + 1) + ((other >> at) & RESIDUE)];
        }
    }
    return total;
}

__device__ int tcrdist(const Index& index, const Metric& metric, i64 s, i64 x, i64 l, i64 y) {
    i64 difference = index.lengths[l] - index.lengths[s], first, last;
    i64 allowed = metric.cutoff - metric.gap * difference;
    if (allowed < 0) return -1;
    gap_range(metric, index.lengths[s], difference, first, last);
    int best = (int)allowed + 1;
    for (i64 gap = first; gap <= last; ++gap) {
        int cost = frame_cost(index, metric, s, x, l, y, gap, best - 1);
        if (cost < best) best = cost;
    }
    return best > allowed ? -1 : best + (int)(metric.gap * difference);
}

__device__ int distance(const Index& index, const Metric& metric, i64 s, i64 x, i64 l, i64 y) {
    if (metric.kind == HAMMING) return s == l ? hamming(index, s, x, y, metric.cutoff) : -1;
    if (metric.kind == LEVENSHTEIN) return levenshtein(index, s, x, l, y, metric.cutoff);
    return tcrdist(index, metric, s, x, l, y);
}

// --- which task owns a pair: substitutions ---------------------------------------------------------------------------
__device__ bool is_first_choice(i64 mismatched, i64 blocks, i64 limit, i64 wild) {
    if (mismatched & ~wild) return false;
    i64 missing = limit - __popcll((u64)mismatched);
    for (i64 block = 0; missing > 0 && block < blocks; ++block)
        if (!((mismatched >> block) & 1)) {
            mismatched |= 1ll << block;
            --missing;
        }
    return mismatched == wild;
}

__device__ u64 mismatch_word(const Index& index, const Metric& metric, i64 s, i64 x, i64 l, i64 y, i64 gap, i64 word) {
    if (metric.kind != TCRDIST)
        return occupied(index.words[index.bases[s] + word * index.strides[s] + x] ^
                        index.words[index.bases[l] + word * index.strides[l] + y]);
    u64 ahead, other;
    frame_words(index, metric, s, x, l, y, gap, word, ahead, other);
    return occupied(merged(ahead) ^ merged(other));
}

__device__ bool earlier_gap(const Index& index, const Metric& metric, const i64* task, i64 x, i64 y) {
    i64 s = task[SHORT], l = task[LONG], first, last;
    gap_range(metric, index.lengths[s], index.lengths[l] - index.lengths[s], first, last);
    for (i64 gap = first; gap < task[GAP]; ++gap) {
        i64 count = 0;
        for (i64 word = 0; word < index.widths[s]; ++word)
            count += __popcll(mismatch_word(index, metric, s, x, l, y, gap, word));
        if (count <= task[LIMIT]) return true;
    }
    return false;
}

__device__ bool aligned_task_owns(const Index& index, const Metric& metric, const i64* task, const i64* block_of, i64 x,
                                  i64 y) {
    i64 count = 0, mismatched = 0;
    for (i64 word = 0; word < index.widths[task[SHORT]]; ++word) {
        u64 differing = mismatch_word(index, metric, task[SHORT], x, task[LONG], y, task[GAP], word);
        count += __popcll(differing);
        if (count > task[LIMIT]) return false;
        for (; differing; differing &= differing - 1ull)
            mismatched |= 1ll << block_of[word * PER_WORD + lowest_bit(differing) / RESIDUE_BITS];
    }
    return is_first_choice(mismatched, task[BLOCKS], task[LIMIT], task[WILD]) && !earlier_gap(index, metric, task, x, y);
}

// --- which task owns a pair: edits -----------------------------------------------------------------------------------
__device__ i64 pair_of_blocks(i64 first, i64 second, i64 blocks) {
    if (first == second) second = first + 1 < blocks ? first + 1 : first - 1;
    return (1ll << first) | (1ll << second);
}

// Residues start + 1 ... end of y equal residues start ... end - 1 of x.
__device__ bool moves(const Index& index, i64 a, i64 x, i64 b, i64 y, i64 start, i64 end) {
    return start >= end || equal_from(index, b, y, start + 1, a, x, start) >= end - start;
}

__device__ bool owns_swap(const Index& index, const i64* task, const i64* block_of, i64 x, i64 y) {
    i64 group = task[SHORT], first = equal_from(index, group, x, 0, group, y, 0);
    i64 last = index.lengths[group] - 1 - equal_at_end(index, group, x, group, y);
    if (last - first < 2 || !moves(index, group, x, group, y, first, last)) return false;
    if (hamming(index, group, x, y, 2) >= 0) return false;
    if (y > x && moves(index, group, y, group, x, first, last)) return false;
    return task[WILD] == pair_of_blocks(block_of[first], block_of[last], task[BLOCKS]);
}

__device__ bool owns_one_longer(const Index& index, int cutoff, const i64* task, const i64* block_of, i64 x, i64 y) {
    i64 s = task[SHORT], l = task[LONG], length = index.lengths[s], blocks = task[BLOCKS];
    i64 first = equal_from(index, s, x, 0, l, y, 0), last = length - 1 - equal_at_end(index, s, x, l, y);
    i64 block = block_of[first < length ? first : length - 1];
    if (last < first)
        return task[WILD] == (cutoff == 1 ? 1ll << block : pair_of_blocks(block, block, blocks)) && task[MIDDLE] == 0;
    if (cutoff == 1) return false;
    i64 second = block_of[last];
    if (task[WILD] != pair_of_blocks(block, second, blocks)) return false;
    bool substitution_first = equal_from(index, s, x, first + 1, l, y, first + 1) >= last - first;
    if (!substitution_first && !moves(index, s, x, l, y, first, last)) return false;
    return task[MIDDLE] == (substitution_first || second <= block + 1 ? 0 : 1);
}

__device__ bool owns_two_longer(const Index& index, const i64* task, const i64* block_of, i64 x, i64 y) {
    i64 s = task[SHORT], l = task[LONG], length = index.lengths[s];
    i64 first = equal_from(index, s, x, 0, l, y, 0), rest = length - equal_at_end(index, s, x, l, y);
    i64 block = block_of[first < length ? first : length - 1];
    i64 second = rest > first ? block_of[rest < length ? rest : length - 1] : block;
    return task[WILD] == pair_of_blocks(block, second, task[BLOCKS]) && moves(index, s, x, l, y, first, rest);
}

__device__ bool owns(const Index& index, const Metric& metric, const i64* task, const i64* maps, i64 x, i64 y) {
    const i64* block_of = maps + task[MAP];
    if (task[MIDDLE] == ALIGNED) return aligned_task_owns(index, metric, task, block_of, x, y);
    i64 difference = index.lengths[task[LONG]] - index.lengths[task[SHORT]];
    if (difference == 0) return owns_swap(index, task, block_of, x, y);
    if (difference == 1) return owns_one_longer(index, metric.cutoff, task, block_of, x, y);
    return owns_two_longer(index, task, block_of, x, y);
}

// --- sinks -----------------------------------------------------------------------------------------------------------
__device__ void push_nearest(const Sink& sink, i64 row, u64 code) {
    u64* places = sink.nearest + row * sink.k;
    if (code >= ((volatile u64*)places)[sink.k - 1]) return;
    for (i64 place = 0; place < sink.k; ++place) {
        u64 held = atomicMin(&places[place], code);
        if (held > code) code = held;
        if (code == EMPTY) return;
    }
}

__device__ void take(const Sink& sink, i64 place, int first, int second, int gap) {
    u64 low = (u64)(first < second ? first : second), high = (u64)(first < second ? second : first);
    if (sink.mode == NEAREST) {
        push_nearest(sink, (i64)low, ((u64)gap << 32) | high);
        push_nearest(sink, (i64)high, ((u64)gap << 32) | low);
    } else if (place < sink.capacity) {
        sink.codes[place] = (low << sink.first_bits) | (high << sink.second_bits) | (u64)gap;
    }
}

__device__ void emit(const Index& index, const Sink& sink, i64 first, i64 second, int gap) {
    if (sink.mode == UNITE) {
        unite(sink.parent, (int)first, (int)second);
        return;
    }
    int a0 = index.member_start[first], a1 = index.member_start[first + 1];
    int b0 = index.member_start[second], b1 = index.member_start[second + 1];
    i64 place = sink.mode == FILL ? (i64)atomicAdd(sink.cursor, (u64)(a1 - a0) * (u64)(b1 - b0)) : 0;
    for (int a = a0; a < a1; ++a)
        for (int b = b0; b < b1; ++b) take(sink, place++, index.members[a], index.members[b], gap);
}

// --- joins -----------------------------------------------------------------------------------------------------------
// The task whose rows hold this row: starts has one more entry than there are tasks.
__device__ i64 task_of(const i64* starts, i64 tasks, i64 row) {
    i64 low = 0, high = tasks;
    while (high - low > 1) {
        i64 middle = (low + high) / 2;
        if (starts[middle] <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

__device__ u64 task_key(const u64* words, i64 at, i64 stride, i64 width, const u64* masks, i64 key_words,
                        i64 first_shift, i64 second_shift, bool merge) {
    u64 key = 0ull;
    for (i64 word = 0; word < key_words; ++word) {
        u64 kept = shifted(words, at, stride, width, word, 0) & masks[word];
        kept |= shifted(words, at, stride, width, word, first_shift) & masks[key_words + word];
        kept |= shifted(words, at, stride, width, word, second_shift) & masks[2 * key_words + word];
        key = (key ^ (merge ? merged(kept) : kept)) * MIX;
        key ^= key >> 32;
    }
    return key * MIX;
}

extern "C" __global__ void build(INDEX_PARAMETERS, int merge, const i64* __restrict__ tasks, i64 n_tasks,
                                 const i64* __restrict__ starts, const i64* __restrict__ mask_starts,
                                 const u64* __restrict__ masks, const i64* __restrict__ head_starts,
                                 const int* __restrict__ head_bits, int* head, int* following) {
    i64 row = thread_rank();
    if (row >= starts[n_tasks]) return;
    Index index = INDEX;
    i64 t = task_of(starts, n_tasks, row), s = tasks[t * COLUMNS + SHORT], x = row - starts[t];
    u64 key = task_key(index.words, index.bases[s] + x, index.strides[s], index.widths[s], masks + mask_starts[t],
                       index.widths[s], 0, 0, merge != 0);
    following[row] = atomicExch(&head[head_starts[t] + (i64)(key >> (64 - head_bits[t]))], (int)x);
}

extern "C" __global__ void probe(INDEX_PARAMETERS, METRIC_PARAMETERS, SINK_PARAMETERS, const i64* __restrict__ tasks,
                                 i64 n_tasks, const i64* __restrict__ starts, const i64* __restrict__ build_starts,
                                 const i64* __restrict__ maps, const i64* __restrict__ mask_starts,
                                 const u64* __restrict__ masks, const i64* __restrict__ head_starts,
                                 const int* __restrict__ head_bits, const int* __restrict__ head,
                                 const int* __restrict__ following) {
    i64 row = thread_rank();
    if (row >= starts[n_tasks]) return;
    Index index = INDEX;
    Metric metric = METRIC;
    Sink sink = SINK;
    i64 t = task_of(starts, n_tasks, row), y = row - starts[t];
    const i64* task = tasks + t * COLUMNS;
    i64 s = task[SHORT], l = task[LONG], difference = index.lengths[l] - index.lengths[s];
    i64 middle = task[MIDDLE] == ALIGNED ? difference : task[MIDDLE];
    bool itself = task[KIND] == SELF;
    u64 key = task_key(index.words, index.bases[l] + y, index.strides[l], index.widths[l], masks + mask_starts[t],
                       index.widths[s], middle, difference, metric.kind == TCRDIST);
    int x = head[head_starts[t] + (i64)(key >> (64 - head_bits[t]))];
    for (; x >= 0; x = following[build_starts[t] + x]) {
        if ((itself && x >= y) || (s == l && x == y) || !owns(index, metric, task, maps, x, y)) continue;
        int found = distance(index, metric, s, x, l, y);
        if (found >= 0) emit(index, sink, index.firsts[s] + x, index.firsts[l] + y, found);
    }
}

// --- brute force -----------------------------------------------------------------------------------------------------
// Mismatches over a task's frame, with the row's words and masks in registers.
template <int WIDTH>
struct Row {
    u64 ahead[WIDTH], left[WIDTH], right[WIDTH];

    __device__ Row(const Index& index, const Metric& metric, const i64* task, i64 x) {
        i64 s = task[SHORT];
        for (int word = 0; word < WIDTH; ++word) {
            left[word] = field_range(word, metric.trim_left, task[GAP]);
            right[word] = field_range(word, task[GAP], index.lengths[s] - metric.trim_right);
            ahead[word] = index.words[index.bases[s] + word * index.strides[s] + x] & (left[word] | right[word]);
            if (metric.kind == TCRDIST) ahead[word] = merged(ahead[word]);
        }
    }

    __device__ __forceinline__ int mismatches(const Index& index, i64 l, i64 y, i64 difference, bool merge) const {
        int count = 0;
        for (int word = 0; word < WIDTH; ++word) {
            u64 other = index.words[index.bases[l] + word * index.strides[l] + y] & left[word];
            if (right[word])
                other |= right[word] & shifted(index.words, index.bases[l] + y, index.strides[l], index.widths[l], word,
                                               difference);
            count += __popcll(occupied(ahead[word] ^ (merge ? merged(other) : other)));
        }
        return count;
    }
};

__device__ void brute_pair(const Index& index, const Metric& metric, const Sink& sink, const i64* task, i64 x, i64 y) {
    int found = distance(index, metric, task[SHORT], x, task[LONG], y);
    if (found >= 0) emit(index, sink, index.firsts[task[SHORT]] + x, index.firsts[task[LONG]] + y, found);
}

template <int WIDTH>
__device__ void brute_row(const Index& index, const Metric& metric, const Sink& sink, const i64* task, i64 x, i64 from,
                          i64 to) {
    Row<WIDTH> row(index, metric, task, x);
    i64 difference = index.lengths[task[LONG]] - index.lengths[task[SHORT]];
    for (i64 y = from; y < to; ++y)
        if (row.mismatches(index, task[LONG], y, difference, metric.kind == TCRDIST) <= task[LIMIT])
            brute_pair(index, metric, sink, task, x, y);
}

__device__ void brute_wide_row(const Index& index, const Metric& metric, const Sink& sink, const i64* task, i64 x,
                               i64 from, i64 to) {
    for (i64 y = from; y < to; ++y) {
        i64 count = 0, limit = task[LIMIT];
        for (i64 word = 0; limit != NO_FILTER && word < index.widths[task[SHORT]] && count <= limit; ++word)
            count += __popcll(mismatch_word(index, metric, task[SHORT], x, task[LONG], y, task[GAP], word));
        if (limit == NO_FILTER || count <= limit) brute_pair(index, metric, sink, task, x, y);
    }
}

// One block per tile: rows from tiles[3 b + 1] of task tiles[3 b], columns from tiles[3 b + 2].
extern "C" __global__ void brute(INDEX_PARAMETERS, METRIC_PARAMETERS, SINK_PARAMETERS, const i64* __restrict__ tasks,
                                 const i64* __restrict__ tiles) {
    Index index = INDEX;
    Metric metric = METRIC;
    Sink sink = SINK;
    const i64* tile = tiles + 3 * (i64)blockIdx.x;
    const i64* task = tasks + tile[0] * COLUMNS;
    i64 x = tile[1] + threadIdx.x, from = tile[2], to = from + TILE_COLUMNS;
    if (x >= task[ROW1]) return;
    if (to > index.counts[task[LONG]]) to = index.counts[task[LONG]];
    if (task[SHORT] == task[LONG] && from <= x) from = x + 1;
    i64 width = task[LIMIT] == NO_FILTER ? 0 : index.widths[task[SHORT]];
    if (width == 1)
        brute_row<1>(index, metric, sink, task, x, from, to);
    else if (width == 2)
        brute_row<2>(index, metric, sink, task, x, from, to);
    else if (width == 3)
        brute_row<3>(index, metric, sink, task, x, from, to);
    else
        brute_wide_row(index, metric, sink, task, x, from, to);
}

// --- duplicates and given pairs --------------------------------------------------------------------------------------
extern "C" __global__ void duplicates(INDEX_PARAMETERS, SINK_PARAMETERS, i64 n, i64 n_distinct) {
    i64 at = thread_rank();
    if (at >= n) return;
    Index index = INDEX;
    Sink sink = SINK;
    i64 low = 0, high = n_distinct;
    while (high - low > 1) {
        i64 middle = (low + high) / 2;
        if (index.member_start[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    int end = index.member_start[low + 1];
    i64 place = sink.mode == FILL ? (i64)atomicAdd(sink.cursor, (u64)(end - 1 - at)) : 0;
    for (i64 other = at + 1; other < end; ++other) take(sink, place++, index.members[at], index.members[other], 0);
}

extern "C" __global__ void pair_distances(INDEX_PARAMETERS, METRIC_PARAMETERS, const int* __restrict__ group_of,
                                          const int* __restrict__ first, const int* __restrict__ second, i64 pairs,
                                          unsigned short* __restrict__ gaps) {
    i64 pair = thread_rank();
    if (pair >= pairs) return;
    Index index = INDEX;
    Metric metric = METRIC;
    i64 u = first[pair] < second[pair] ? first[pair] : second[pair];
    i64 v = first[pair] < second[pair] ? second[pair] : first[pair];
    i64 a = group_of[u], b = group_of[v];
    int found = distance(index, metric, a, u - index.firsts[a], b, v - index.firsts[b]);
    if (found >= 0) gaps[pair] = (unsigned short)found;
}
