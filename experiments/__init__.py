"""What reproduces the paper and measures: configurations, tables, figures, benchmarks."""
