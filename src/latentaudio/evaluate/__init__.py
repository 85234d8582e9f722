"""How good is it? A judge trained on renders, signal analysis, Fréchet distance, and the bench that prints them all."""
