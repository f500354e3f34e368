"""`python -m omnizip COMMAND`: one module a command, and where they write."""
