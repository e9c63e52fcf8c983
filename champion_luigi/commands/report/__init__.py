"""`champion report`: the facts, and the page made of them."""
