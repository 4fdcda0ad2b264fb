"""MelaNet (chapter 2): a rare class over-sampled by translating the common class into it."""
