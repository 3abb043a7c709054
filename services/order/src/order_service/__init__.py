"""Orders, and the sagas that place and cancel them."""
