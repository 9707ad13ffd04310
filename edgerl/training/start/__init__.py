"""How a run begins: what was asked for, what is checked, the networks, the other parts."""
