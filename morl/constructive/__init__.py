"""What only samplers of objects (GFlowNets) need: their back-end, solution sets, drawing and metrics."""
