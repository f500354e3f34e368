"""The page: a translation of what the library found into figures, frames and words. It decides nothing."""
