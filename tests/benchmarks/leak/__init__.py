"""The leak benchmark: what is found how soon, beside the limit."""
