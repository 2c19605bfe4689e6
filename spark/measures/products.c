// The loop of products.py, which describes the function and its arguments.

#include <stdint.h>

void add_products(
    double *scores, int64_t rows, int64_t columns,
    const int32_t *row_starts, const int32_t *row_words, const double *row_weights,
    const int32_t *word_starts, const int32_t *word_columns, const double *word_weights
) {
    for (int64_t i = 0; i < rows; i++, scores += columns) {
        for (int64_t k = row_starts[i]; k < row_starts[i + 1]; k++) {
            double weight = row_weights[k];
            int32_t word = row_words[k];
            for (int64_t n = word_starts[word]; n < word_starts[word + 1]; n++)
                scores[word_columns[n]] += weight * word_weights[n];
        }
    }
}
