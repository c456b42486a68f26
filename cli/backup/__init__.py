"""Backups of all departments at one moment: written, proved, restored."""
