"""The verbs that methods share: similarity, selection, merging."""
