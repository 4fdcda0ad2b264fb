"""The findings of `experiments.audit`: what the thesis prints, and what follows from it."""
