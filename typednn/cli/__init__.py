"""What does the command `typednn` do? Its arguments, and a module for each larger command."""
