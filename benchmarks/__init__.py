"""How fast the library is, beside its peers, the released code and the machine's own ceiling."""
