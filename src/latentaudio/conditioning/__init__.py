"""From prompt to conditioning: tokens, text states, language of audio."""
