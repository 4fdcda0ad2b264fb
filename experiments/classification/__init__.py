"""Experiments of chapter 2: classifiers trained on real, augmented and translated images."""
