"""The agents of before, in torch with autograd: an oracle for agents that write their gradients by hand."""
