"""The verbs that methods share: blocks of a clip, similarity, change, selection, merging."""
