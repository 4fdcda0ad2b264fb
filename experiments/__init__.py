"""How the tables and figures of the thesis are rerun; run from a checkout."""
