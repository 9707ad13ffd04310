"""What comes from outside: spaces of Gymnasium, pictures, actions, callables of users, and the screen to draw on."""
