"""The standard part of every noun's contract: its shape and its English, held and written in one place."""
