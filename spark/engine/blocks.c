// The loop of blocks.py, which describes the function and its arguments.

#include <stdint.h>

// `marks` has a bit for each place of each block, and `rated` the half stars of the marked ones.
// All bits are 0 before and after. A user's ratings are marked in any order and read in the order
// of the bits, so nothing is sorted.
void split_by_block(
    const int64_t *starts, int64_t users, const int32_t *ranks, const uint8_t *halves,
    int64_t blocks, int64_t words, int halves_bits, uint64_t *marks, uint8_t *rated,
    uint16_t *lengths, int64_t *ends, uint16_t *entries
) {
    for (int64_t user = 0; user < users; user++) {
        for (int64_t k = starts[user]; k < starts[user + 1]; k++) {
            if (ranks[k] < 0) continue;
            int64_t at = ranks[k] % blocks * words * 64 + ranks[k] / blocks;
            marks[at / 64] |= (uint64_t)1 << at % 64;
            rated[at] = halves[k];
        }
        for (int64_t block = 0; block < blocks; block++) {
            int64_t begin = ends[block];
            for (int64_t word = block * words; word < (block + 1) * words; word++) {
                for (; marks[word]; marks[word] &= marks[word] - 1) {
                    int64_t at = word * 64 + __builtin_ctzll(marks[word]);
                    int64_t place = at - block * words * 64;
                    entries[ends[block]++] = (uint16_t)(place << halves_bits | rated[at]);
                }
            }
            lengths[block * users + user] = (uint16_t)(ends[block] - begin);
        }
    }
}
