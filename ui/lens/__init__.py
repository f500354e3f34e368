"""The lens on the page: a component of the page, fed with what was kept."""
