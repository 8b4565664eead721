"""What the commands of `benchmarks/` share: inputs, contestants in processes of their own, and how results are kept."""
