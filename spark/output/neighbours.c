// The loop of neighbours.py, which describes the function and its arguments.

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const int64_t *starts; // [all movies + 1], where in `about` each movie's text begins
    const char *about;
    const int64_t *ratings; // [all movies]
} Movies;

typedef struct {
    const char *before; // what a line has before the rows
    const int64_t *starts; // [lines + 1], where each line's rows begin
    const int32_t *others; // [rows], indices of movies
    const double *scores; // [rows]
    const int32_t *co_raters; // [rows]
    const double *cosines; // [rows]
} Rows;

enum {
    MOST_DIGITS = 20, // of 64 bits
    MOST_DECIMALS = 22, // a mantissa times a power of ten must fit into 127 bits
    USUAL_DIGITS = 6, // of a rounded score: the first length to try
};

static char *put(char *to, const char *text) {
    size_t size = strlen(text);
    memcpy(to, text, size);
    return to + size;
}

// An integer with a point before its last digits.
static char *put_decimal(char *to, uint64_t value, int decimals) {
    char digits[MOST_DIGITS];
    int count = 0;
    for (; value; value /= 10) digits[count++] = (char)('0' + value % 10);
    if (count <= decimals) *to++ = '0';
    for (int place = count > decimals ? count : decimals; place; place--) {
        if (place == decimals) *to++ = '.';
        *to++ = place <= count ? digits[place - 1] : '0';
    }
    return to;
}

// The shortest decimal that reads back as a double between 1e-6 and 1e15, without its point, and
// how many decimals it has; -1 if none is short enough.
static int shortest(double value, uint64_t *decimal) {
    uint64_t bits, hidden = (uint64_t)1 << 52;
    memcpy(&bits, &value, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023, shift = 52 - exponent;
    uint64_t mantissa = (bits & (hidden - 1)) | hidden; // the value is mantissa / 2^shift
    int magnitude = exponent * 1233 >> 12; // of 2^exponent, by powers of ten
    unsigned __int128 unit = (unsigned __int128)1 << shift, scaled = mantissa, power = 1;
    for (int decimals = 0; decimals <= MOST_DECIMALS; decimals++, scaled *= 10, power *= 10) {
        if (decimals + magnitude < USUAL_DIGITS - 1) continue;
        unsigned __int128 nearest = scaled >> shift, error = scaled & (unit - 1);
        if (error > unit - error) {
            nearest++;
            error = unit - error;
        }
        // Half the distance to the next double. Below a power of two that is half as far, but those
        // between 1e-6 and 1e15 have few digits: no shorter decimal is as near.
        if (2 * error >= power) continue;
        *decimal = (uint64_t)nearest;
        for (; decimals && *decimal % 10 == 0; decimals--) *decimal /= 10;
        return decimals;
    }
    return -1;
}

// A double as JSON, exact to the bit; null if it is no number.
static char *put_double(char *to, double value) {
    if (!isfinite(value)) return put(to, "null");
    uint64_t decimal;
    int decimals = value >= 1e-6 && value < 1e15 ? shortest(value, &decimal) : -1;
    if (decimals >= 0) return put_decimal(to, decimal, decimals);
    return to + sprintf(to, "%.17g", value);
}

// A movie, without the end of its object.
static char *put_movie(char *to, const Movies *movies, int64_t movie) {
    int64_t start = movies->starts[movie], size = movies->starts[movie + 1] - start;
    *to++ = '{';
    memcpy(to, movies->about + start, (size_t)size);
    to = put(to + size, ",\"ratings\":");
    return put_decimal(to, (uint64_t)movies->ratings[movie], 0);
}

static int by_index(const void *one, const void *other) {
    return *(const int32_t *)one - *(const int32_t *)other;
}

// Write the lines of some movies; see neighbours.py.
void write_lines(
    const Movies *movies, int64_t first, int64_t lines, const Rows *measures, int64_t count,
    int32_t *places, int32_t *others, char *text, int64_t *ends
) {
    char *to = text;
    for (int64_t line = 0; line < lines; line++) {
        int32_t distinct = 0;
        for (const Rows *rows = measures; rows < measures + count; rows++) {
            for (int64_t k = rows->starts[line]; k < rows->starts[line + 1]; k++) {
                if (places[rows->others[k]] >= 0) continue;
                places[rows->others[k]] = 0;
                others[distinct++] = rows->others[k];
            }
        }
        qsort(others, (size_t)distinct, sizeof *others, by_index);
        to = put(put_movie(to, movies, first + line), ",\"others\":[");
        for (int32_t place = 0; place < distinct; place++) {
            places[others[place]] = place;
            to = put(put_movie(to, movies, others[place]), "},");
        }
        if (distinct) to--;
        to = put(to, "],\"neighbours\":{");
        for (const Rows *rows = measures; rows < measures + count; rows++) {
            to = put(to, rows->before);
            for (int64_t k = rows->starts[line]; k < rows->starts[line + 1]; k++) {
                *to++ = '[';
                to = put_decimal(to, (uint64_t)places[rows->others[k]], 0);
                *to++ = ',';
                to = put_double(to, rows->scores[k]);
                *to++ = ',';
                to = put_decimal(to, (uint64_t)rows->co_raters[k], 0);
                *to++ = ',';
                to = put(put_double(to, rows->cosines[k]), "],");
            }
            if (rows->starts[line + 1] > rows->starts[line]) to--;
            to = put(to, "],");
        }
        to = put(to - 1, "}}\n"); // the cosine is always among the measures
        for (int32_t place = 0; place < distinct; place++) places[others[place]] = -1;
        ends[line] = to - text;
    }
}
