// The loops of products.py, which describes the functions and their arguments.

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

void pair_products(
    double *found, int64_t pairs, const int32_t *ones, const int32_t *others,
    const int32_t *starts, const int32_t *words, const double *weights, double *row
) {
    int32_t in_row = -1;  // the vector that `row` has now; elsewhere it is 0
    for (int64_t k = 0; k < pairs; k++) {
        if (ones[k] != in_row) {
            if (in_row >= 0)
                for (int64_t n = starts[in_row]; n < starts[in_row + 1]; n++) row[words[n]] = 0;
            in_row = ones[k];
            for (int64_t n = starts[in_row]; n < starts[in_row + 1]; n++) row[words[n]] = weights[n];
        }
        double sum = 0;
        for (int64_t n = starts[others[k]]; n < starts[others[k] + 1]; n++)
            sum += row[words[n]] * weights[n];
        found[k] = sum;
    }
}
