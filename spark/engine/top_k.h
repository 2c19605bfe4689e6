// The best neighbours of some movies; see TopK of kernel.py.

#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    double score;
    double cosine;
    int32_t co_raters;
    int32_t id;
} Neighbour;

typedef struct {
    int64_t room; // neighbours of a movie that fit: twice as many as are kept
    int32_t *sizes; // [movies], how many there are so far
    double *least; // [movies], the score below which a movie takes none
    Neighbour *neighbours; // [movies, room]
} TopK;

// Whether one neighbour ranks after another: by score, then co-raters, then the smaller id.
static inline bool is_worse(Neighbour one, Neighbour other) {
    if (one.score != other.score) return one.score < other.score;
    if (one.co_raters != other.co_raters) return one.co_raters < other.co_raters;
    return one.id > other.id;
}

// Keep only the better half of a movie's room, the worst of it last.
void keep_better_half(const TopK *best, int64_t movie);

// Add a neighbour whose score is not below the movie's least.
static inline void push(const TopK *best, int64_t movie, Neighbour neighbour) {
    best->neighbours[movie * best->room + best->sizes[movie]] = neighbour;
    if (++best->sizes[movie] == best->room) keep_better_half(best, movie);
}

// The cosine over the co-raters, from the integer sums X, A and B: see kernel.py.
static inline double score_of(int32_t xy, int32_t xx, int32_t yy) {
    return (xy / 4.0) / (__builtin_sqrt(xx / 4.0) * __builtin_sqrt(yy / 4.0));
}
