"""What breaks other gates, tried on this one: effects are counted outside of the process that made them."""
