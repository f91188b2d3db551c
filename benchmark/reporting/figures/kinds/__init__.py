"""One file a kind of figure: what a suite may say of it, and how it is drawn. The registry finds them."""
