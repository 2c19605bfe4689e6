"""A rating as a 16-bit entry: 12 bits for the movie's place in its block, 4 for half stars."""

ENTRY_BITS = 16
HALVES_BITS = 4
BLOCK_MOVIES = 1 << (ENTRY_BITS - HALVES_BITS)
MAX_HALVES = 10
# The sums of a cell are 32 bits wide, and a rating adds at most 10 * 10 to one of them.
MAX_RATERS = (2**31 - 1) // MAX_HALVES**2
