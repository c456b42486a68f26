"""Backups of all departments at one moment: written, proved, kept for as long as wanted, restored."""
