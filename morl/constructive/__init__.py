"""Back-ends and solution sets of agents that find objects, and drawing, tables and metrics of objects."""
