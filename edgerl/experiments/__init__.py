"""What is done with runs: sweeps, reports, analysis, calibration, video."""
