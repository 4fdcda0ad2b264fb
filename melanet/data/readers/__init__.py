"""One module per file format; each raises `InputError` for what it cannot read faithfully."""
