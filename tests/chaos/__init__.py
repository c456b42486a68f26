"""Chaos: real processes behind links that can be cut, a nemesis drawn from a seed, ledgers of what clients were told, and a checker."""
