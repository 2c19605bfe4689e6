"""Builders that tests share: plain functions and classes, no fixtures."""
