"""How a run acts and stores what it sees: in one environment, or in several at once."""
