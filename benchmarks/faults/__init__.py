"""What benchmarks/durability.py does to runs: kills, power cuts, a disk that refuses, damaged files, and more."""
