"""Declared runs, made one after the other and kept below ``reports/study/``; see ``studies.yaml``."""
