"""Tests of spark/engine."""
