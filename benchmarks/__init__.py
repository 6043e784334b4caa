"""One script per published claim: run one as `python -m benchmarks.NAME` from the root of the repository."""
