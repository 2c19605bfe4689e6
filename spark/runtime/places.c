// The loops of places.py, which describes the functions and their arguments.
//
// Both have a table with open addressing: 2^bits slots, each with the index of a value or -1. The
// slot of a value is the top bits of its product with 2^n divided by the golden ratio, which
// scatters values that follow closely (Knuth, The Art of Computer Programming, volume 3, section
// 6.4); if another value has it, the next slot is tried.

#include <stdbool.h>
#include <stdint.h>

static uint32_t slot_of_id(int32_t id, int bits) {
    return (uint32_t)id * 2654435769u >> (32 - bits);
}

void find_places(
    const int32_t *ids, int64_t count, const int32_t *wanted, int64_t size, int32_t *slots, int bits,
    int32_t *found
) {
    uint32_t last = (1u << bits) - 1;
    for (int64_t k = 0; k < count; k++) {
        uint32_t slot = slot_of_id(ids[k], bits);
        while (slots[slot] >= 0) slot = (slot + 1) & last;
        slots[slot] = (int32_t)k;
    }
    for (int64_t k = 0; k < size; k++) {
        uint32_t slot = slot_of_id(wanted[k], bits);
        while (slots[slot] >= 0 && ids[slots[slot]] != wanted[k]) slot = (slot + 1) & last;
        found[k] = slots[slot];
    }
}

void find_first(const int64_t *keys, int64_t count, int32_t *slots, int bits, bool *are_first) {
    uint64_t last = ((uint64_t)1 << bits) - 1;
    for (int64_t k = 0; k < count; k++) {
        uint64_t slot = (uint64_t)keys[k] * 11400714819323198485u >> (64 - bits);
        while (slots[slot] >= 0 && keys[slots[slot]] != keys[k]) slot = (slot + 1) & last;
        if ((are_first[k] = slots[slot] < 0)) slots[slot] = (int32_t)k;
    }
}
