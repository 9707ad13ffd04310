"""The replay for other libraries and plain loops: `edgerl.ReplayBuffer`."""
