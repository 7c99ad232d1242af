"""Runs the command `typednn`: its arguments, and a module for each larger subcommand."""
