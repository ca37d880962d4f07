"""What was heard: tones and prompts in PCM. No network here."""
