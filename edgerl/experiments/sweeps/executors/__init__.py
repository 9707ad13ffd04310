"""Where the cells of a sweep run: on this machine, under Slurm, under Ray."""
