"""Tests of spark/self_evaluation."""
