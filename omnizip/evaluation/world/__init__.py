"""The synthetic world: scenes, pictures, sounds, questions, and the ways to put them into words."""
