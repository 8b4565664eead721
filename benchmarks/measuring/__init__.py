"""Code that the commands of `benchmarks/` share: inputs, contestants in their own processes, and records of results."""
