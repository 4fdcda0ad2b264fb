"""Experiments of chapter 3: segmentation networks with plain and sharp skip connections."""
