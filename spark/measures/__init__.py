"""The similarity measures: what each computes from the sums, the ratings and the content."""
