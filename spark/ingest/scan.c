// The loops of scan.py: read each line that has only numbers and separators.

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { USER, MOVIE, RATING, TIMESTAMP };
enum { DIGITS = 18, MAX_HALVES = 10 };

static inline bool is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

// The end of a fraction of zeros, as pandas writes the integers of a column with gaps.
static const uint8_t *after_zeros(const uint8_t *at, const uint8_t *end) {
    while (at < end && *at == '0') at++;
    return at;
}

// Read a whole number, whose fraction may be zeros. Returns its end, or NULL if there is none.
static const uint8_t *read_integer(const uint8_t *at, const uint8_t *end, int64_t *value) {
    const uint8_t *start = at;
    int64_t number = 0;
    for (; at < end && is_digit(*at); at++) {
        if (at - start == DIGITS) return NULL;
        number = number * 10 + (*at - '0');
    }
    if (at == start) return NULL;
    *value = number;
    return at < end && *at == '.' ? after_zeros(at + 1, end) : at;
}

// Read a rating, in half stars. Returns its end, or NULL if there is none.
static const uint8_t *read_half_stars(const uint8_t *at, const uint8_t *end, int64_t *value) {
    if (at >= end || *at < '0' || *at > '5') return NULL;
    int64_t halves = 2 * (*at++ - '0');
    if (at < end && *at == '.') {
        at++;
        if (at == end || (*at != '0' && *at != '5')) return NULL;
        if (*at++ == '5') halves++;
        at = after_zeros(at, end);
    }
    *value = halves;
    return halves >= 1 && halves <= MAX_HALVES ? at : NULL;
}

typedef struct {
    int32_t *users, *movies;
    uint8_t *halves;
    int64_t *times;
} Ratings;

// Read a line into the ratings. Returns whether it has only numbers and separators.
static bool read_line(
    const uint8_t *at, const uint8_t *end, const uint8_t *separator, int64_t width,
    const int64_t *columns, int64_t count, int64_t max_id, Ratings *ratings, int64_t line
) {
    int64_t values[4] = {0};
    for (int64_t number = 0; number < count; number++) {
        if (number > 0) {
            if (end - at < width || memcmp(at, separator, width) != 0) return false;
            at += width;
        }
        int64_t column = columns[number], *value = &values[column];
        at = column == RATING ? read_half_stars(at, end, value) : read_integer(at, end, value);
        if (!at || (column < RATING && *value > max_id)) return false;
    }
    ratings->users[line] = (int32_t)values[USER];
    ratings->movies[line] = (int32_t)values[MOVIE];
    ratings->halves[line] = (uint8_t)values[RATING];
    ratings->times[line] = values[TIMESTAMP];
    return at == end;
}

// Read all lines that are not empty. Of a line that is not plain, `bad` receives its number, where
// it begins and where it ends, [3, most]. Returns the number of lines; `bad_count` receives that of
// bad ones.
int64_t read_lines(
    const uint8_t *data, int64_t size, const uint8_t *separator, int64_t width,
    const int64_t *columns, int64_t count, int64_t max_id, int64_t max_line, int32_t *users,
    int32_t *movies, uint8_t *halves, int64_t *times, int64_t *bad, int64_t most,
    int64_t *bad_count
) {
    Ratings ratings = {users, movies, halves, times};
    int64_t line = 0, bad_lines = 0;
    for (int64_t start = 0; start < size;) {
        int64_t end = start;
        while (end < size && data[end] != '\n' && data[end] != '\r') end++;
        if (end > start) {
            if (end - start > max_line ||
                !read_line(data + start, data + end, separator, width, columns, count, max_id,
                           &ratings, line)) {
                bad[bad_lines] = line;
                bad[most + bad_lines] = start;
                bad[2 * most + bad_lines++] = end;
            }
            line++;
        }
        start = end + 1;
    }
    *bad_count = bad_lines;
    return line;
}
