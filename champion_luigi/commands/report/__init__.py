"""`champion report`: the facts, and the page made from them."""
