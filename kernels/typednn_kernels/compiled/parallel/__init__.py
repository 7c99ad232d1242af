"""Divides work between threads: POSIX threads, atomics, a team for each call, and a pool that stays."""
