"""Reaching the departments: channels, batched and merged calls, facts as they happen."""
