"""The job: reads a MovieLens folder, computes similarities, writes neighbours and a manifest."""
