"""The live board: a model of the fleet, an API and a page."""
