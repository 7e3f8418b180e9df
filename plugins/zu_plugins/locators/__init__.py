"""Layer locators: which layers of a model are edited."""
