"""What a run's encoder learned: SVCCA and attention of its snapshots."""
