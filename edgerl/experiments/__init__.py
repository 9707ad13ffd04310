"""What is done with runs: sweeps, reports, analysis, calibration, video, export, card, check, tracking."""
