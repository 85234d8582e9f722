"""What the text encoders are distilled from."""
