"""Tests of spark/runtime."""
