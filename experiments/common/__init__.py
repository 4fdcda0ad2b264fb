"""What every experiment shares: command line, records, training, tables, reports, styles."""
