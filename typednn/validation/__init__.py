"""What may users pass in? Arrays and settings are checked here, once, before anything changes."""
