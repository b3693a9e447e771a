"""How several agents decide together: four patterns, each with a guarantee that its tests prove."""
